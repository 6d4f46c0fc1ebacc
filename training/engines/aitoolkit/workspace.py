"""Where the files of one job lie on the machine that trains it."""

import re
from dataclasses import dataclass
from pathlib import Path

# ai-toolkit looks for earlier saves with glob, which these break, and leaves out every path that contains one of the
# words, wherever in the path it stands (get_latest_save_path). It then neither resumes nor removes old saves.
_GLOB_CHARACTERS = "[]*?"
_IGNORED_WORDS = ("_LoRA", "_refiner", "_t2i", "_cn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """`name` is what ai-toolkit calls the job: the name of its folder and the beginning of each of its files."""

    root: Path
    name: str
    attempt: int

    @property
    def dataset(self) -> Path:
        return self.root / "dataset"

    @property
    def training_folder(self) -> Path:
        return self.root / "output"

    @property
    def saves(self) -> Path:
        return self.training_folder / self.name

    @property
    def samples(self) -> Path:
        return self.saves / "samples"

    @property
    def model(self) -> Path:
        return self.saves / f"{self.name}.safetensors"

    @property
    def loss_log(self) -> Path:
        return self.saves / "loss_log.db"

    @property
    def job_file(self) -> Path:
        return self.root / "job.json"

    @property
    def job_row(self) -> Path:
        return self.root / f"job-{self.attempt}.db"

    @property
    def console(self) -> Path:
        return self.root / f"console-{self.attempt}.log"

    @property
    def outbox(self) -> Path:
        return self.root / "outbox"

    @property
    def set_aside(self) -> Path:
        return self.root / "set-aside"

    def hazards(self) -> list[str]:
        """List what in the folder's path keeps ai-toolkit from finding its earlier saves."""
        path = str(self.saves)
        words = [word for word in _IGNORED_WORDS if word in path and word not in self.name]
        return [character for character in _GLOB_CHARACTERS if character in path] + words


def workspace_for(job_id: str, root: Path, *, attempt: int) -> Workspace:
    # ai-toolkit uses the name raw in paths and in glob patterns, where other characters fail late or silently.
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", job_id) or "job"
    return Workspace(root=root.absolute(), name=name, attempt=attempt)
