import pytest

from jobs import readable


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (-3, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (190, "3 min 10 s"),
        (3600, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (86_400 * 3 + 3600 * 4, "3 d 04 h"),
    ],
)
def test_durations_are_told_in_their_two_largest_units(seconds: float | None, expected: str) -> None:
    assert readable.duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (999_999, "1.0 MB"), (23_400_000_000, "23.4 GB"), (2e12, "2.0 TB")],
)
def test_sizes_are_told_in_powers_of_a_thousand(count: float, expected: str) -> None:
    assert readable.size(count) == expected


def test_a_text_becomes_one_line_of_at_most_its_length() -> None:
    assert readable.shortened("a\n b\tc", 10) == "a b c"
    assert readable.shortened("x" * 20, 10) == "x" * 9 + "…"


def test_columns_of_a_table_are_as_wide_as_their_widest_cell() -> None:
    assert readable.table(("A", "B"), [("long", 1), ("x", 22)]) == "A     B\nlong  1\nx     22"


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (5e-05, 6, "0.00005"),
        (1e-07, 2, "0.0000001"),
        (0.000123456, 2, "0.00012"),
        (7.5, 6, "7.5"),
        (3.0, 6, "3"),
        (1e16, 6, "10000000000000000"),
        (float("nan"), 2, "nan"),
    ],
)
def test_numbers_are_told_without_powers_of_ten(value: float, digits: int, expected: str) -> None:
    assert readable.number(value, digits) == expected


def test_memory_of_gpus_is_told_as_drivers_count_it() -> None:
    assert readable.gpu_memory(24000, 24564) == "23.4 of 24.0 GiB"
