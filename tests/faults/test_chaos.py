"""A short run of the fault harness: nothing is lost, doubled, stuck or left behind."""

from pathlib import Path

import pytest

from tests.faults.harness.faults import choices
from tests.faults.harness.run import Wanted, run
from tests.faults.harness.schedule import planned_strikes

# A seed whose faults hit everything that work depends on; another registry of faults may want another seed.
JOBS, FAULTS, SEED = 12, 10, 411326


def test_the_seed_of_the_short_run_meets_the_faults_that_matter() -> None:
    usable = choices({"redis", "comfyui-a", "comfyui-b"}, with_slow=False)
    names = {strike.fault.name for strike in planned_strikes(SEED, faults=FAULTS, jobs=JOBS, usable=usable)}
    killed = ("web", "trainer", "training worker", "generation worker", "supervisor", "comfyui-b")
    assert {f"kill {name}" for name in killed} | {"wipe redis", "drain"} <= names


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_jobs_under_seeded_faults_all_end_as_they_had_to(tmp_path: Path) -> None:
    lines: list[str] = []
    tally = run(Wanted(jobs=JOBS, faults=FAULTS, seed=SEED, database="sqlite", folder=tmp_path / "run"), lines.append)
    assert tally.is_clean, "\n".join([*lines, *tally.as_lines()])
    assert tally.counts["faults"] == FAULTS
