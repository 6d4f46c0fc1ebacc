"""ZIP files as people and attackers make them."""

import struct
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

Member = tuple[str | ZipInfo, bytes]


def zipped(*members: Member, compression: int = ZIP_DEFLATED) -> bytes:
    content = BytesIO()
    with ZipFile(content, "w", compression) as archive:
        for name, member in members:
            archive.writestr(name, member, compress_type=compression)
    return content.getvalue()


def patched(archive: bytes, *, entry: int, offset: int, form: str, value: int) -> bytes:
    """Return `archive` with a field of an entry of its directory changed; `offset` is counted from the entry."""
    position = -1
    for _ in range(entry + 1):
        position = archive.index(b"PK\x01\x02", position + 1)
    changed = bytearray(archive)
    struct.pack_into(form, changed, position + offset, value)
    return bytes(changed)


def claiming_size(archive: bytes, size_bytes: int, *, entry: int = 0) -> bytes:
    return patched(archive, entry=entry, offset=24, form="<I", value=size_bytes)


def encrypted(archive: bytes, *, entry: int = 0) -> bytes:
    return patched(archive, entry=entry, offset=8, form="<H", value=1)


def link(name: str, target: str) -> Member:
    member = ZipInfo(name)
    member.create_system = 3
    member.external_attr = 0o120777 << 16
    return member, target.encode()


def members_of(content: bytes) -> dict[str, bytes]:
    with ZipFile(BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
