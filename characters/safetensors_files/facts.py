"""What there is to know of a LoRA file without loading it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from characters.safetensors_files.header import read_header
from characters.safetensors_files.layouts import Layout, judge
from characters.safetensors_files.numbers import check_numbers
from characters.safetensors_files.origin import Origin, origin_of

# A header made to be expensive takes some 300 MB once parsed, so only so many are read at a time.
_readers = threading.BoundedSemaphore(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFacts:
    """`ranks`: the different ranks of the modules, in order; empty where LoKr gives its factors whole."""

    layouts: tuple[Layout, ...]
    ranks: tuple[int, ...]
    dtypes: tuple[str, ...]
    tensor_count: int
    module_count: int
    metadata: Mapping[str, str]
    origin: Origin


def inspect(content: IO[bytes]) -> LoraFacts:
    """Read a seekable file from its beginning. Raises LoraRefused unless it is a whole and usable LoRA."""
    with _readers:
        header = read_header(content)
        judgement = judge(header.tensors)
        check_numbers(content, header)
    return LoraFacts(
        layouts=judgement.layouts,
        ranks=judgement.ranks,
        dtypes=tuple(sorted({tensor.dtype for tensor in header.tensors.values()})),
        tensor_count=len(header.tensors),
        module_count=judgement.module_count,
        metadata=header.metadata,
        origin=origin_of(header),
    )
