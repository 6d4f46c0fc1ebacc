"""A place to run the stand-in trainer in, as the real program would be run: a process, files and a database row."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from safetensors import deserialize

from tests.training.holding import Hold

PROGRAM_FOLDER = Path(__file__).resolve().parents[2] / "training" / "engines" / "simulator"
DEADLINE_SECONDS = 60.0
NAME = "ada_v1"
JOB_ID = "job-1"

_BAR = re.compile(rf"\r{NAME}: +\d+%\|.{{10}}\| (\d+)/(\d+) \[[^\]\r]*\]")
_JOB_TABLE = (
    "CREATE TABLE Job (id TEXT PRIMARY KEY, status TEXT, info TEXT, step INTEGER DEFAULT 0, speed_string TEXT,"
    " stop INTEGER DEFAULT 0, return_to_queue INTEGER DEFAULT 0, save_now INTEGER DEFAULT 0,"
    " sample_now INTEGER DEFAULT 0)"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def bars(self) -> list[tuple[int, int]]:
        """Return the completed and the total steps of each repaint of the training's bar."""
        return [(int(done), int(total)) for done, total in _BAR.findall(self.err)]

    @property
    def drawn(self) -> str:
        """Return what was drawn as if no time had passed: how long a step takes is up to the machine."""
        return re.sub(r"\[\d\d:\d\d", "[00:00", self.err)


def wait_until(is_met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_met():
        assert time.monotonic() < deadline, "the trainer did not get there in time"
        time.sleep(0.005)


class Bench:
    """A job that succeeds in a moment; a test changes `process` into the one it is about."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dataset = folder / "dataset"
        self.output = folder / "output" / NAME
        self.database = folder / "job.db"
        self.job_file = folder / "job.json"
        self.name = NAME
        self.job: dict[str, Any] = {"job": "extension", "meta": {"name": "[name]", "version": "1.0"}}
        self.process: dict[str, Any] = {
            "type": "sd_trainer",
            "training_folder": str(folder / "output"),
            "trigger_word": "ada",
            "network": {"type": "lora", "linear": 4, "linear_alpha": 4},
            "save": {"dtype": "bf16", "save_every": 1000, "max_step_saves_to_keep": 4},
            "datasets": [{"folder_path": str(self.dataset), "resolution": 64, "cache_latents_to_disk": True}],
            "train": {
                "steps": 6,
                "lr": 1e-4,
                "noise_scheduler": "flowmatch",
                "dtype": "bf16",
                "disable_sampling": True,
            },
            "model": {"name_or_path": "black-forest-labs/FLUX.1-dev", "arch": "flux"},
            "sample": {"sampler": "flowmatch", "sample_every": 1000, "width": 64, "height": 64, "prompts": []},
        }
        self.dataset.mkdir()
        for index, colour in enumerate(("red", "green", "blue")):
            self.add_image(f"{index}.png", colour)

    def add_image(self, name: str, colour: str = "white", caption: str = "a photo") -> Path:
        path = self.dataset / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), colour).save(path)
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
        return path

    def add_job_row(self) -> None:
        self.process |= {"type": "diffusion_trainer", "sqlite_db_path": str(self.database)}
        with self._rows() as connection:
            connection.execute(_JOB_TABLE)
            connection.execute("INSERT INTO Job (id, status, info) VALUES (?, 'queued', '')", (JOB_ID,))

    def set_row(self, **values: object) -> None:
        with self._rows() as connection:
            for column, value in values.items():
                connection.execute(f"UPDATE Job SET {column} = ?", (value,))

    def row(self) -> dict[str, Any]:
        with self._rows() as connection:
            return dict(connection.execute("SELECT * FROM Job").fetchone())

    def write_job(self) -> None:
        config = {"name": self.name, "process": [self.process]}
        self.job_file.write_text(json.dumps(self.job | {"config": config}), encoding="utf-8")

    def run(self, *arguments: str, **environment: str) -> Outcome:
        """Run the job, or the command line given, to its end."""
        process = self.start(*arguments, **environment)
        return self.finish(process)

    def start(self, *arguments: str, hold: Hold | None = None, **environment: str) -> subprocess.Popen[bytes]:
        if not arguments:
            self.write_job()
        with self._stdout.open("wb") as out, self._stderr.open("wb") as err:
            return subprocess.Popen(
                [hold.python if hold else sys.executable, "run.py", *(arguments or [str(self.job_file)])],
                cwd=PROGRAM_FOLDER,
                env=self._environment(environment),
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def finish(self, process: subprocess.Popen[bytes]) -> Outcome:
        code = process.wait(DEADLINE_SECONDS)
        return Outcome(code, self._read(self._stdout), self._read(self._stderr))

    def printed(self) -> str:
        return self._read(self._stdout)

    def drawn(self) -> str:
        return self._read(self._stderr)

    def weights(self, step: int | None = None) -> Path:
        return self.output / (f"{NAME}.safetensors" if step is None else f"{NAME}_{step:09d}.safetensors")

    def logged(self, key: str) -> dict[int, float]:
        """Return what the loss log holds under the key, by step."""
        with sqlite3.connect(f"file:{self.output / 'loss_log.db'}?mode=ro", uri=True) as connection:
            rows = connection.execute(
                "SELECT step, value_real FROM metrics WHERE key = ? ORDER BY step", (key,)
            ).fetchall()
        connection.close()
        return dict(rows)

    def _rows(self) -> "_Rows":
        return _Rows(self.database)

    def _environment(self, given: Mapping[str, str]) -> dict[str, str]:
        """Return ours with the given switches in it: small letters name the stand-in's own, nothing removes one."""
        bare = {name: value for name, value in os.environ.items() if not name.startswith(("ISENGARD_", "AITK_"))}
        usual = {"PYTHONUNBUFFERED": "1", "AITK_JOB_ID": JOB_ID, "ISENGARD_SIMULATOR_STEP_SECONDS": "0"}
        renamed = {f"ISENGARD_SIMULATOR_{name.upper()}": value for name, value in given.items() if name.islower()}
        as_named = {name: value for name, value in given.items() if name.isupper()}
        return {name: value for name, value in (bare | usual | renamed | as_named).items() if value}

    @property
    def _stdout(self) -> Path:
        return self.folder / "stdout"

    @property
    def _stderr(self) -> Path:
        return self.folder / "stderr"

    def _read(self, path: Path) -> str:
        # Universal newlines would take the carriage returns away that separate the repaints of a bar.
        return path.read_bytes().decode("utf-8", errors="ignore")


class _Rows:
    """A connection to the job's database that commits by itself and is closed at the end."""

    def __init__(self, database: Path) -> None:
        self._connection = sqlite3.connect(database, timeout=DEADLINE_SECONDS, isolation_level=None)
        self._connection.row_factory = sqlite3.Row

    def __enter__(self) -> sqlite3.Connection:
        return self._connection

    def __exit__(self, *exc: object) -> None:
        self._connection.close()


def read_header(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    return dict(json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")]))


def read_metadata(path: Path) -> dict[str, str]:
    return dict(read_header(path)["__metadata__"])


def read_step(path: Path) -> int:
    return int(json.loads(read_metadata(path)["training_info"])["step"])


def read_tensors(path: Path) -> dict[str, Any]:
    return dict(deserialize(path.read_bytes()))


def tensor_hash(path: Path) -> str:
    """Return what tells one LoRA from another; the order of the metadata differs from file to file."""
    return read_metadata(path)["sshs_model_hash"]
