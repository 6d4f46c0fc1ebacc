"""The files that a running trainer makes, each told once and only when it is whole."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from jobs.events import Artifact
from training.engines.aitoolkit.checkpoints import Checkpoint, list_saves, read_checkpoint
from training.engines.aitoolkit.job_file import SAMPLE_FORMAT
from training.engines.aitoolkit.workspace import Workspace

_SAMPLE = re.compile(rf"\d+__(?P<step>\d{{9}})_(?P<index>\d+)\.{SAMPLE_FORMAT}")


class Outputs:
    """Made before the trainer starts: what lies in the workspace then belongs to earlier attempts."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._told = {*self._samples(), *self._saves()}
        self._last_saved_step: int | None = None

    @property
    def last_saved_step(self) -> int | None:
        """The newest step of this attempt whose checkpoint was told."""
        return self._last_saved_step

    def new(self) -> Iterator[Artifact]:
        for path in self._samples():
            if path not in self._told:
                self._told.add(path)
                yield _sample(path)
        for path in self._saves():
            yield from self._new_checkpoint(path)

    def _new_checkpoint(self, path: Path) -> Iterator[Artifact]:
        checkpoint = None if path in self._told else self._copy(path)
        if checkpoint is None:
            return
        self._told.add(path)
        yield Artifact(type="checkpoint", name=path.name, path=checkpoint.path, step=checkpoint.step)
        checkpoint.path.unlink(missing_ok=True)
        self._last_saved_step = checkpoint.step

    def _copy(self, path: Path) -> Checkpoint | None:
        # The trainer removes old saves whenever it makes a new one, perhaps while this one is being uploaded. A hard
        # link would keep it, but changes the time by which the trainer finds its newest save.
        self._workspace.outbox.mkdir(exist_ok=True)
        copy = self._workspace.outbox / path.name
        try:
            shutil.copyfile(path, copy)
        except FileNotFoundError:
            return None
        return read_checkpoint(copy)

    def _samples(self) -> list[Path]:
        if not self._workspace.samples.is_dir():
            return []
        return sorted(path for path in self._workspace.samples.iterdir() if _SAMPLE.fullmatch(path.name))

    def _saves(self) -> list[Path]:
        return list_saves(self._workspace.saves, self._workspace.name)


def _sample(path: Path) -> Artifact:
    match = _SAMPLE.fullmatch(path.name)
    assert match is not None, path  # noqa: S101 — only listed paths come here, and those match.
    step, index = int(match["step"]), int(match["index"])
    suffix = f"_{index}" if index else ""
    return Artifact(type="sample", name=f"step_{step:05d}{suffix}.{SAMPLE_FORMAT}", path=path, step=step)
