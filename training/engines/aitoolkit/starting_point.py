"""Which save a training goes on from, and that ai-toolkit goes on from the same.

It takes whatever in its folder begins with the job's name and changed last, whole or not. Everything is therefore moved
out of its sight that is unusable, or that changed after the save to go on from.
"""

from collections.abc import Generator
from pathlib import Path

from jobs.events import Log, Tick
from training.engines.aitoolkit.checkpoints import (
    Checkpoint,
    IncompleteFileError,
    adopt_checkpoint,
    is_sound,
    read_checkpoint,
    read_step,
)
from training.engines.aitoolkit.workspace import Workspace
from training.engines.order import TrainingOrder

Start = tuple[Checkpoint | None, list[Log]]


def find_start(order: TrainingOrder, workspace: Workspace) -> Generator[Tick, None, Start]:
    """Return the save to go on from, None where the training begins anew, and what the job's log should say of it."""
    workspace.saves.mkdir(parents=True, exist_ok=True)
    shelf = _Shelf(workspace)
    start = yield from shelf.furthest(order.params.steps)
    start = shelf.take_published(order, start)
    shelf.hide_what_changed_after(start)
    if start is not None:
        shelf.remark(f"Going on from step {start.step} of {order.params.steps}.{shelf.optimizer_loss()}")
    return start, shelf.remarks


class _Shelf:
    """The folder that ai-toolkit saves in."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.remarks: list[Log] = []

    def remark(self, text: str, *, is_warning: bool = False) -> None:
        self.remarks.append(Log(message=text, level="WARNING" if is_warning else "INFO", event="training.resume"))

    def furthest(self, steps: int) -> Generator[Tick, None, Checkpoint | None]:
        """Return the sound save of the highest step, after what cannot be one was set aside."""
        for save in sorted(self._usable(steps), key=lambda save: (save.step, _changed_ns(save.path)), reverse=True):
            # All of the file is read for this, so only as many as it takes.
            yield Tick()
            if is_sound(save.path):
                return save
            self._set_aside(save.path, "has numbers that are no numbers: the training diverged")
            # What the optimizer has gathered is of the same sort, and would spoil the older save too.
            self._optimizer.unlink(missing_ok=True)
        return None

    def take_published(self, order: TrainingOrder, own: Checkpoint | None) -> Checkpoint | None:
        """Return a copy of the published checkpoint where it is further than the own save."""
        published = read_checkpoint(order.checkpoint) if order.checkpoint else None
        if order.checkpoint is None or (published and own and published.step <= own.step):
            return own
        adopted = None
        if published is not None and published.step <= order.params.steps:
            adopted = adopt_checkpoint(published.path, self._workspace.saves, self._workspace.name)
        if adopted is None:
            instead = f"going on from step {own.step}" if own else "starting from the beginning"
            self.remark(f"The published checkpoint is unusable: {instead}.", is_warning=True)
        return adopted or own

    def hide_what_changed_after(self, start: Checkpoint | None) -> None:
        for path in self._entries():
            if start is None or (path != start.path and _changed_ns(path) >= _changed_ns(start.path)):
                self._set_aside(path, "changed after the one to go on from")

    def optimizer_loss(self) -> str:
        return "" if self._optimizer.is_file() else " The optimizer's state is not there and starts anew."

    @property
    def _optimizer(self) -> Path:
        return self._workspace.saves / "optimizer.pt"

    def _entries(self) -> list[Path]:
        return sorted(path for path in self._workspace.saves.iterdir() if path.name.startswith(self._workspace.name))

    def _usable(self, steps: int) -> list[Checkpoint]:
        saves = []
        for path in self._entries():
            try:
                saves.append(_read(path, steps))
            except _UnusableError as exc:
                self._set_aside(path, str(exc))
        return saves

    def _set_aside(self, path: Path, why: str) -> None:
        self._workspace.set_aside.mkdir(parents=True, exist_ok=True)
        # By attempt, since a later one may meet a broken save of the same name.
        path.replace(self._workspace.set_aside / f"{self._workspace.attempt}-{path.name}")
        self.remark(f"The save {path.name} {why} and was set aside.", is_warning=True)


class _UnusableError(Exception):
    """Nothing to go on from; the text says why, after the file's name."""


def _read(path: Path, steps: int) -> Checkpoint:
    try:
        step = read_step(path)
    except (IncompleteFileError, IsADirectoryError) as exc:
        raise _UnusableError("is incomplete") from exc
    if step is None:
        raise _UnusableError("does not say of which step it is")
    if step > steps:
        raise _UnusableError(f"is of step {step}, though the training has only {steps}")
    return Checkpoint(path, step)


def _changed_ns(path: Path) -> int:
    return path.stat().st_ctime_ns
