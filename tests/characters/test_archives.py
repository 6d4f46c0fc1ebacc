"""ZIP files that want to do harm."""

import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_LZMA, ZIP_STORED

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from characters import archives
from tests.characters.invented import steady
from tests.characters.zipping import Member, claiming_size, encrypted, link, written, zipped

PLENTY_BYTES = 10_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sent.zip"


def inflated(path: Path, content: bytes, *, max_bytes: int = PLENTY_BYTES) -> list[bytes | str]:
    """Return what each file of the archive holds, or why it was refused."""
    results: list[bytes | str] = []
    with archives.opened(written(path, content)) as archive:
        for member in archive.files:
            target = BytesIO()
            try:
                archive.inflate(member, target, max_bytes=max_bytes)
                results.append(target.getvalue())
            except archives.MemberRefused as refused:
                results.append(str(refused))
    return results


def refusal(path: Path, content: bytes) -> str:
    with pytest.raises(archives.ArchiveRefused) as refused:
        inflated(path, content)
    return str(refused.value)


def test_files_come_out_as_they_went_in(path: Path) -> None:
    assert inflated(path, zipped(("a", b"one"), ("folder/b", b"two"))) == [b"one", b"two"]


def test_folders_and_hidden_files_are_no_files(path: Path) -> None:
    hidden = (("folder/", b""), (".DS_Store", b"x"), ("__MACOSX/a.jpg", b"x"), ("a/.git/b", b"x"), ("a/._b.jpg", b"x"))
    assert inflated(path, zipped(*hidden, ("a/b", b"seen"))) == [b"seen"]


@pytest.mark.parametrize(
    "content",
    [b"", b"no zip", b"PK\x03\x04" + bytes(100), zipped(("a", b"x"))[:-10], b"\xff\xd8\xff" + bytes(500)],
    ids=["empty", "text", "only a beginning", "cut off", "a jpeg"],
)
def test_what_is_no_zip_is_refused(path: Path, content: bytes) -> None:
    assert refusal(path, content) == "This is no ZIP file, or a broken one."


@pytest.mark.parametrize(
    "name",
    [
        "../a.jpg",
        "a/../../b.jpg",
        "/etc/a.jpg",
        "C:\\a.jpg",
        "c:a.jpg",
        "..\\a.jpg",
        "\\\\host\\a.jpg",
        "a/..",
        "a\0.jpg",
    ],
)
def test_a_path_that_leads_out_is_refused(path: Path, name: str) -> None:
    # `ZipInfo` would tidy the name while it is made.
    stand_in = "n" * len(name.encode())
    content = zipped((stand_in, b"x"), ("good", b"y")).replace(stand_in.encode(), name.encode())
    assert inflated(path, content) == ["Its path leads out of the archive", b"y"]


def test_a_link_is_refused(path: Path) -> None:
    content = zipped(link("a.jpg", "/etc/passwd"), ("good", b"y"), compression=ZIP_STORED)
    assert inflated(path, content) == ["It is a link or another special file", b"y"]


def test_an_encrypted_file_is_refused(path: Path) -> None:
    assert inflated(path, encrypted(zipped(("a", b"x"), ("good", b"y")))) == ["It is encrypted", b"y"]


@pytest.mark.parametrize("compression", [ZIP_BZIP2, ZIP_LZMA])
def test_rare_compressions_are_refused(path: Path, compression: int) -> None:
    (reason,) = inflated(path, zipped(("a", bytes(1000)), compression=compression))
    assert reason == "It is compressed in another way than ZIP files usually are"


def test_a_file_that_inflates_a_hundredfold_is_refused(path: Path) -> None:
    content = zipped(("bomb", bytes(5_000_000)), ("noise", os.urandom(50_000)), ("small", bytes(90_000)))
    bomb, noise, small = inflated(path, content)
    assert bomb == "It is compressed more than 100-fold"
    assert (len(noise), len(small)) == (50_000, 90_000)


def test_of_a_large_file_no_more_is_inflated_than_is_needed_to_refuse_it(path: Path) -> None:
    (start,) = inflated(path, zipped(("a", bytes(500_000)), compression=ZIP_STORED), max_bytes=1000)
    assert len(start) == 1001


def test_a_file_that_is_larger_than_it_says_is_refused(path: Path) -> None:
    content = claiming_size(zipped(("a", b"x" * 5000), ("good", b"y"), compression=ZIP_STORED), 10)
    assert inflated(path, content) == ["It is broken in the archive", b"y"]


def test_a_file_that_is_smaller_than_it_says_is_no_problem(path: Path) -> None:
    assert inflated(path, claiming_size(zipped(("a", b"x" * 50)), 5000)) == [b"x" * 50]


def test_an_archive_that_says_that_it_holds_too_much_is_not_even_begun(path: Path) -> None:
    content = zipped(("a", b"x"), ("b", b"y"))
    for entry in (0, 1):
        content = claiming_size(content, 1_500_000_000, entry=entry)
    assert refusal(path, content) == archives.TOO_MUCH_INSIDE


def test_the_whole_may_not_inflate_a_hundredfold_either(path: Path) -> None:
    members: list[Member] = [(str(number), bytes([number]) * 80_000) for number in range(3)]
    first, *others = inflated(path, zipped(*members))
    assert len(first) == 80_000
    assert others == [archives.TOO_MUCH_INSIDE] * 2


def test_a_damaged_file_costs_only_itself(path: Path) -> None:
    content = zipped(("a", b"first file" * 9), ("b", b"y"), compression=ZIP_STORED)
    assert inflated(path, content.replace(b"first", b"worst", 1)) == ["It is broken in the archive", b"y"]


def test_too_many_files_are_refused(path: Path) -> None:
    many: list[Member] = [(f"{number}", b"") for number in range(1001)]
    assert refusal(path, zipped(*many, compression=ZIP_STORED)) == "The archive must have at most 1000 files."
    assert inflated(path, zipped(*many[:1000], compression=ZIP_STORED)) == [b""] * 1000


def test_a_directory_of_a_million_entries_is_not_read(path: Path) -> None:
    one = zipped(("a" * 50, b""), compression=ZIP_STORED)
    start, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    entries = one[start:end] * 20_000
    tail = bytearray(one[end:])
    tail[12:16] = len(entries).to_bytes(4, "little")
    assert refusal(path, one[:start] + entries + bytes(tail)) == "The archive must have at most 1000 files."


@settings(steady, max_examples=150)
@given(
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=12), cut=st.integers(0, 10_000)
)
def test_whatever_is_changed_in_an_archive_it_is_read_or_refused(
    path: Path, changes: list[tuple[int, int]], cut: int
) -> None:
    content = bytearray(zipped(("a.jpg", b"picture" * 20), ("a.txt", b"caption"), ("folder/b.png", bytes(200))))
    for position, value in changes:
        content[position % len(content)] = value
    with suppress(archives.ArchiveRefused):
        inflated(path, bytes(content[: max(len(content) - cut // 20, 1)]))
