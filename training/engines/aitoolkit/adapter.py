"""Runs ai-toolkit for one attempt at one training and tells what happens."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from jobs.errors import EngineFailed
from jobs.events import ENGINE_CONFIG_NAME, Artifact, Event, Holding, Log, Started
from training.engines.aitoolkit.job_row import JobRow
from training.engines.aitoolkit.leftovers import stop_earlier_attempts
from training.engines.aitoolkit.limits import DEFAULT_LIMITS, Limits
from training.engines.aitoolkit.outputs import Outputs
from training.engines.aitoolkit.process import Trainer, spawn
from training.engines.aitoolkit.progress import ProgressReader
from training.engines.aitoolkit.resume import Preparation, prepare
from training.engines.aitoolkit.verdict import Ending, judge, version_of
from training.engines.aitoolkit.watch import Watch
from training.engines.aitoolkit.workspace import Workspace, workspace_for
from training.engines.order import Installation, TrainingOrder


def train(
    order: TrainingOrder, installation: Installation, *, limits: Limits = DEFAULT_LIMITS
) -> Generator[Event, None, None]:
    """Train as `jobs.events` describes: end with Finished, raise EngineFailed, or return because of a drain."""
    workspace = workspace_for(order.job_id, order.workspace, attempt=order.attempt)
    if not stop_earlier_attempts(order.job_id, order.attempt):
        raise EngineFailed("An earlier trainer of this job cannot be stopped: look at the machine.", is_retryable=True)
    preparation = yield from _prepare(order, workspace)
    if order.controls.is_draining:
        return
    with JobRow(workspace.job_row, order.job_id) as row:
        outputs = Outputs(workspace)
        earlier = version_of(workspace.model)
        with _running(order, installation, workspace=workspace, limits=limits) as trainer:
            yield Holding(identity=trainer.identity)
            yield Started()
            yield Artifact(type="config", name=ENGINE_CONFIG_NAME, path=workspace.job_file)
            yield from preparation.remarks
            watch = Watch(workspace, row, outputs, _progress(order, preparation))
            status = yield from _attend(trainer, watch, order=order, limits=limits)
        if status is not None:
            ending = Ending(exit_status=status, console_tail=watch.console_tail, model=workspace.model, earlier=earlier)
            yield judge(ending, order)


def _prepare(order: TrainingOrder, workspace: Workspace) -> Generator[Event, None, Preparation]:
    try:
        return (yield from prepare(order, workspace))
    except OSError as exc:
        raise EngineFailed(f"The job's workspace cannot be prepared: {exc.strerror or exc}.") from exc


@contextmanager
def _running(
    order: TrainingOrder, installation: Installation, *, workspace: Workspace, limits: Limits
) -> Iterator[Trainer]:
    trainer = spawn(order, installation, workspace)
    try:
        yield trainer
    finally:
        trainer.stop(limits)


def _progress(order: TrainingOrder, preparation: Preparation) -> ProgressReader:
    return ProgressReader(total=order.params.steps, start_step=preparation.start_step)


def _attend(
    trainer: Trainer, watch: Watch, *, order: TrainingOrder, limits: Limits
) -> Generator[Event, None, int | None]:
    """Return the exit status, or None when the trainer still runs and should go because of a drain."""
    status = None
    while status is None and not order.controls.is_draining:
        yield from watch.look()
        watch.refuse_stall(limits)
        status = trainer.wait(limits.poll_seconds)
    if status is None:
        status = yield from _save_for_drain(trainer, watch, limits=limits)
    yield from watch.look_last()
    return status


def _save_for_drain(trainer: Trainer, watch: Watch, *, limits: Limits) -> Generator[Event, None, int | None]:
    """Let the trainer save what is not saved yet. Return the exit status if it comes to its end by itself meanwhile."""
    if not watch.has_unsaved_steps:
        return None
    step = watch.ask_to_save()
    deadline = time.monotonic() + limits.drain_seconds
    while not watch.is_saved(step):
        if time.monotonic() >= deadline:
            yield Log(message=f"Step {step} was not saved in time.", level="WARNING", event="training.drain")
            return None
        yield from watch.look()
        status = trainer.wait(limits.poll_seconds)
        if status is not None:
            return status
    return None
