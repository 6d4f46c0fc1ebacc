"""Trainings that are drained, fail or are killed, and the attempts after them; with the stand-in as a real process."""

import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jobs.errors import EngineFailed
from jobs.events import Artifact, Event, Finished, Log, Started, Tick
from tests.training.aitoolkit_fixtures import JOB_ID, stand_in, write_lora
from tests.training.aitoolkit_runs import (
    QUICK,
    failure_of,
    identity_in,
    is_at_step,
    is_gone_within,
    logged,
    names_in,
    run,
    run_seen_from_its_start,
    short_order,
    steps_in,
    until,
)
from tests.training.holding import Hold
from training.engines.aitoolkit import Limits, is_running, train
from training.engines.order import TrainingOrder

pytestmark = pytest.mark.usefixtures("no_memory_kills")


def test_a_drained_training_saves_and_the_next_attempt_goes_on_from_there(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    events = train(order, stand_in(hold=Hold(tmp_path / "held", at=30)), limits=QUICK)
    first = until(events, is_at_step(30))
    order.controls.ask_to_drain()
    first += list(events)
    assert not any(isinstance(event, Finished) for event in first)
    assert not is_running(identity_in(first))
    saved = [event.step for event in first if isinstance(event, Artifact) and event.type == "checkpoint"]
    assert saved
    assert saved[-1] is not None
    assert saved[-1] >= steps_in(until(iter(first), is_at_step(30)))[-1]
    second = run_seen_from_its_start(short_order(tmp_path, attempt=2))
    assert steps_in(second)[0] == saved[-1]
    assert isinstance(second[-1], Finished)
    assert f"Going on from step {saved[-1]} of 200." in logged(second)


def test_a_resumed_training_does_not_tell_the_files_of_the_earlier_attempt_again(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    events = train(order, stand_in(hold=Hold(tmp_path / "held", at=120)), limits=QUICK)
    first = until(events, is_at_step(120))
    order.controls.ask_to_drain()
    first += list(events)
    second = run(short_order(tmp_path, attempt=2))
    assert names_in(second, "sample") == ["step_00200.png"]
    assert set(names_in(first, "checkpoint")).isdisjoint(names_in(second, "checkpoint"))


@pytest.mark.parametrize("fault", ["hang-load", "hang@0"])
def test_a_drain_before_the_training_began_waits_for_nothing(fault: str, tmp_path: Path) -> None:
    order = short_order(tmp_path)
    events = train(order, stand_in(ISENGARD_SIMULATOR_FAULT=fault), limits=QUICK)
    until(events, lambda event: isinstance(event, Log))
    order.controls.ask_to_drain()
    began = time.monotonic()
    rest = list(events)
    assert time.monotonic() - began < 30
    assert not any(isinstance(event, Artifact) and event.type == "checkpoint" for event in rest)


def test_a_drain_that_gets_no_save_gives_up_in_time_and_says_so(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    limits = Limits(poll_seconds=0.05, interrupt_seconds=0.2, terminate_seconds=0.2, drain_seconds=0.5)
    events = train(order, stand_in(ISENGARD_SIMULATOR_FAULT="hang@20"), limits=limits)
    until(events, is_at_step(20))
    order.controls.ask_to_drain()
    rest = list(events)
    assert re.search(r"Not saved within 0 s: \d+ steps are lost\. They will be trained again\.", logged(rest))
    assert not any(isinstance(event, Finished) for event in rest)


def test_an_order_that_is_draining_already_starts_nothing(tmp_path: Path) -> None:
    order = short_order(tmp_path)
    order.controls.ask_to_drain()
    assert {type(event) for event in run(order)} <= {Tick}


def test_a_killed_trainer_is_a_failure_that_another_attempt_repairs(tmp_path: Path) -> None:
    events = train(short_order(tmp_path), stand_in(hold=Hold(tmp_path / "held", at=150)), limits=QUICK)
    taken = until(events, lambda event: isinstance(event, Artifact) and event.type == "checkpoint")
    os.kill(identity_in(taken)["pid"], signal.SIGKILL)
    with pytest.raises(EngineFailed, match="SIGKILL") as caught:
        list(events)
    assert caught.value.is_retryable
    second = run_seen_from_its_start(short_order(tmp_path, attempt=2))
    assert steps_in(second)[0] == 100
    assert isinstance(second[-1], Finished)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("oom@25x4", "in a training step"),
        ("oom-load", "while it loaded the base model"),
        ("oom-sample", "while it made sample pictures"),
        ("nan@25", "Lower the learning rate"),
        ("exit@25:7", "exit code 7"),
        ("crash@25", "SIGKILL"),
        ("no-final", "wrote no LoRA"),
        ("wrong-step", "instead of 200"),
        ("disk-full@100", "disk is full"),
        ("missing-dependency", "AI_TOOLKIT_PYTHON"),
    ],
)
def test_each_way_to_fail_says_what_to_do(fault: str, words: str, tmp_path: Path) -> None:
    assert words in str(failure_of(short_order(tmp_path), fault))


def with_bad_pictures(order: TrainingOrder, count: int) -> TrainingOrder:
    """Have the first pictures be files that are none, under the names that people gave them."""
    for index, image in enumerate(order.images[:count]):
        image.path.write_bytes(b"no picture at all, number %d" % index)
    named = (replace(image, name=f"beach {index}.png") for index, image in enumerate(order.images))
    return replace(order, images=tuple(named))


def test_a_picture_that_cannot_be_read_is_named_and_the_training_does_without_it(tmp_path: Path) -> None:
    events = run(with_bad_pictures(short_order(tmp_path), 1))
    assert "cannot read the training image beach 0.png and does without it" in logged(events)
    assert "beach 1.png" not in logged(events)
    assert isinstance(events[-1], Finished)


def test_when_no_picture_can_be_read_all_are_named_and_the_training_fails(tmp_path: Path) -> None:
    told: list[Event] = []
    events = train(with_bad_pictures(short_order(tmp_path), 3), stand_in(), limits=QUICK)
    with pytest.raises(EngineFailed, match="no usable training images") as failure:
        told.extend(events)
    assert not failure.value.is_retryable
    assert all(f"beach {index}.png" in logged(told) for index in range(3))


def test_a_batch_that_did_not_fit_into_memory_is_survived(tmp_path: Path) -> None:
    assert isinstance(run(short_order(tmp_path), ISENGARD_SIMULATOR_FAULT="oom@25")[-1], Finished)


def test_a_trainer_that_hangs_is_given_up_after_its_limit(tmp_path: Path) -> None:
    limits = Limits(poll_seconds=0.05, interrupt_seconds=0.2, terminate_seconds=0.2, stall_seconds=1.5)
    failure = failure_of(short_order(tmp_path), "hang@25", limits=limits)
    assert "hung" in str(failure)
    assert failure.is_retryable


def test_a_truncated_checkpoint_is_set_aside_and_the_one_before_goes_on(tmp_path: Path) -> None:
    failure_of(short_order(tmp_path, steps=300), "truncate-checkpoint@200")
    second = run_seen_from_its_start(short_order(tmp_path, steps=300, attempt=2))
    assert steps_in(second)[0] == 100
    assert f"{JOB_ID}_000000200.safetensors is incomplete" in logged(second)
    assert isinstance(second[-1], Finished)


def test_a_published_checkpoint_starts_the_training_on_another_machine(tmp_path: Path) -> None:
    checkpoint = tmp_path / "published.safetensors"
    for event in train(short_order(tmp_path / "here"), stand_in(), limits=QUICK):
        if isinstance(event, Artifact) and event.type == "checkpoint":
            checkpoint.write_bytes(event.path.read_bytes())
    events = run_seen_from_its_start(short_order(tmp_path / "there", attempt=2, checkpoint=checkpoint))
    assert steps_in(events)[0] == 100
    assert isinstance(events[-1], Finished)


def test_a_published_checkpoint_does_not_replace_a_newer_one_of_the_workspace(tmp_path: Path) -> None:
    failure_of(short_order(tmp_path), "crash@150")
    older = write_lora(tmp_path / "older.safetensors", step=50, rank=4)
    second = run_seen_from_its_start(short_order(tmp_path, attempt=2, checkpoint=older))
    assert steps_in(second)[0] == 100


def test_a_finished_training_that_is_run_again_finishes_again(tmp_path: Path) -> None:
    run(short_order(tmp_path))
    assert isinstance(run(short_order(tmp_path, attempt=2))[-1], Finished)


def test_a_new_attempt_ends_the_trainer_of_an_earlier_one(tmp_path: Path) -> None:
    hold = Hold(tmp_path / "held", at=1)
    earlier = train(short_order(tmp_path), stand_in(hold=hold), limits=QUICK)
    identity = identity_in(until(earlier, is_at_step(1)))
    later = train(short_order(tmp_path, attempt=2), stand_in(hold=hold), limits=QUICK)
    until(later, lambda event: isinstance(event, Started))
    assert is_gone_within(identity, 30)
    with pytest.raises(EngineFailed, match="SIGKILL"):
        list(earlier)
    later.close()
