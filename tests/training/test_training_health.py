"""When a running trainer is given up."""

import math
from typing import Any

import pytest

from jobs.errors import EngineFailed
from jobs.events import Log, Loss
from training.engines.aitoolkit import health
from training.engines.aitoolkit.health import Health
from training.engines.aitoolkit.job_row import RowState
from training.engines.aitoolkit.limits import MAX_LOST_LOSSES, Limits


def healthy(start_step: int = 0, **titles: str) -> Health:
    return Health(start_step=start_step, titles={f"{name}.png": title for name, title in titles.items()})


def losses(*values: float | None, rate: float = 1e-3) -> list[Loss]:
    return [Loss(step=step, loss=value, learning_rate=rate) for step, value in enumerate(values, start=2)]


def row(step: int = 0, *, status: str = "running", info: str = "Training") -> RowState:
    fields: dict[str, Any] = {"status": status, "info": info, "step": step, "iteration_speed": None}
    flags = {name: False for name in RowState.__slots__ if name.startswith("is_")}
    return RowState(**fields, **flags)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr(health.time, "monotonic", lambda: self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize("lost", [None, 0.0])
def test_twenty_losses_in_a_row_that_are_no_numbers_end_the_training(lost: float | None) -> None:
    with pytest.raises(
        EngineFailed, match=r"no number since step 3\. Lower the learning rate \(it was 0\.001\)"
    ) as told:
        list(healthy().measure(losses(0.4, *[lost] * MAX_LOST_LOSSES)))
    assert (told.value.cause, told.value.is_retryable) == ("diverged", False)


def test_nineteen_are_warned_of_once_and_survived() -> None:
    warnings = list(healthy().measure(losses(*[None] * (MAX_LOST_LOSSES - 1), 0.5)))
    assert [(line.level, line.event) for line in warnings] == [("WARNING", "training.diverged")]


def test_a_number_in_between_starts_the_count_anew() -> None:
    ill = healthy()
    list(ill.measure(losses(*[None] * (MAX_LOST_LOSSES - 1), 0.5)))
    list(ill.measure(losses(*[None] * (MAX_LOST_LOSSES - 1))))


def test_the_count_goes_on_from_one_look_to_the_next() -> None:
    ill = healthy()
    for _ in range(MAX_LOST_LOSSES - 1):
        list(ill.measure(losses(None)))
    with pytest.raises(EngineFailed, match="since step 2"):
        list(ill.measure(losses(None)))


def test_a_large_loss_is_a_number() -> None:
    assert not list(healthy().measure(losses(*[1e9] * 100, math.pi)))


def test_a_trainer_that_says_it_began_elsewhere_is_given_up() -> None:
    line = Log(message="Found step 250 in metadata, starting from there")
    assert not list(healthy(250).listen([line]))
    with pytest.raises(EngineFailed, match="began at step 250 though the newest whole save is of step 100"):
        list(healthy(100).listen([line]))
    with pytest.raises(EngineFailed, match="began at step 250"):
        list(healthy(0).listen([line]))


def test_a_trainer_that_begins_anew_without_a_word_is_given_up_after_a_moment(clock: Clock) -> None:
    suspect = healthy(100)
    suspect.refuse_wrong_start(row(3), "training")
    clock.seconds += 4
    suspect.refuse_wrong_start(row(5), "training")
    clock.seconds += 2
    with pytest.raises(EngineFailed, match="began at step 7"):
        suspect.refuse_wrong_start(row(7), "training")


def test_a_row_that_is_only_a_moment_behind_its_words_is_believed(clock: Clock) -> None:
    suspect = healthy(100)
    suspect.refuse_wrong_start(row(0), "training")
    clock.seconds += 1
    suspect.refuse_wrong_start(row(100), "training")
    clock.seconds += 10
    suspect.refuse_wrong_start(row(0, status="stopped"), "training")


@pytest.mark.parametrize(
    ("stage", "minutes", "where"),
    [
        ("training", 20, "at step 25"),
        ("sampling", 20, "while it made sample pictures"),
        ("saving_checkpoint", 20, "while it saved a checkpoint"),
        ("loading_model", 60, "while it loaded the base model"),
        ("preparing_dataset", 60, "while it prepared the images"),
    ],
)
def test_standing_still_is_given_up_and_said_where(stage: Any, minutes: int, where: str, clock: Clock) -> None:
    still, limits = healthy(), Limits()
    still.refuse_stall(row(25), 100, stage=stage, limits=limits)
    clock.seconds += minutes * 60
    still.refuse_stall(row(25), 100, stage=stage, limits=limits)
    clock.seconds += 1
    with pytest.raises(EngineFailed, match=f"hung {where}: no sign of life for {minutes} minutes") as told:
        still.refuse_stall(row(25), 100, stage=stage, limits=limits)
    assert (told.value.cause, told.value.is_retryable) == ("stalled", True)
    assert "nvidia-smi" in str(told.value)


@pytest.mark.parametrize("sign", ["a step", "a printed byte", "other words"])
def test_any_sign_of_life_counts(sign: str, clock: Clock) -> None:
    alive, limits = healthy(), Limits()
    alive.refuse_stall(row(25), 100, stage="training", limits=limits)
    clock.seconds += 1199
    after = {"a step": (row(26), 100), "a printed byte": (row(25), 101), "other words": (row(25, info="Saving"), 100)}
    alive.refuse_stall(*after[sign], stage="training", limits=limits)
    clock.seconds += 1199
    alive.refuse_stall(*after[sign], stage="training", limits=limits)


def test_a_picture_that_cannot_be_read_is_named_once_as_its_owner_knows_it() -> None:
    lines = [Log(message="Error processing image: /d/0a1b.png")] * 2
    named = list(healthy(**{"0a1b": "beach.jpg"}).listen(lines))
    assert [line.message for line in named] == [
        "ai-toolkit cannot read the training image beach.jpg and does without it."
    ]
    assert named[0].level == "WARNING"
