"""The files that a running trainer makes, each told once and only when it is whole."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from jobs.events import Artifact, Event, Log
from training.engines.aitoolkit.checkpoints import is_sound, list_saves, read_checkpoint
from training.engines.aitoolkit.job_file import SAMPLE_FORMAT
from training.engines.aitoolkit.workspace import Workspace

_SAMPLE = re.compile(rf"\d+__(?P<step>\d{{9}})_(?P<index>\d+)\.{SAMPLE_FORMAT}")
# The chunk with which every PNG ends: no data, and the checksum of that.
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


class Outputs:
    """Made before the trainer starts: what lies in the workspace then belongs to earlier attempts."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._told = {*self._samples(), *self._saves()}
        self._names: set[str] = set()
        self._last_saved_step: int | None = None
        self._last_sampled_step: int | None = None
        self.saves_told = 0
        self.samples_told = 0

    @property
    def last_saved_step(self) -> int | None:
        """The newest step of this attempt whose checkpoint was told."""
        return self._last_saved_step

    @property
    def last_sampled_step(self) -> int | None:
        """The step of the sample that was told last."""
        return self._last_sampled_step

    def new(self) -> Iterator[Event]:
        for path in self._samples():
            if path not in self._told and _is_whole(path):
                self._told.add(path)
                yield self._new_sample(path)
        for path in self._saves():
            yield from self._new_checkpoint(path)

    def _new_sample(self, path: Path) -> Event:
        sample = _sample(path)
        self._last_sampled_step = sample.step
        self.samples_told += 1
        if sample.name in self._names:
            # Made on request, and by plan a moment later or before: one name, and whoever saw it may keep it.
            return Log(message=f"{sample.name} was made twice; the first one stays.", event="training.sample")
        self._names.add(sample.name)
        return sample

    def _new_checkpoint(self, path: Path) -> Iterator[Event]:
        copy = None if path in self._told else self._copy(path)
        if copy is None:
            return
        self._told.add(path)
        checkpoint = read_checkpoint(copy)
        if checkpoint is None or not is_sound(copy):
            text = f"The save {path.name} is incomplete or has numbers that are none, so it is no checkpoint."
            yield Log(message=text, level="WARNING", event="training.bad_checkpoint")
        else:
            yield Artifact(type="checkpoint", name=path.name, path=copy, step=checkpoint.step)
            self._last_saved_step = checkpoint.step
            self.saves_told += 1
        copy.unlink(missing_ok=True)

    def _copy(self, path: Path) -> Path | None:
        # The trainer removes old saves whenever it makes a new one, perhaps while this one is being uploaded. A hard
        # link would keep it, but changes the time by which the trainer finds its newest save.
        self._workspace.outbox.mkdir(exist_ok=True)
        copy = self._workspace.outbox / path.name
        try:
            shutil.copyfile(path, copy)
        except FileNotFoundError:
            return None
        return copy

    def _samples(self) -> list[Path]:
        if not self._workspace.samples.is_dir():
            return []
        return sorted(path for path in self._workspace.samples.iterdir() if _SAMPLE.fullmatch(path.name))

    def _saves(self) -> list[Path]:
        return list_saves(self._workspace.saves, self._workspace.name)


def _is_whole(path: Path) -> bool:
    # The trainer moves a picture into place when it is written, but a full disk or a copy by hand does not.
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - len(_PNG_END)))
        return file.read() == _PNG_END


def _sample(path: Path) -> Artifact:
    match = _SAMPLE.fullmatch(path.name)
    assert match is not None, path  # noqa: S101 — only listed paths come here, and those match.
    step, index = int(match["step"]), int(match["index"])
    suffix = f"_{index}" if index else ""
    return Artifact(type="sample", name=f"step_{step:05d}{suffix}.{SAMPLE_FORMAT}", path=path, step=step)
