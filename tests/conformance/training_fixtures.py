"""Each program once for all tests, and what a whole run of it gave."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from jobs.events import Event, Progress, Stage
from tests.conformance.training_programs import NAMES, PATIENT, SLOW, Program, Run, prepare_program, small_order
from tests.training.aitoolkit_runs import until
from tests.training.holding import Hold
from training.engines.aitoolkit import train
from training.engines.aitoolkit.job_row import JobRow
from training.engines.aitoolkit.workspace import workspace_for

# Where the stand-in waits until the stage was told; the real program stays in each for long enough.
STAGES: dict[int | str, Stage] = {
    "Loading model": "loading_model",
    "Generating images - 0/2": "sampling",
    5: "training",
}
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
    hold = Hold(program.folder / "held", at=next(iter(STAGES)))
    running = train(order, program.installation(hold=hold, **SLOW), limits=PATIENT)
    events: list[Event] = []
    for place, stage in STAGES.items():
        hold.at(place)
        events += until(running, lambda event, stage=stage: isinstance(event, Progress) and event.stage == stage)
    hold.let_go()
    events += running
    return Run(order=order, workspace=workspace, events=events, phases=_phases(workspace.job_row))


def _phases(database: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(database)) as connection:
        told = connection.execute("SELECT status, info FROM Change ORDER BY rowid").fetchall()
    return [phase for phase, before in zip(told, [None, *told], strict=False) if phase != before]
