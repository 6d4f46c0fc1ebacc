import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.training.holding import Hold
from tests.training.simulator_bench import DEADLINE_SECONDS, Bench, read_step, wait_until

SLOW = "0.01"
# As slow as it takes for files of two saves to differ in the file system's time too.
PACED = "0.005"
STOPPED = "\n========================================\nJob stopped\n========================================\n"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def start_endless(bench: Bench, *, fault: str = "") -> subprocess.Popen[bytes]:
    """Start a training that lasts until somebody stops it, and wait until its loop turns."""
    bench.process["train"]["steps"] = 100_000
    process = bench.start(step_seconds=SLOW, fault=fault)
    wait_until(lambda: " 3/100000 [" in bench.drawn())
    return process


def test_an_interrupt_ends_with_code_0_and_saves_nothing(bench: Bench) -> None:
    bench.process["save"]["save_every"] = None
    process = start_endless(bench)
    process.send_signal(signal.SIGINT)

    outcome = bench.finish(process)

    assert outcome.code == 0
    assert outcome.out.endswith(STOPPED)
    assert not list(bench.output.glob("*.safetensors"))


def test_an_interrupt_while_the_model_loads_ends_with_code_0(bench: Bench) -> None:
    process = bench.start(hold=Hold(bench.folder / "held", at="Loading VAE"))
    wait_until(lambda: "Loading VAE" in bench.printed())
    process.send_signal(signal.SIGINT)

    outcome = bench.finish(process)

    assert outcome.code == 0
    assert outcome.out.endswith(f"Loading VAE\n{STOPPED}")


def test_an_interrupt_before_a_job_is_set_up_finds_nobody_to_tell(bench: Bench) -> None:
    bench.add_job_row()
    # The last that it says while it sets the job up.
    process = bench.start(hold=Hold(bench.folder / "held", at="Starting"))
    wait_until(lambda: bench.row()["info"] == "Starting")
    process.send_signal(signal.SIGINT)

    outcome = bench.finish(process)

    assert outcome.code == 0
    assert "Error running on_error: cannot access local variable 'job'" in outcome.out


def test_an_interrupt_in_the_loop_is_written_into_the_row(bench: Bench) -> None:
    bench.add_job_row()
    bench.process["save"]["save_every"] = 2
    process = start_endless(bench)
    wait_until(lambda: "Saved optimizer" in bench.printed())
    process.send_signal(signal.SIGINT)
    bench.finish(process)

    row = bench.row()
    assert (row["status"], row["info"]) == ("stopped", "Job stopped")
    assert bench.weights(row["step"]).exists()


def test_an_interrupt_that_is_inherited_as_ignored_stays_ignored(bench: Bench) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start_endless(bench)
    finally:
        signal.signal(signal.SIGINT, before)
    process.send_signal(signal.SIGINT)

    assert_it_trains_on(bench, process)


def test_the_fault_ignore_sigint_trains_on(bench: Bench) -> None:
    process = start_endless(bench, fault="ignore-sigint")
    process.send_signal(signal.SIGINT)

    assert_it_trains_on(bench, process)


def assert_it_trains_on(bench: Bench, process: subprocess.Popen[bytes]) -> None:
    drawn = len(bench.drawn())
    wait_until(lambda: len(bench.drawn()) > drawn + 2000)
    assert process.poll() is None
    process.kill()
    process.wait(DEADLINE_SECONDS)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_other_signals_kill_without_a_word(bench: Bench, number: signal.Signals) -> None:
    bench.add_job_row()
    process = start_endless(bench)
    process.send_signal(number)

    outcome = bench.finish(process)

    assert outcome.code == -number
    assert "stopped" not in outcome.out
    assert bench.row()["status"] == "running"


def test_crash_kills_at_its_step_every_time(bench: Bench) -> None:
    bench.process["save"]["save_every"] = 2

    for start in (0, 4):
        outcome = bench.run(fault="crash@5", step_seconds=PACED)
        assert outcome.code == -signal.SIGKILL
        assert outcome.bars[0] == (start, 6)

    assert not bench.weights().exists()


def test_crash_once_spares_a_resumed_training(bench: Bench) -> None:
    bench.process["save"]["save_every"] = 2

    assert bench.run(fault="crash-once@5", step_seconds=PACED).code == -signal.SIGKILL
    assert bench.run(fault="crash-once@5", step_seconds=PACED).code == 0


def test_exit_ends_with_its_code(bench: Bench) -> None:
    assert bench.run(fault="exit@3:7").code == 7


def test_a_batch_without_memory_is_skipped_and_counts(bench: Bench) -> None:
    outcome = bench.run(fault="oom@3")

    assert outcome.code == 0
    assert (
        "\n################################################\n# OOM during training step, skipping batch 1/3 #\n"
        in outcome.out
    )
    assert read_step(bench.weights()) == 6


def test_the_fourth_batch_without_memory_in_a_row_ends_the_training(bench: Bench) -> None:
    outcome = bench.run(fault="oom@1x4")

    assert outcome.code == 1
    assert "skipping batch 3/3" in outcome.out
    assert "Error running job: OOM during training step 3 times in a row, aborting training\n" in outcome.out


@pytest.mark.parametrize("fault", ["oom-load", "oom-sample"])
def test_no_memory_outside_of_a_step_is_fatal(bench: Bench, fault: str) -> None:
    bench.process["train"]["disable_sampling"] = False
    bench.process["sample"]["prompts"] = ["a cat"]

    outcome = bench.run(fault=fault)

    assert outcome.code == 1
    assert "Error running job: CUDA out of memory. Tried to allocate" in outcome.out
    assert "\ntorch.OutOfMemoryError: CUDA out of memory." in outcome.err


@pytest.mark.parametrize(("fault", "sign"), [("hang@3", " 2/6 ["), ("hang-load", "Loading transformer")])
def test_a_hanging_training_is_deaf_to_an_interrupt_and_dies_by_sigterm(bench: Bench, fault: str, sign: str) -> None:
    process = bench.start(fault=fault)
    wait_until(lambda: sign in bench.drawn() + bench.printed())
    wait_until(lambda: _ignores_interrupts(process.pid))
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)

    assert bench.finish(process).code == -signal.SIGTERM


def _ignores_interrupts(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    ignored = next(line for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored.split()[1], 16) & 1 << signal.SIGINT - 1)


def test_no_final_ends_with_code_0_and_without_the_file(bench: Bench) -> None:
    assert bench.run(fault="no-final").code == 0
    assert not bench.weights().exists()


def test_wrong_step_writes_another_step_into_the_final_file(bench: Bench) -> None:
    assert bench.run(fault="wrong-step").code == 0
    assert read_step(bench.weights()) == 5


def test_a_truncated_save_ends_every_run_until_it_is_gone(bench: Bench) -> None:
    bench.process["save"]["save_every"] = 2
    assert bench.run(fault="truncate-checkpoint@4", step_seconds=PACED).code == -signal.SIGKILL

    for _ in range(2):
        outcome = bench.run()
        assert outcome.code == 1
        assert "Error running job: Error while deserializing header: " in outcome.out
    bench.weights(4).unlink()

    assert bench.run().code == 0


def test_a_full_disk_ends_the_training_at_its_next_save(bench: Bench) -> None:
    bench.process["save"]["save_every"] = 2

    outcome = bench.run(fault="disk-full@3")

    assert outcome.code == 1
    assert f"Error running job: [Errno 28] No space left on device: '{bench.weights(4)}'\n" in outcome.out
    assert bench.weights(2).exists()


def test_a_missing_dependency_ends_the_job_before_it_begins(bench: Bench) -> None:
    outcome = bench.run(fault="missing-dependency")

    assert outcome.code == 1
    assert "Error running job: No module named 'controlnet_aux'\nError running on_error: " in outcome.out
    assert outcome.err.endswith("ModuleNotFoundError: No module named 'controlnet_aux'\n")


def test_a_grandchild_stays_in_the_process_group(bench: Bench) -> None:
    process = bench.start(fault="grandchild,exit@3:7")
    assert bench.finish(process).code == 7

    left = [other.name() for other in psutil.process_iter() if _group_of(other) == process.pid]
    os.killpg(process.pid, signal.SIGKILL)
    assert left == ["sleep"]


def _group_of(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return None


@pytest.mark.parametrize(
    "fault", ["explode", "crash", "crash@", "crash@x", "exit@3", "oom@1x", "hang-load@3", "nan@-1"]
)
def test_an_unknown_fault_is_refused_at_the_start(bench: Bench, fault: str) -> None:
    outcome = bench.run(fault=f"no-final,{fault}")

    assert outcome.code == 2
    assert f"ISENGARD_SIMULATOR_FAULT: unknown fault '{fault}'" in outcome.err
    assert not bench.output.exists()


@pytest.mark.parametrize("seconds", ["quick", "-1", "nan", "inf"])
def test_an_impossible_pace_is_refused_at_the_start(bench: Bench, seconds: str) -> None:
    outcome = bench.run(step_seconds=seconds)

    assert outcome.code == 2
    assert "ISENGARD_SIMULATOR_STEP_SECONDS: " in outcome.err
