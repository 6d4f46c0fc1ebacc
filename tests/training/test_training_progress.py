import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from jobs.events import Progress
from training.engines.aitoolkit.eta import Plan
from training.engines.aitoolkit.job_row import JobRow, RowState, parse_speed
from training.engines.aitoolkit.progress import ETA_SECONDS, ProgressReader


def row(info: str, step: int = 0, *, status: str = "running", speed: float | None = None) -> RowState:
    return RowState(status, info, step, speed)


def read(*rows: RowState, start_step: int = 0) -> list[Progress | None]:
    reader = ProgressReader(Plan(total=1000, start=start_step))
    return [reader.read(state, None, now=0.2 * turn) for turn, state in enumerate(rows)]


@pytest.mark.parametrize(
    ("info", "step", "stage", "message"),
    [
        ("Starting", 0, "initializing", "Step 0/1000: starting"),
        ("Loading model", 0, "loading_model", "Step 0/1000: loading model"),
        ("Loading T5", 0, "loading_model", "Step 0/1000: loading T5"),
        ("Preparing Model", 0, "loading_model", "Step 0/1000: preparing Model"),
        ("Loading dataset", 0, "preparing_dataset", "Step 0/1000: loading dataset"),
        ("Generating images - 1/3", 0, "sampling", "Step 0/1000: made 1 of 3 sample images"),
        ("Training", 0, "training", "Step 0/1000"),
        ("Training", 450, "training", "Step 450/1000"),
        ("Generating images - 0/3", 450, "sampling", "Step 450/1000: made 0 of 3 sample images"),
        ("Saving model", 251, "saving_checkpoint", "Step 251/1000: saving model"),
        ("Saving model", 1000, "exporting", "Step 1000/1000: writing the LoRA"),
    ],
)
def test_each_phase_of_the_engine_is_a_stage(info: str, step: int, stage: str, message: str) -> None:
    (progress,) = read(row(info, step))
    assert progress is not None
    assert (progress.stage, progress.step, progress.message) == (stage, step, message)


def test_between_the_final_save_and_the_last_samples_it_is_not_said_to_train() -> None:
    infos = ["Training", "Saving model", "Training", "Generating images - 0/3", "Training", "Training completed"]
    stages = [progress and progress.stage for progress in read(*(row(info, 1000) for info in infos))]
    assert [stage for stage in stages if stage] == ["training", "exporting", "sampling", "exporting"]


def test_a_phase_nobody_knows_keeps_the_stage() -> None:
    stages = [progress and progress.stage for progress in read(row("Loading VAE"), row(" - quantizing extras"))]
    assert stages == ["loading_model", "loading_model"]


def test_the_step_never_goes_back() -> None:
    stopped = row("Job stopped", 250, status="stopped")
    told = read(row("Training", 300), stopped, row("Saving model", 299))
    assert [progress.step for progress in told if progress] == [300, 300]


def test_a_resumed_run_begins_where_it_goes_on() -> None:
    (progress,) = read(row("Loading model"), start_step=500)
    assert progress is not None
    assert progress.step == 500


def test_nothing_new_is_nothing_told() -> None:
    assert read(row("Training", 5), row("Training", 5))[1] is None


def test_the_speed_gives_the_time_that_is_left() -> None:
    (progress,) = read(row("Training", 500, speed=2.5))
    assert progress is not None
    assert (progress.iteration_speed, progress.eta_seconds) == (2.5, 200.0)


def test_while_the_trainer_loads_there_is_no_estimate() -> None:
    told = read(row("Starting"), row("Loading model", speed=2.5), row("Loading dataset"))
    assert [progress.eta_seconds for progress in told if progress] == [None] * 3


def test_an_estimate_that_counts_down_is_told_now_and_then() -> None:
    reader = ProgressReader(Plan(total=1000))
    state = row("Training", 500, speed=0.01)
    told = [reader.read(state, None, now=at / 10) for at in range(100)]
    assert len([progress for progress in told if progress]) == 1 + int(9.9 / ETA_SECONDS)


@pytest.mark.parametrize(
    ("text", "speed"),
    [("12.50 iter/sec", 12.5), ("4.00 sec/iter", 0.25), ("", None), ("0.00 sec/iter", None), ("x", None)],
)
def test_the_speed_is_read_in_both_of_its_forms(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


def test_the_row_is_shared_with_a_trainer_that_writes_everything_as_text(tmp_path: Path) -> None:
    path = tmp_path / "job.db"
    with JobRow(path, "train-1") as job, closing(sqlite3.connect(path, isolation_level=None)) as trainer:
        assert job.read() == RowState("queued", "", 0, None)
        job.ask_to_save()
        assert trainer.execute("SELECT save_now, sample_now, stop, return_to_queue FROM Job").fetchall() == [
            (1, 0, 0, 0)
        ]
        assert (job.read().is_save_pending, job.read().is_sample_pending) == (True, False)
        job.ask_to_sample()
        assert (job.read().is_save_pending, job.read().is_sample_pending) == (True, True)
        trainer.execute("UPDATE Job SET save_now = '0', sample_now = '0' WHERE id = 'train-1'")
        trainer.execute("UPDATE Job SET status = 'running', info = 'Training', step = '7' WHERE id = 'train-1'")
        assert job.read() == RowState("running", "Training", 7, None)
