from pathlib import Path

import pytest

from training.engines.aitoolkit.console import BAR_INTERVAL_SECONDS, Console, ConsoleFile

BAR = "\rtrain-1:  28%|██▊       | 5/18 [00:01<00:01, 10.62it/s, lr: 1.0e-04 loss: 1.522e+00]"
FIRST_BAR = "\rtrain-1:   0%|          | 0/18 [00:00<?, ?it/s]"
NESTED = "\n\rGenerating Images:  50%|█████     | 1/2 [00:00<00:00,  1.86it/s]\x1b[A\r      \x1b[A"
DOWNLOAD = "\rmodel.safetensors:  12%|█▏        | 1.2G/9.8G [00:10<01:10, 120MB/s]"


def messages(text: str | bytes, *, step: int | None = None) -> list[str]:
    """Feed `text`, in pieces of `step` bytes, and take what comes out."""
    raw = text.encode() if isinstance(text, str) else text
    console = Console()
    pieces = [raw[start : start + (step or len(raw))] for start in range(0, len(raw), step or len(raw) or 1)]
    logs = [log for piece in pieces for log in console.feed(piece, now=0.0)]
    return [log.message for log in logs + console.finish(now=0.0)]


def test_lines_become_log_events_and_blank_ones_do_not() -> None:
    assert messages("Running 1 job\n\n  \nLoading Flux model\n") == ["Running 1 job", "Loading Flux model"]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64])
def test_the_cut_of_the_pieces_makes_no_difference(step: int) -> None:
    text = f"Naïve ✓\n{FIRST_BAR}{BAR}{NESTED}{BAR}\nSaving at step 5\nSaved checkpoint to /é/x\n"
    assert messages(text, step=step) == messages(text)
    assert "Naïve ✓" in messages(text, step=step)


def test_the_job_file_that_the_trainer_repeats_is_left_out_and_what_others_print_in_between_is_not() -> None:
    dump = '{\n    "save": {\n        "dtype": "bf16"\n    },\nW1123 beware\n    "device": "cuda"\n}\n'
    assert messages(f"Running 1 job\n{dump}Using SQLite\n") == ["Running 1 job", "W1123 beware", "Using SQLite"]


def test_a_brace_that_is_never_closed_does_not_silence_the_trainer() -> None:
    told = messages("{\n" + "  an indented line\n" * 2000 + "the end\n")
    assert told[-1] == "the end"
    assert len(told) > 1000


def test_a_bar_is_told_at_most_once_in_ten_seconds() -> None:
    console = Console()
    told = [len(console.feed(BAR.encode() * 50 + b"\r", now=now)) for now in (0.0, 5.0, BAR_INTERVAL_SECONDS, 11.0)]
    assert told == [1, 0, 1, 0]


@pytest.mark.parametrize("bar", [BAR, FIRST_BAR, NESTED, DOWNLOAD])
def test_no_kind_of_bar_gets_into_the_tail(bar: str) -> None:
    console = Console()
    console.feed(f"Last words\n{bar}\r".encode(), now=0.0)
    assert console.tail == ["Last words"]


def test_what_is_glued_to_a_bar_is_a_line_of_its_own() -> None:
    told = messages(f"{BAR}{BAR}Traceback (most recent call last):\n  File x\nValueError: no\n")
    assert told[1:] == ["Traceback (most recent call last):", "  File x", "ValueError: no"]


def test_a_repaint_after_the_error_does_not_hide_it() -> None:
    console = Console()
    console.feed(f"RuntimeError: broken\n{BAR}\n".encode(), now=0.0)
    assert console.tail[-1] == "RuntimeError: broken"


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("Error running job: it broke", "ERROR"),
        ("Traceback (most recent call last):", "ERROR"),
        ("safetensors._safetensors_rust.SafetensorError: Error while deserializing header", "ERROR"),
        ("WARNING:torchao.kernel.intmm:Warning: Detected no triton", "WARNING"),
        ("Saved checkpoint to /x", "INFO"),
    ],
)
def test_errors_and_warnings_are_told_as_such(line: str, level: str) -> None:
    assert [log.level for log in Console().feed(f"{line}\n".encode(), now=0.0)] == [level]


def test_timings_are_left_out() -> None:
    assert messages("Timer 'x Timer':\n - 0.1673s avg - train_loop, num = 5\nGo on\n") == ["Go on"]


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert messages(b"\xff\xfe broken \x96\n") == ["�� broken �"]


def test_a_line_without_an_end_is_cut_and_not_hoarded() -> None:
    told = messages(b"x" * 100_000, step=1000)
    assert max(map(len, told)) <= 2000


def test_the_tail_keeps_the_last_lines_only() -> None:
    console = Console()
    console.feed("".join(f"line {index}\n" for index in range(1000)).encode(), now=0.0)
    assert console.tail[-1] == "line 999"
    assert len(console.tail) < 100


def test_a_growing_file_is_read_on_from_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_text("one\ntw")
    console = ConsoleFile(path)
    assert [log.message for log in console.read(now=0.0)] == ["one"]
    with path.open("a") as file:
        file.write("o\nthree")
    assert [log.message for log in console.read(now=0.0)] == ["two"]
    assert [log.message for log in console.read_rest(now=0.0)] == ["three"]
