"""Everything that has to be in place before ai-toolkit starts, also after an attempt that was killed anywhere."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field

from jobs.events import Log, Loss, Tick
from training.engines.aitoolkit.checkpoints import Checkpoint, list_saves
from training.engines.aitoolkit.dataset import stage_dataset
from training.engines.aitoolkit.job_file import build_job, explain_choices, render_job
from training.engines.aitoolkit.loss_log import LossLog
from training.engines.aitoolkit.manifest import titles_by_name
from training.engines.aitoolkit.starting_point import find_start
from training.engines.aitoolkit.workspace import Workspace
from training.engines.order import Installation, TrainingOrder


@dataclass(frozen=True, slots=True)
class Preparation:
    """`losses`: the curve up to `start_step`, as an earlier attempt on this machine measured it; `titles`: what people
    call the staged pictures, by file name."""

    start_step: int
    remarks: tuple[Log, ...]
    losses: tuple[Loss, ...] = ()
    titles: Mapping[str, str] = field(default_factory=dict)


def prepare(
    order: TrainingOrder, workspace: Workspace, *, installation: Installation
) -> Generator[Tick, None, Preparation]:
    remarks = explain_choices(order)
    job = render_job(build_job(order, workspace, installation=installation))
    remarks += yield from stage_dataset(order, workspace.dataset)
    # Read before it is removed: a worker that died may not have told the last of it.
    measured = LossLog(workspace.loss_log).read_rest()
    own_saves = [*list_saves(workspace.saves, workspace.name), workspace.model]
    _remove_leftovers(workspace)
    start, resume_remarks = yield from find_start(order, workspace)
    _write_atomically(workspace, job)
    remarks += [*resume_remarks, *_warn_of_hazards(workspace)]
    losses = _until(start, measured) if start and start.path in own_saves else ()
    return Preparation(start.step if start else 0, tuple(remarks), losses, titles_by_name(workspace.dataset))


def _until(start: Checkpoint, measured: list[Loss]) -> tuple[Loss, ...]:
    # A checkpoint is named by the step it was made in, which is one more when it is counted as completed.
    return tuple(point for point in measured if point.step <= start.step + 1)


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
    return [Log(message=text, level="WARNING", event="training.resume")]
