"""What a run of the stand-in trainer tells on its way: the whole loss curve, files when they are whole, and what was
asked for."""

import shutil
from pathlib import Path

import pytest

from jobs.errors import EngineFailed
from jobs.events import Artifact, Event, Finished, Log, Losses, Obeyed, Progress
from tests.training.aitoolkit_fixtures import JOB_ID, paint, stand_in
from tests.training.aitoolkit_runs import (
    QUICK,
    SLOW,
    is_at_step,
    is_progress,
    logged,
    names_in,
    run,
    run_seen,
    short_order,
    until,
)
from tests.training.holding import Hold
from training.engines.aitoolkit import train
from training.engines.aitoolkit.outputs import Outputs
from training.engines.aitoolkit.workspace import Workspace, workspace_for


def losses_in(events: list[Event]) -> list[int]:
    return [point.step for event in events if isinstance(event, Losses) for point in event.points]


def is_checkpoint(event: Event) -> bool:
    return isinstance(event, Artifact) and event.type == "checkpoint"


def test_every_step_but_the_first_has_its_loss_once(tmp_path: Path) -> None:
    assert losses_in(run(short_order(tmp_path))) == list(range(2, 201))


def test_a_loss_that_is_no_number_is_in_the_curve_as_unknown(tmp_path: Path) -> None:
    events: list[Event] = []
    with pytest.raises(EngineFailed, match="diverged"):
        events.extend(train(short_order(tmp_path), stand_in(ISENGARD_SIMULATOR_FAULT="nan@150"), limits=QUICK))
    told = {point.step: point.loss for event in events if isinstance(event, Losses) for point in event.points}
    assert min(step for step, loss in told.items() if loss is None) == 151
    assert all(loss is None for step, loss in told.items() if step > 150)


def test_a_second_attempt_goes_on_with_the_curve_where_its_checkpoint_is(tmp_path: Path) -> None:
    first = train(short_order(tmp_path), stand_in(ISENGARD_SIMULATOR_STEP_SECONDS="0.02"), limits=QUICK)
    until(first, is_checkpoint)
    # The trainer writes its losses down four times a second, and what it has not written dies with it.
    until(first, is_at_step(150))
    first.close()
    second = run(short_order(tmp_path, attempt=2))
    told = losses_in(second)
    # The step that a run starts with is never logged; the attempt before had made it.
    assert told == sorted(set(told))
    assert set(told) >= set(range(2, 101)) | set(range(102, 201))


def test_a_second_attempt_on_another_machine_tells_its_own_steps_only(tmp_path: Path) -> None:
    first = train(short_order(tmp_path), stand_in(**SLOW), limits=QUICK)
    saved = until(first, is_checkpoint)[-1]
    assert isinstance(saved, Artifact)
    published = shutil.copyfile(saved.path, tmp_path / saved.name)
    first.close()
    shutil.rmtree(tmp_path / "workspace")
    told = losses_in(run(short_order(tmp_path, attempt=2, checkpoint=published)))
    assert told == list(range(102, 201))


@pytest.mark.parametrize(
    ("verb", "kind", "asked", "done"),
    [
        ("save", "checkpoint", "Saving on request.", "Saved step"),
        ("sample", "sample", "Sampling on request.", "Sampled step"),
    ],
)
def test_what_is_asked_for_is_made_at_the_next_step_and_told(tmp_path, verb, kind, asked, done) -> None:
    order = short_order(tmp_path)
    hold = Hold(tmp_path / "held", at=20)
    events = train(order, stand_in(hold=hold), limits=QUICK)
    until(events, is_at_step(20))
    getattr(order.controls, f"ask_to_{verb}")()
    until_done = until(events, lambda event: isinstance(event, Obeyed))
    [obeyed] = [event for event in until_done if isinstance(event, Obeyed)]
    [made] = [event for event in until_done if isinstance(event, Artifact) and event.type == kind]
    assert obeyed.verb == verb
    assert 20 <= made.step < 100
    hold.let_go()
    rest = list(events)
    said = logged([*until_done, *rest])
    assert said.count(asked) == 1
    assert f"{done} {made.step} on request." in said
    assert isinstance(rest[-1], Finished)
    assert not [event for event in rest if isinstance(event, Obeyed)]


def test_what_is_asked_for_while_the_trainer_loads_waits_for_the_first_step(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    order.controls.ask_to_save()
    order.controls.ask_to_save()
    # The request is passed on with the first look, which may come late.
    events = run_seen(order, (1, lambda event: isinstance(event, Obeyed)))
    steps = [event.step for event in events if is_checkpoint(event)]
    assert len(steps) == 2
    assert steps[0] < 50
    assert steps[1] == 100


def test_every_sample_of_every_round_is_told_by_its_name(tmp_path: Path) -> None:
    events = run(short_order(tmp_path, sample_count=2))
    names = [f"step_{step:05d}{index}.png" for step in (0, 100, 200) for index in ("", "_1")]
    assert sorted(names_in(events, "sample")) == names


def test_the_estimate_of_a_real_run_comes_close(tmp_path: Path) -> None:
    events = run_seen(short_order(tmp_path), ("Starting", is_progress), (150, is_at_step(100)), **SLOW)
    told = [event for event in events if isinstance(event, Progress)]
    loading = [event for event in told if event.stage in ("initializing", "loading_model", "preparing_dataset")]
    assert loading
    assert {event.eta_seconds for event in loading} == {None}
    estimates = [(event.step or 0, event.eta_seconds) for event in told if event.eta_seconds is not None]
    assert min(seconds for _, seconds in estimates) >= 0
    # Of the first few steps a single slow one says that all of them are.
    late = [seconds for step, seconds in estimates if step >= 100]
    assert late
    assert max(late) < 60


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_for(JOB_ID, tmp_path, attempt=1)


def sample(workspace: Workspace, step: int, index: int = 0, *, at: int = 1) -> Path:
    return paint(workspace.samples / f"{at}__{step:09d}_{index}.png")


def test_a_half_written_picture_is_not_told_until_it_is_whole(workspace: Workspace) -> None:
    outputs = Outputs(workspace)
    path = sample(workspace, 100)
    whole = path.read_bytes()
    for length in (0, 5, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert list(outputs.new()) == []
    path.write_bytes(whole)
    assert names_in(list(outputs.new()), "sample") == ["step_00100.png"]
    assert list(outputs.new()) == []


def test_a_second_picture_of_the_same_name_is_not_dropped_without_a_word(workspace: Workspace) -> None:
    outputs = Outputs(workspace)
    sample(workspace, 100, at=1)
    assert names_in(list(outputs.new()), "sample") == ["step_00100.png"]
    sample(workspace, 100, at=2)
    [said] = outputs.new()
    assert isinstance(said, Log)
    assert "step_00100.png" in said.message
