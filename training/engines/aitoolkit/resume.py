"""Everything that has to be in place before ai-toolkit starts, also after an attempt that was killed anywhere."""

from collections.abc import Generator
from dataclasses import dataclass

from jobs.events import Log, Tick
from training.engines.aitoolkit.checkpoints import (
    Checkpoint,
    adopt_checkpoint,
    newest_checkpoint,
    set_aside_broken,
)
from training.engines.aitoolkit.dataset import stage_dataset
from training.engines.aitoolkit.job_file import build_job, explain_choices, render_job
from training.engines.aitoolkit.workspace import Workspace
from training.engines.order import TrainingOrder


@dataclass(frozen=True, slots=True)
class Preparation:
    start_step: int
    remarks: tuple[Log, ...]


def prepare(order: TrainingOrder, workspace: Workspace) -> Generator[Tick, None, Preparation]:
    remarks = explain_choices(order)
    job = render_job(build_job(order, workspace))
    remarks += yield from stage_dataset(order, workspace.dataset)
    start, resume_remarks = _find_start(order, workspace)
    _write_atomically(workspace, job)
    remarks += [*resume_remarks, *_warn_of_hazards(workspace)]
    return Preparation(start.step if start else 0, tuple(remarks))


def _find_start(order: TrainingOrder, workspace: Workspace) -> tuple[Checkpoint | None, list[Log]]:
    workspace.saves.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(workspace)
    broken = set_aside_broken(workspace.saves, workspace.name, workspace.set_aside)
    remarks = [_remark(f"The save {name} is incomplete and was set aside.", is_warning=True) for name in broken]
    start = newest_checkpoint(workspace.saves, workspace.name)
    if start is None and order.checkpoint is not None:
        start = adopt_checkpoint(order.checkpoint, workspace.saves, workspace.name)
        if start is None:
            remarks.append(
                _remark("The published checkpoint is unusable: starting from the beginning.", is_warning=True)
            )
    if start is not None:
        remarks.append(_remark(f"Going on from step {start.step} of {order.params.steps}."))
    return start, remarks


def _remove_leftovers(workspace: Workspace) -> None:
    # The trainer writes a save under a temporary name first. The loss log of an earlier attempt holds steps that this
    # one has not made yet, and would be read as its own until ai-toolkit prunes them.
    for path in [*workspace.saves.glob(".tmp*"), *workspace.saves.glob(f"{workspace.loss_log.name}*")]:
        path.unlink(missing_ok=True)


def _write_atomically(workspace: Workspace, text: str) -> None:
    partial = workspace.job_file.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(workspace.job_file)


def _warn_of_hazards(workspace: Workspace) -> list[Log]:
    hazards = workspace.hazards()
    if not hazards:
        return []
    text = f"The data directory's path contains {', '.join(hazards)}: ai-toolkit cannot resume or clean up there."
    return [_remark(text, is_warning=True)]


def _remark(text: str, *, is_warning: bool = False) -> Log:
    return Log(message=text, level="WARNING" if is_warning else "INFO", event="training.resume")
