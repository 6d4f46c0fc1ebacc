from io import BytesIO

import pytest

from characters.ranges import NotSatisfiable, Slice, Span, span_of


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 0)),
        ("bytes=0-99", Span(0, 99)),
        ("bytes=10-19", Span(10, 19)),
        ("bytes=90-", Span(90, 99)),
        ("bytes=90-500", Span(90, 99)),
        ("bytes=-10", Span(90, 99)),
        ("bytes=-500", Span(0, 99)),
        (" Bytes = 1-2 ", Span(1, 2)),
    ],
)
def test_one_range_means_these_bytes_of_a_hundred(header: str, span: Span) -> None:
    assert span_of(header, 100) == span


@pytest.mark.parametrize(
    "header", ["", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,3-4", "lines=0-1", "bytes=a-b", "bytes=1_0-20"]
)
def test_what_makes_no_sense_or_is_several_ranges_means_the_whole_file(header: str) -> None:
    assert span_of(header, 100) is None


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100)])
def test_a_range_behind_the_end_cannot_be_satisfied(header: str, size: int) -> None:
    with pytest.raises(NotSatisfiable):
        span_of(header, size)


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_an_empty_file_has_no_ranges(header: str) -> None:
    with pytest.raises(NotSatisfiable):
        span_of(header, 0)


def test_a_slice_ends_where_its_span_does_and_closes_its_file() -> None:
    file = BytesIO(bytes(range(100)))
    part = Slice(file, Span(10, 14))
    assert (part.read(3), part.read(3), part.read(3)) == (bytes([10, 11, 12]), bytes([13, 14]), b"")
    part.close()
    assert file.closed
