"""Runs ai-toolkit for one attempt at one training and tells what happens."""

import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from jobs.errors import EngineFailed
from jobs.events import ENGINE_CONFIG_NAME, Artifact, Event, Holding, Log, Losses, Started, Tick
from training.engines.aitoolkit.eta import Plan
from training.engines.aitoolkit.failures import DISK_FULL, explain_failure, explain_os_error, is_disk_full
from training.engines.aitoolkit.health import Health
from training.engines.aitoolkit.job_row import JobRow
from training.engines.aitoolkit.leftovers import stop_attempts
from training.engines.aitoolkit.limits import DEFAULT_LIMITS, Limits
from training.engines.aitoolkit.memory_kills import count_memory_kills, has_grown
from training.engines.aitoolkit.process import Trainer, spawn
from training.engines.aitoolkit.progress import ProgressReader
from training.engines.aitoolkit.resume import Preparation, prepare
from training.engines.aitoolkit.run_facts import facts_of_run
from training.engines.aitoolkit.verdict import STOPPED, Ending, judge, version_of
from training.engines.aitoolkit.watch import Watch
from training.engines.aitoolkit.workspace import Workspace, workspace_for
from training.engines.order import Installation, TrainingOrder

_UNSTOPPABLE = "An earlier trainer of this job cannot be stopped: look at the processes of the training machine."


def train(
    order: TrainingOrder, installation: Installation, *, limits: Limits = DEFAULT_LIMITS
) -> Generator[Event, None, None]:
    """Train as `jobs.events` describes: end with Finished, raise EngineFailed, or return because of a drain."""
    workspace = workspace_for(order.job_id, order.workspace, attempt=order.attempt)
    if not stop_attempts(order.job_id, order.attempt):
        raise EngineFailed(_UNSTOPPABLE, is_retryable=True, cause="unstoppable")
    preparation = yield from _prepare(order, installation, workspace)
    if order.controls.is_draining:
        return
    with JobRow(workspace.job_row, order.job_id) as row:
        health = Health(start_step=preparation.start_step, titles=preparation.titles)
        watch = Watch(workspace, row, _progress(order, preparation), order.controls, health=health)
        earlier, memory_kills = version_of(workspace.model), count_memory_kills()
        with _running(order, installation, workspace=workspace, limits=limits) as trainer:
            yield Holding(identity=trainer.identity)
            yield Started()
            yield facts_of_run(installation, workspace, start_step=preparation.start_step)
            yield Artifact(type="config", name=ENGINE_CONFIG_NAME, path=workspace.job_file)
            yield from _tell(preparation)
            status = yield from _attend(trainer, watch, order=order, limits=limits)
    if status is None:
        return
    tail, titles = watch.console_tail, preparation.titles
    if status != 0:
        if is_disk_full(workspace.console.parent):
            # Its last words found no room either, or it died of having no room for them.
            raise EngineFailed(DISK_FULL, cause="disk_full")
        did_memory_run_out = has_grown(memory_kills, count_memory_kills())
        raise explain_failure(status, tail, picture_names=titles, did_memory_run_out=did_memory_run_out)
    yield judge(Ending(exit_status=status, console_tail=tail, model=workspace.model, earlier=earlier), order)


def _tell(preparation: Preparation) -> Iterator[Event]:
    yield from preparation.remarks
    if preparation.losses:
        yield Losses(points=preparation.losses)


def _prepare(
    order: TrainingOrder, installation: Installation, workspace: Workspace
) -> Generator[Event, None, Preparation]:
    try:
        return (yield from prepare(order, workspace, installation=installation))
    except OSError as exc:
        unprepared = EngineFailed(f"The job's workspace cannot be prepared: {exc.strerror or exc}.", cause="workspace")
        raise explain_os_error(exc) or unprepared from exc


@contextmanager
def _running(
    order: TrainingOrder, installation: Installation, *, workspace: Workspace, limits: Limits
) -> Iterator[Trainer]:
    trainer = spawn(order, installation, workspace)
    try:
        yield trainer
    finally:
        for step in trainer.stop(limits):
            order.controls.say_last(Log(message=f"Stopping the trainer by {step}.", event="training.stop"))
        # What it started in sessions of its own is in no group that was stopped.
        if not stop_attempts(order.job_id, order.attempt):
            order.controls.say_last(Log(message=_UNSTOPPABLE, level="ERROR", event="training.stop"))


def _progress(order: TrainingOrder, preparation: Preparation) -> ProgressReader:
    params = order.params
    plan = Plan(
        total=params.steps,
        start=preparation.start_step,
        sample_every=params.sample_every_n_steps,
        save_every=params.checkpoint_every_n_steps,
    )
    return ProgressReader(plan)


def _attend(
    trainer: Trainer, watch: Watch, *, order: TrainingOrder, limits: Limits
) -> Generator[Event, None, int | None]:
    """Return the exit status, or None when the job should go on elsewhere because of a drain."""
    status = None
    while status is None and not order.controls.is_draining:
        yield from watch.look()
        watch.refuse_stall(limits)
        status = trainer.wait(limits.poll_seconds)
    if status is None:
        status = yield from _save_for_drain(trainer, watch, order=order, limits=limits)
    yield from watch.look_last()
    is_taken_down = status is not None and (yield from _is_drained(status, watch, order=order, limits=limits))
    return None if is_taken_down else status


def _save_for_drain(
    trainer: Trainer, watch: Watch, *, order: TrainingOrder, limits: Limits
) -> Generator[Event, None, int | None]:
    """Let the trainer save what is not saved yet. Return the exit status if it comes to its end by itself meanwhile."""
    if not watch.unsaved_steps:
        return None
    began, step = time.monotonic(), watch.ask_to_save()
    while not watch.is_saved(step):
        patience_seconds = limits.drain_seconds if order.controls.is_hurried else limits.yield_seconds
        if time.monotonic() - began >= patience_seconds:
            text = f"Not saved within {patience_seconds:.0f} s: {watch.unsaved_steps} steps are lost."
            yield Log(message=f"{text} They will be trained again.", level="WARNING", event="training.drain")
            return None
        yield from watch.look()
        status = trainer.wait(limits.poll_seconds)
        if status is not None:
            return status
    yield Log(message=f"Saved after {time.monotonic() - began:.1f} s, to go on elsewhere.", event="training.drain")
    return None


def _is_drained(status: int, watch: Watch, *, order: TrainingOrder, limits: Limits) -> Generator[Tick, None, bool]:
    """Return whether the trainer was ended from outside together with its worker, which costs the job nothing."""
    if status >= 0 and not (status == 0 and STOPPED in watch.console_tail):
        return False
    until = time.monotonic() + (0.0 if status == -signal.SIGKILL else limits.drain_notice_seconds)
    while not order.controls.is_draining and time.monotonic() < until:
        yield Tick()
        time.sleep(0.1)
    return order.controls.is_draining
