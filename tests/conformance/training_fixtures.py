"""Each program once for all tests, and what a whole run of it gave."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.conformance.training_programs import NAMES, PATIENT, SLOW, Program, Run, prepare_program, small_order
from training.engines.aitoolkit import train
from training.engines.aitoolkit.job_row import JobRow
from training.engines.aitoolkit.workspace import workspace_for

_NOTE_CHANGES = """
CREATE TABLE Change (status TEXT, info TEXT, step INTEGER);
CREATE TRIGGER Noted AFTER UPDATE OF status, info ON Job
BEGIN INSERT INTO Change VALUES (new.status, new.info, new.step); END;
"""


@pytest.fixture(scope="session", params=NAMES)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    return prepare_program(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="session")
def whole_run(program: Program) -> Run:
    order = small_order(program.folder / "whole")
    workspace = workspace_for(order.job_id, order.workspace, attempt=order.attempt)
    workspace.root.mkdir(parents=True)
    # The adapter goes on with the row that is there, so every change of it is seen, however short.
    with JobRow(workspace.job_row, order.job_id), closing(sqlite3.connect(workspace.job_row)) as connection:
        connection.executescript(_NOTE_CHANGES)
    events = list(train(order, program.installation(**SLOW), limits=PATIENT))
    return Run(order=order, workspace=workspace, events=events, phases=_phases(workspace.job_row))


def _phases(database: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(database)) as connection:
        told = connection.execute("SELECT status, info FROM Change ORDER BY rowid").fetchall()
    return [phase for phase, before in zip(told, [None, *told], strict=False) if phase != before]
