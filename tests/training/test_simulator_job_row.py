import math
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.training.holding import Hold
from tests.training.simulator_bench import Bench, read_step, wait_until
from training.engines.aitoolkit.job_row import parse_speed


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path)
    bench.add_job_row()
    return bench


@pytest.fixture
def endless(bench: Bench) -> Bench:
    """A training that lasts until somebody stops it."""
    bench.process["train"]["steps"] = 100_000
    bench.process["save"]["save_every"] = 5
    return bench


def record_changes(bench: Bench) -> None:
    """Let the database itself keep each status and step the trainer writes, so that none can be missed."""
    connection = sqlite3.connect(bench.database)
    connection.execute("CREATE TABLE Change (status TEXT, info TEXT, step INTEGER)")
    connection.execute(
        "CREATE TRIGGER note AFTER UPDATE ON Job WHEN OLD.info IS NOT NEW.info OR OLD.step IS NOT NEW.step"
        " BEGIN INSERT INTO Change VALUES (NEW.status, NEW.info, NEW.step); END"
    )
    connection.commit()
    connection.close()


def changes(bench: Bench) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(bench.database)
    rows = connection.execute("SELECT status, info, step FROM Change").fetchall()
    connection.close()
    return rows


def test_the_row_follows_the_training_through_all_its_phases(bench: Bench) -> None:
    record_changes(bench)
    bench.process["train"] |= {"steps": 3, "disable_sampling": False}
    bench.process["save"]["save_every"] = 2
    bench.process["sample"]["prompts"] = ["a cat"]

    bench.run()

    phases = list(dict.fromkeys(info for _, info, _ in changes(bench)))
    loading = ["Loading transformer", "Loading VAE", "Loading T5", "Loading CLIP", "Making pipe", "Preparing Model"]
    sampling = ["Generating images - 0/1", "Generating images - 1/1"]
    assert phases == [
        "Starting",
        "Loading model",
        "Loading Flux model",
        *loading,
        "Loading dataset",
        "Training",
        *sampling,
        "Saving model",
        "Training completed",
    ]
    assert changes(bench)[-1] == ("completed", "Training completed", 3)


def test_the_step_is_written_after_every_step(bench: Bench) -> None:
    record_changes(bench)

    bench.run()

    assert list(dict.fromkeys(step for _, _, step in changes(bench))) == [0, 1, 2, 3, 4, 5, 6]


def test_the_speed_is_written_only_where_it_is_asked_for(bench: Bench) -> None:
    bench.run()
    assert bench.row()["speed_string"] is None

    bench.process |= {"performance_log_every": 2}
    bench.process["train"]["steps"] = 12
    outcome = bench.run(step_seconds="0.002")

    assert parse_speed(bench.row()["speed_string"]) is not None
    assert "Timer 'ada_v1 Timer':\n - " in outcome.out


@pytest.mark.parametrize("missing", ["job id", "database", "trainer type"])
def test_a_row_is_left_alone_without_job_id_database_and_the_right_trainer(bench: Bench, missing: str) -> None:
    environment = {}
    if missing == "trainer type":
        bench.process["type"] = "sd_trainer"
    elif missing == "database":
        bench.process["sqlite_db_path"] = str(bench.folder / "nothing.db")
    else:
        environment["AITK_JOB_ID"] = ""

    outcome = bench.run(**environment)

    assert outcome.code == 0
    assert bench.row()["status"] == "queued"


@pytest.mark.parametrize(
    ("flag", "status", "info", "message"),
    [
        ("stop", "stopped", "Job stopped", "Job stopped"),
        ("return_to_queue", "queued", "Job queued", "Job returning to queue"),
    ],
)
def test_a_flag_ends_the_training_with_code_1_at_its_last_save(
    endless: Bench, flag: str, status: str, info: str, message: str
) -> None:
    hold = Hold(endless.folder / "held", at=7)
    process = endless.start(hold=hold)
    wait_until(lambda: endless.row()["step"] >= 7)
    endless.set_row(**{flag: 1})
    hold.let_go()

    outcome = endless.finish(process)

    row = endless.row()
    assert outcome.code == 1
    assert f"Error running job: {message}\n" in outcome.out
    assert "]Traceback (most recent call last):\n" in outcome.err
    assert f"\nException: {message}\n" in outcome.err
    assert (row["status"], row["info"], row["step"]) == (status, info, 5)


def test_a_stop_is_heard_before_the_training_begins(bench: Bench) -> None:
    bench.set_row(stop=1)

    outcome = bench.run()

    assert outcome.code == 1
    assert "Loading transformer" not in outcome.out
    assert bench.row()["status"] == "stopped"


def test_save_now_saves_at_once_and_resets_itself(endless: Bench) -> None:
    endless.process["save"]["save_every"] = None
    process = endless.start(step_seconds="0.005")
    wait_until(lambda: endless.row()["step"] >= 3)
    endless.set_row(save_now=1)
    wait_until(lambda: "Saved optimizer" in endless.printed())
    process.kill()
    endless.finish(process)

    (saved,) = endless.output.glob("*_0*.safetensors")
    assert endless.row()["save_now"] == 0
    assert saved == endless.weights(read_step(saved))
    assert f"\nSaving at step {read_step(saved)}\n" in endless.printed()


def test_sample_now_samples_even_where_sampling_is_disabled(endless: Bench) -> None:
    endless.process["sample"]["prompts"] = ["a cat"]
    process = endless.start(step_seconds="0.005")
    wait_until(lambda: endless.row()["step"] >= 3)
    endless.set_row(sample_now=1)
    wait_until(lambda: bool(list((endless.output / "samples").glob("*_0.jpg"))))
    process.kill()
    outcome = endless.finish(process)

    assert endless.row()["sample_now"] == 0
    assert "\nSampling at step " in outcome.out


def test_an_error_is_written_into_the_row_with_the_step_a_restart_begins_at(bench: Bench) -> None:
    bench.process["save"]["save_every"] = 2

    outcome = bench.run(fault="oom@3x4,disk-full@4")

    row = bench.row()
    assert outcome.code == 1
    assert (row["status"], row["step"]) == ("error", 2)
    assert row["info"].startswith("[Errno 28] No space left on device")


def test_a_job_that_cannot_be_set_up_leaves_the_row_alone(bench: Bench) -> None:
    del bench.process["model"]["name_or_path"]

    assert bench.run().code == 1

    assert bench.row()["status"] == "queued"


def test_a_row_without_a_column_ends_the_training(bench: Bench) -> None:
    connection = sqlite3.connect(bench.database)
    connection.execute("ALTER TABLE Job DROP COLUMN return_to_queue")
    connection.commit()
    connection.close()

    outcome = bench.run()

    assert outcome.code == 1
    assert "Error running job: no such column: return_to_queue" in outcome.out


def test_the_loss_log_holds_rate_and_loss_of_every_step_but_the_first(bench: Bench) -> None:
    bench.process["logging"] = {"use_ui_logger": True, "log_every": 1}
    bench.process["train"]["steps"] = 300

    bench.run()

    losses = bench.logged("loss/loss")
    assert list(losses) == list(range(1, 300))
    assert set(bench.logged("learning_rate").values()) == {1e-4}
    assert all(0 < loss < 2 for loss in losses.values())
    assert _mean(losses, range(1, 50)) > 1.2 * _mean(losses, range(250, 300))


def test_the_loss_log_keeps_to_its_interval(bench: Bench) -> None:
    bench.process["logging"] = {"use_ui_logger": True, "log_every": 2}

    bench.run()

    assert list(bench.logged("loss/loss")) == [2, 4]


def test_a_resumed_training_prunes_the_loss_log(bench: Bench) -> None:
    bench.process["logging"] = {"use_ui_logger": True, "log_every": 1}
    bench.process["save"]["save_every"] = 3
    bench.run()
    bench.weights().unlink()
    bench.process["train"]["steps"] = 5

    bench.run()

    assert list(bench.logged("loss/loss")) == [1, 2, 3, 4]


def test_a_loss_that_is_not_a_number_is_told_and_counted_as_zero(bench: Bench) -> None:
    bench.process["logging"] = {"use_ui_logger": True, "log_every": 1}

    outcome = bench.run(fault="nan@3")

    assert outcome.code == 0
    assert outcome.out.count("loss is nan\n") == 3
    assert "loss: 0.000e+00]" in outcome.err
    assert [step for step, loss in bench.logged("loss/loss").items() if loss == 0.0] == [3, 4, 5]


@pytest.mark.parametrize(
    ("train", "rates"),
    [
        ({"lr_scheduler": "constant"}, [1e-4, 1e-4, 1e-4]),
        ({"lr_scheduler": "cosine"}, [5e-5, 1.46e-5, 0]),
        ({"lr_scheduler": "cosine_with_restarts"}, [5e-5, 1.46e-5, 0]),
        ({"lr_scheduler": "linear"}, [6.67e-5, 8.33e-5, 1e-4]),
        (
            {"lr_scheduler": "linear", "lr_scheduler_params": {"start_factor": 1.0, "end_factor": 0.0}},
            [5e-5, 2.5e-5, 0],
        ),
        (
            {"lr_scheduler": "constant_with_warmup", "lr_scheduler_params": {"num_warmup_steps": 4}},
            [5e-5, 7.5e-5, 1e-4],
        ),
        ({"optimizer": "prodigy"}, [1e-10, 1e-10, 1e-10]),
    ],
    ids=str,
)
def test_the_learning_rate_follows_its_schedule(bench: Bench, train: dict[str, Any], rates: list[float]) -> None:
    bench.process["logging"] = {"use_ui_logger": True, "log_every": 1}
    bench.process["train"] |= {"steps": 4, **train}

    bench.run()

    logged = bench.logged("learning_rate").values()
    assert all(math.isclose(a, b, rel_tol=0.01, abs_tol=1e-12) for a, b in zip(logged, rates, strict=True))


def _mean(losses: dict[int, float], steps: range) -> float:
    return sum(losses[step] for step in steps) / len(steps)
