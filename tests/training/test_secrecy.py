"""No token and no password gets into a job's files or its log."""

from pathlib import Path

import pytest

from jobs.events import Finished
from tests.training.aitoolkit_fixtures import order_in, stand_in
from tests.training.job_files import process_of
from training.engines.aitoolkit import train
from training.engines.aitoolkit.console import Console
from training.engines.order import Installation

TOKEN = "hf_" + "aB3dE5fG7h" * 3 + "Zz12"


def printed(text: str, *, step: int) -> str:
    console, raw = Console(), text.encode()
    logs = [log for start in range(0, len(raw), step) for log in console.feed(raw[start : start + step], now=0.0)]
    logs += console.finish(now=0.0)
    return "\n".join([*(log.message for log in logs), *console.tail])


@pytest.mark.parametrize("step", [1, 7, 4096])
@pytest.mark.parametrize(
    "line",
    [
        f"OSError: token {TOKEN} is invalid",
        f"https://user:{TOKEN}@huggingface.co/x",
        f"\rtrain-1:  28%|##| 5/18 [00:01<00:01, 10.62it/s]Traceback {TOKEN}",
        f"headers={{'authorization': 'Bearer {TOKEN}'}}",
    ],
)
def test_a_token_on_the_console_never_reaches_the_log(line: str, step: int) -> None:
    assert TOKEN not in printed(line + "\n", step=step)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("ProxyError: http://ann:secret@proxy:8080/", "ProxyError: http://***@proxy:8080/"),
        (f"token={TOKEN}.", "token=***."),
    ],
)
def test_what_surrounds_a_secret_stays_readable(line: str, told: str) -> None:
    assert printed(line, step=4096).splitlines()[0] == told


@pytest.mark.parametrize(
    "line",
    [
        "huggingface_hub.hf_hub_download failed",
        "No module named 'hf_transfer'",
        "Saved checkpoint to /data/hf_cache/x_000000250.safetensors",
        "at https://huggingface.co/x: 12:30:01@",
    ],
)
def test_words_that_only_look_like_secrets_stay(line: str) -> None:
    assert printed(line, step=4096).splitlines()[0] == line


def test_a_run_with_a_token_leaves_it_in_no_file_and_tells_it_in_no_event(tmp_path: Path) -> None:
    order = order_in(tmp_path, steps=100, sample_count=1)
    events = list(train(order, stand_in(HF_TOKEN=TOKEN)))
    assert isinstance(events[-1], Finished)
    assert TOKEN not in repr(events)
    files = [path for path in order.workspace.rglob("*") if path.is_file()]
    assert any(path.name == "job.json" for path in files)
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_nothing_is_pushed_to_the_hub_so_that_no_token_is_asked_for_on_a_terminal(tmp_path: Path) -> None:
    assert process_of(order_in(tmp_path))["save"]["push_to_hub"] is False


def test_an_installation_does_not_show_the_environment_in_a_traceback(tmp_path: Path) -> None:
    shown = repr(Installation(directory=tmp_path, python="python3", environment={"HF_TOKEN": TOKEN}))
    assert TOKEN not in shown
