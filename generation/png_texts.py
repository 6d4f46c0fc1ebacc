"""The texts in a PNG, replaced without touching its pixels (https://www.w3.org/TR/png-3/). Framework-free."""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER, END = b"IHDR", b"IEND"
# What decides about the look. Everything else (texts, times, EXIF, private chunks) is somebody's remark.
PICTURE = frozenset((HEADER, b"PLTE", b"IDAT", END, b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"cICP"))
LENGTH_AND_TYPE = struct.Struct(">I4s")
CHECKSUM_BYTES = 4
BLOCK_BYTES = 1024 * 1024
MAX_TEXT_BYTES = 1_000_000


class PngBroken(ValueError):
    """The file is no PNG, or only the beginning of one."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    type: bytes
    length_bytes: int


def replace_texts(path: Path, texts: Mapping[str, str]) -> None:
    """Leave nothing in the PNG at `path` but its picture and `texts`, by their keywords. Raises PngBroken and OSError.

    The compressed pixels are copied as they are. Whoever opens `path` finds the old file or the whole new one.
    """
    part = path.with_name(path.name + ".part")
    try:
        with path.open("rb") as source, part.open("wb") as target:
            _rewrite(source, target, texts)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_texts(path: Path) -> dict[str, str]:
    """Return the uncompressed texts of a PNG by their keywords. Raises PngBroken and OSError."""
    texts: dict[str, str] = {}
    with path.open("rb") as source:
        for chunk in _chunks(source):
            if chunk.type in (b"tEXt", b"iTXt") and chunk.length_bytes <= MAX_TEXT_BYTES:
                content = source.read(chunk.length_bytes)
                source.seek(-len(content), 1)
                texts |= _text_in(chunk.type, content)
    return texts


def _rewrite(source: IO[bytes], target: IO[bytes], texts: Mapping[str, str]) -> None:
    target.write(SIGNATURE)
    for chunk in _chunks(source):
        if chunk.type not in PICTURE:
            continue
        target.write(LENGTH_AND_TYPE.pack(chunk.length_bytes, chunk.type))
        _copy(source, target, chunk.length_bytes + CHECKSUM_BYTES)
        source.seek(-(chunk.length_bytes + CHECKSUM_BYTES), 1)
        if chunk.type == HEADER:
            # Before the pixels: readers that look for texts need not read all of them.
            target.writelines(_text_chunk(keyword, text) for keyword, text in texts.items())


def _chunks(source: IO[bytes]) -> Iterator[_Chunk]:
    """Yield the chunks up to the last one. `source` stands at the content of each, and must stand there again."""
    if source.read(len(SIGNATURE)) != SIGNATURE:
        raise PngBroken("It is no PNG.")
    chunk = _Chunk(b"", 0)
    while chunk.type != END:
        head = source.read(LENGTH_AND_TYPE.size)
        if len(head) < LENGTH_AND_TYPE.size:
            raise PngBroken("It ends early.")
        length_bytes, name = LENGTH_AND_TYPE.unpack(head)
        chunk = _Chunk(name, length_bytes)
        yield chunk
        source.seek(length_bytes + CHECKSUM_BYTES, 1)


def _copy(source: IO[bytes], target: IO[bytes], length_bytes: int) -> None:
    left = length_bytes
    while left:
        block = source.read(min(left, BLOCK_BYTES))
        if not block:
            raise PngBroken("It ends early.")
        target.write(block)
        left -= len(block)


def _text_chunk(keyword: str, text: str) -> bytes:
    name = keyword.encode("ascii")
    if text.isascii():
        return _packed(b"tEXt", name + b"\0" + text.encode("ascii"))
    # Uncompressed, of no language, without a translated keyword.
    return _packed(b"iTXt", name + b"\0\0\0\0\0" + text.encode())


def _packed(name: bytes, content: bytes) -> bytes:
    return LENGTH_AND_TYPE.pack(len(content), name) + content + struct.pack(">I", zlib.crc32(name + content))


def _text_in(name: bytes, content: bytes) -> dict[str, str]:
    keyword, _, rest = content.partition(b"\0")
    if name == b"iTXt":
        is_compressed, rest = rest[:1] != b"\0", rest[2:].split(b"\0", 2)[-1]
        if is_compressed:
            return {}
    encoding = "utf-8" if name == b"iTXt" else "latin-1"
    return {keyword.decode("latin-1"): rest.decode(encoding, errors="replace")}
