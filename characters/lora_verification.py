"""Whether a LoRA's file is still what its row says, and what it was when it was published."""

import hashlib
from collections.abc import Callable, Iterator
from typing import IO, Any

from django.core.files.base import File
from django.core.files.storage import default_storage

from base_models import MODELS
from characters.lora_facts import recorded_facts
from characters.models import Lora
from characters.safetensors_files import (
    Header,
    LoraRefused,
    check_expected,
    check_learned,
    inspect,
    read_header,
    tensors_sha256,
)


def differences(lora: Lora) -> list[str]:
    """Return what is wrong with the file, each as a sentence; nothing if all is well. Reads the whole file."""
    try:
        content = default_storage.open(lora.key, "rb")
    except OSError as exc:
        return [f"The file cannot be opened: {exc.strerror or exc}."]
    try:
        with content:
            return [*_different_bytes(lora, content), *_different_inside(lora, content)]
    except OSError as exc:
        return [f"The file cannot be read: {exc.strerror or exc}."]


def _different_bytes(lora: Lora, content: "File[Any]") -> Iterator[str]:
    if content.size != lora.size_bytes:
        yield f"The file has {content.size} bytes instead of {lora.size_bytes}."
    digest = hashlib.sha256()
    for chunk in content.chunks():
        digest.update(chunk)
    if digest.hexdigest() != lora.sha256:
        yield f"The file's sha256 is {digest.hexdigest()} instead of {lora.sha256}."


def _different_inside(lora: Lora, content: IO[bytes]) -> Iterator[str]:
    try:
        found = recorded_facts(inspect(content))
    except LoraRefused as refused:
        yield f"The file is no usable LoRA: {refused}"
        return
    # A row made by hand, or by an earlier version, has fewer facts.
    for name in found.keys() & lora.details.keys():
        if found[name] != lora.details[name]:
            yield f"The file's {name} is {found[name]} instead of {lora.details[name]}."
    header = read_header(content)
    yield from _unexpected_weights(lora, content, header)
    yield from _different_metadata(lora, content, header)


def _unexpected_weights(lora: Lora, content: IO[bytes], header: Header) -> Iterator[str]:
    """Hold a LoRA that was trained here against what its training was asked for."""
    model, rank = MODELS.get(lora.base_model), lora.details.get("rank")
    if not lora.job_id or model is None or model.training is None or rank is None:
        return
    training = model.training
    checks: tuple[Callable[[], None], ...] = (
        lambda: check_expected(header.tensors, training, rank=rank),
        lambda: check_learned(content, header),
    )
    for check in checks:
        try:
            check()
        except LoraRefused as refused:
            yield str(refused)


def _different_metadata(lora: Lora, content: IO[bytes], header: Header) -> Iterator[str]:
    provenance = lora.details.get("training")
    if not provenance:
        return
    expected = {
        "isengard.job_id": lora.job_id,
        "isengard.base_model": lora.base_model,
        "isengard.trigger_word": lora.trigger_word,
        "isengard.dataset_hash": provenance["dataset_hash"],
        "modelspec.hash_sha256": f"0x{tensors_sha256(content, header)}",
    }
    for name, value in expected.items():
        if header.metadata.get(name) != value:
            yield f"The file's metadata {name} is {header.metadata.get(name)!r} instead of {value!r}."
