"""What a run without a flaw leaves: one generation and one training. The auditor is shown it with one flaw each."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from PIL import Image

from tests.faults.harness.audit_files import audit_files
from tests.faults.harness.audit_jobs import audit_jobs
from tests.faults.harness.finding import Finding
from tests.faults.harness.gifts import lora
from tests.faults.harness.ledger import Promise
from tests.faults.harness.orders import planned_orders
from tests.faults.harness.rows import Rows, sqlite_rows

# The columns that the auditor reads, and no others.
TABLES = """
CREATE TABLE jobs_job (id, kind, status, attempt, crashes, token, holder, gpu_id, error_message, output_key, config,
                       log_key, progress);
CREATE TABLE jobs_attempt (job_id, number, claimed_at, ended_at, outcome, reason);
CREATE TABLE jobs_artifact (job_id, type, name, key, size_bytes);
CREATE TABLE characters_lora (job_id, key, character_id, version, size_bytes, sha256);
CREATE TABLE characters_trainingimage (key, bytes, sha256);
CREATE TABLE generation_inputimage (key, size_bytes, sha256);
"""
GENERATION, TRAINING = "gen-1", "train-1"
OUTPUT, MODEL = "outputs/gen-1/1/gen-1-0.png", "loras/char-1/v1.safetensors"
CONFIG = {"seed": 7}


class Place:
    """A data directory and a database after a run without a flaw: one generation and one training."""

    def __init__(self, folder: Path) -> None:
        self.data_dir = folder / "data"
        self.rows: Rows = sqlite_rows(self.data_dir / "isengard.sqlite3")
        (self.data_dir / "workspaces").mkdir(parents=True)
        with closing(self._database()) as database:
            database.executescript(TABLES)
        for job, kind, output_key in ((GENERATION, "generation", ""), (TRAINING, "training", MODEL)):
            facts = (job, kind, "completed", 1, 0, "", None, None, None, output_key, json.dumps(CONFIG), "", 100)
            self.write("INSERT INTO jobs_job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *facts)
            self.write("INSERT INTO jobs_attempt VALUES (?, 1, '10:00', '10:01', 'completed', '')", job)
        self._put_picture(OUTPUT)
        size = self.put(MODEL, lora(1))
        self.write("INSERT INTO jobs_artifact VALUES (?, 'output', 'gen-1-0.png', ?, NULL)", GENERATION, OUTPUT)
        self.write("INSERT INTO characters_lora VALUES (?, ?, 'char-1', 1, ?, NULL)", TRAINING, MODEL, size)

    def _database(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.data_dir / "isengard.sqlite3")
        # No test is about power cuts, and each commit would wait for the disk.
        database.execute("PRAGMA synchronous = OFF")
        return database

    def write(self, statement: str, *values: object) -> None:
        with closing(self._database()) as database, database:
            database.execute(statement, values)

    def put(self, key: str, content: bytes) -> int:
        path = self.data_dir / key
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.write_bytes(content)

    def _put_picture(self, key: str) -> None:
        path = self.data_dir / key
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)

    def promises(self) -> list[Promise]:
        orders = planned_orders(1, 2)
        kinds = ((GENERATION, "generation"), (TRAINING, "training"))
        return [Promise(job, order, kind, CONFIG, 1) for (job, kind), order in zip(kinds, orders, strict=True)]

    def audited(self) -> list[Finding]:
        return audit_jobs(self.rows, self.promises()) + audit_files(self.rows, self.data_dir)
