"""The adapter against the stand-in trainer, as a real process."""

import signal
import threading
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

from jobs.errors import EngineFailed
from jobs.events import Artifact, Event, Finished, Holding, Log, Progress, Started, Tick
from tests.training.aitoolkit_fixtures import JOB_ID, stand_in
from tests.training.aitoolkit_runs import (
    QUICK,
    identity_in,
    is_at_step,
    is_progress,
    names_in,
    run,
    run_seen,
    short_order,
    steps_in,
    until,
)
from tests.training.holding import Hold
from training.engines.aitoolkit import Limits, is_running, train
from training.engines.aitoolkit.checkpoints import read_step
from training.engines.order import Installation


def test_a_training_tells_its_holder_then_that_it_started_and_ends_with_the_model(tmp_path: Path) -> None:
    events = [event for event in run(short_order(tmp_path)) if not isinstance(event, Tick)]
    assert [type(event) for event in events[:2]] == [Holding, Started]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert finished.model is not None
    assert read_step(finished.model) == 200
    assert not is_running(identity_in(events))


def test_progress_counts_up_to_the_last_step_and_says_so_in_words(tmp_path: Path) -> None:
    events = run_seen(short_order(tmp_path), ("Starting", is_progress), (100, tells_speed))
    progress = [event for event in events if isinstance(event, Progress)]
    steps = steps_in(events)
    assert steps == sorted(steps)
    assert (steps[-1], progress[-1].total) == (200, 200)
    assert {event.stage for event in progress} >= {"initializing", "training", "exporting"}
    assert all(event.message and event.message.startswith("Step ") for event in progress if event.stage == "training")
    assert any(event.loss is not None and event.learning_rate is not None for event in progress)
    assert any(tells_speed(event) for event in progress)


def tells_speed(event: Event) -> bool:
    return isinstance(event, Progress) and bool(event.iteration_speed and event.eta_seconds)


def test_the_job_file_is_told_as_the_trainer_gets_it(tmp_path: Path) -> None:
    events = train(short_order(tmp_path), stand_in(hold=Hold(tmp_path / "held", at=1)), limits=QUICK)
    told = until(events, lambda event: isinstance(event, Artifact))
    config = told[-1]
    assert (config.type, config.name) == ("config", "engine_config.json")
    assert str(config.path) in psutil.Process(identity_in(told)["pid"]).cmdline()
    events.close()


def test_samples_are_told_by_step_and_prompt_and_are_whole(tmp_path: Path) -> None:
    events = []
    for event in train(short_order(tmp_path, sample_count=2), stand_in(), limits=QUICK):
        events.append(event)
        if isinstance(event, Artifact) and event.type == "sample":
            with Image.open(event.path) as image:
                image.verify()
    rounds = (f"step_{step:05d}" for step in (0, 100, 200))
    assert names_in(events, "sample") == [f"{name}{suffix}.png" for name in rounds for suffix in ("", "_1")]


def test_checkpoints_are_told_when_they_are_whole_and_even_if_the_trainer_removes_them(tmp_path: Path) -> None:
    told = []
    order = short_order(tmp_path, steps=400, max_checkpoints=1)
    for event in train(order, stand_in(), limits=QUICK):
        if isinstance(event, Artifact) and event.type == "checkpoint":
            told.append((event.name, event.step, read_step(event.path)))
    assert told
    assert all(name == f"{JOB_ID}_{step:09d}.safetensors" and step == saved for name, step, saved in told)
    assert not list((order.workspace / "outbox").iterdir())


def test_while_nothing_happens_the_engine_still_ticks_twice_a_second(tmp_path: Path) -> None:
    limits = Limits(interrupt_seconds=0.2, terminate_seconds=0.2)
    events = train(short_order(tmp_path), stand_in(ISENGARD_SIMULATOR_FAULT="hang@20"), limits=limits)
    until(events, is_at_step(20))
    waits: list[float] = []
    # Single looks come late on a busy machine. The time that is left may then be told once more.
    while sum(waits) < 30 and sum(wait <= 0.5 for wait in waits) < 6:
        began = time.monotonic()
        until(events, lambda event: isinstance(event, Tick))
        waits.append(time.monotonic() - began)
    events.close()
    assert sum(wait <= 0.5 for wait in waits) == 6


@pytest.mark.parametrize("base_model", ["flux-dev", "flux-schnell"])
def test_prompts_that_look_like_syntax_are_sampled_as_text(base_model: str, tmp_path: Path) -> None:
    prompts = ["a cat --w 80 --n", "${HOME} and ${NOT_SET}", "[name] [trigger]"]
    order = short_order(tmp_path, sample_prompts=prompts, sample_count=3, base_model=base_model, steps=100)
    for event in train(order, stand_in(), limits=QUICK):
        if isinstance(event, Artifact) and event.type == "sample":
            with Image.open(event.path) as image:
                assert image.size == (512, 512)


def test_a_token_reaches_the_trainer_but_no_file(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    hold = Hold(tmp_path / "held", at=1)
    events = train(order, stand_in(hold=hold, HF_TOKEN="hf_secret"), limits=QUICK)
    pid = identity_in(until(events, is_at_step(1)))["pid"]
    assert psutil.Process(pid).environ()["HF_TOKEN"] == "hf_secret"
    events.close()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if b"hf_secret" in path.read_bytes()]


def test_the_trainer_sees_nothing_of_our_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    hold = Hold(tmp_path / "held", at=1)
    events = train(short_order(tmp_path), stand_in(hold=hold, TQDM_DISABLE="1"), limits=QUICK)
    pid = identity_in(until(events, is_at_step(1)))["pid"]
    assert {"DATABASE_URL", "TQDM_DISABLE"}.isdisjoint(psutil.Process(pid).environ())
    events.close()


@pytest.mark.parametrize("moment", [Holding, Started, Progress, Artifact])
def test_a_cancelled_training_leaves_no_process_behind(moment: type[Event], tmp_path: Path) -> None:
    events = train(short_order(tmp_path), stand_in(hold=Hold(tmp_path / "held", at=1)), limits=QUICK)
    identity = identity_in(until(events, lambda event: isinstance(event, moment)))
    assert is_running(identity)
    events.close()
    assert not is_running(identity)


@pytest.mark.parametrize("fault", ["grandchild", "ignore-sigint", "hang@20", "hang-load"])
def test_a_trainer_that_does_not_stop_by_itself_is_gone_after_a_cancel(fault: str, tmp_path: Path) -> None:
    # Further than the step at which it hangs.
    hold = Hold(tmp_path / "held", at=25)
    events = train(short_order(tmp_path), stand_in(hold=hold, ISENGARD_SIMULATOR_FAULT=fault), limits=QUICK)
    wanted = (lambda event: isinstance(event, Log)) if fault == "hang-load" else is_at_step(20)
    identity = identity_in(until(events, wanted))
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < 30
    assert not is_running(identity)


def test_what_a_finished_trainer_leaves_running_is_ended(tmp_path: Path) -> None:
    events = run(short_order(tmp_path), ISENGARD_SIMULATOR_FAULT="grandchild")
    assert isinstance(events[-1], Finished)
    assert not is_running(identity_in(events))


def test_a_trainer_heeds_an_interrupt_though_its_worker_ignores_them(tmp_path: Path) -> None:
    ignored: list[bool] = []

    def work() -> None:
        events = train(short_order(tmp_path), stand_in(hold=Hold(tmp_path / "held", at=1)), limits=QUICK)
        pid = identity_in(until(events, is_at_step(1)))["pid"]
        status = Path(f"/proc/{pid}/status").read_text()
        mask = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn")), 16)
        ignored.append(bool(mask >> (signal.SIGINT - 1) & 1))
        events.close()

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert ignored == [False]


def test_a_folder_without_the_program_names_its_setting(tmp_path: Path) -> None:
    nowhere = Installation(directory=tmp_path, python="python3", environment={})
    with pytest.raises(EngineFailed, match="AI_TOOLKIT_DIR"):
        list(train(short_order(tmp_path), nowhere))


@pytest.mark.parametrize("python", ["/nowhere/python", "no-such-python", str(Path(__file__))])
def test_an_interpreter_that_does_not_start_names_its_setting(python: str, tmp_path: Path) -> None:
    wrong = Installation(directory=stand_in().directory, python=python, environment={})
    with pytest.raises(EngineFailed, match="AI_TOOLKIT_PYTHON"):
        list(train(short_order(tmp_path), wrong))
