"""A training through the API and its worker, with the stand-in and with the real ai-toolkit.

| What has to hold | Shown by, here; with the stand-in alone also by |
|---|---|
| completes with samples and checkpoints; its LoRA passes verify | the first two tests; tests/e2e/test_story.py |
| is killed and resumes: the trainer, its worker | `killed`; tests/faults/test_dead_processes.py |
| is drained and resumes | `drained`; tests/faults/test_dead_processes.py |
| is cancelled and leaves no process | `cancelled`; tests/faults/test_dead_processes.py |
| fails with the right sentence | the last three; test_failing_training.py, tests/training/test_failures.py |
"""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.conformance.training_programs import Program
from tests.conformance.training_site import PATIENCE_SECONDS, Site
from tests.conftest import wait_until

pytest_plugins = ("tests.conformance.training_fixtures",)
pytestmark = [pytest.mark.stack, pytest.mark.timeout(2 * PATIENCE_SECONDS)]


@pytest.fixture(scope="module")
def site(program: Program) -> Iterator[Site]:
    running = Site(program)
    try:
        running.stack.start()
        yield running
    finally:
        running.stack.stop()


@pytest.fixture(scope="module")
def completed(site: Site) -> dict:
    job = site.train(site.api.make_character(photos=2), sample_every_n_steps=100)
    return site.wait_for(job)


def reach(site: Site, job: str, step: int) -> None:
    wait_until(lambda: site.api.job(job)["current_step"] >= step, seconds=PATIENCE_SECONDS, what=f"step {step}")


def await_in_log(site: Site, job: str, text: str) -> None:
    """What a run said last is written down, and put into the archive, a moment after its end."""
    wait_until(lambda: text in site.api.call("GET", f"/api/jobs/{job}/logs").text, what=text)


def files_of(site: Site, job: str) -> set[str]:
    """Return the names of what is kept of a job. Its workspace is removed a moment after its end."""
    kept = os.walk(site.stack.data_dir)
    inside = ((Path(folder), names) for folder, _, names in kept if "workspaces" not in Path(folder).parts)
    return {name for folder, names in inside for name in names if job in str(folder / name)}


def test_a_training_completes_with_samples_and_checkpoints(site: Site, completed: dict) -> None:
    assert (completed["status"], completed["attempt"], completed["current_step"]) == ("completed", 1, 200)
    names = files_of(site, completed["id"])
    assert {"step_00000.png", "step_00100.png", "step_00200.png"} <= names
    assert any(name.endswith("_000000100.safetensors") for name in names)
    curve = site.api.get(f"/api/training/{completed['id']}/loss")
    assert [point["step"] for point in curve["points"]] == list(range(2, 201))
    assert all(point["loss"] for point in curve["points"])


def test_its_lora_passes_verify_and_tells_where_it_comes_from(site: Site, completed: dict) -> None:
    verified = site.manage("loras", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    loras = site.api.get("/api/loras?source=trained")["loras"]
    (lora,) = [each for each in loras if each["path"] == completed["output_path"]]
    shown = site.api.get(f"/api/loras/{lora['id']}")
    assert (shown["job_id"], shown["base_model"]) == (completed["id"], "flux-dev")
    assert (shown["ranks"], shown["steps"]) == ([4], 200)
    assert shown["training"]["trainer"]["version"].startswith("0.12.26")


def test_the_doctor_finds_the_installation_in_order(site: Site) -> None:
    examined = site.manage("doctor", "training")
    assert examined.returncode == 0, examined.stdout + examined.stderr
    assert ("it starts, with all its" if site.program.is_real else "the stand-in") in examined.stdout


def kill_trainer(site: Site, job: str) -> None:
    site.trainer(job).kill()


def kill_worker(site: Site, job: str) -> None:
    family = site.family(job)
    site.worker().kill()
    assert not psutil.wait_procs(family, timeout=60)[1]


def drain_worker(site: Site, job: str) -> None:
    site.worker().send_signal(signal.SIGTERM)


@pytest.mark.again
@pytest.mark.parametrize("strike", [kill_trainer, kill_worker, drain_worker])
def test_a_training_that_is_interrupted_resumes_from_its_checkpoint(
    site: Site, strike: Callable[[Site, str], None]
) -> None:
    with site.held(at=110):
        job = site.train(site.api.make_character(photos=2))
        reach(site, job, 110)
    strike(site, job)
    ended = site.wait_for(job)
    assert (ended["status"], ended["attempt"], ended["current_step"]) == ("completed", 2, 200)
    await_in_log(site, job, "IMPORTANT RESUMING FROM")
    steps = [point["step"] for point in site.api.get(f"/api/training/{job}/loss")["points"]]
    assert steps == sorted(set(steps))
    # Missing may be the step that the second attempt began with, and what the trainer measured in its last moments.
    assert len(set(range(2, 201)) - set(steps)) <= 5
    assert not site.family(job)


@pytest.mark.again
def test_a_drain_saves_before_it_stops(site: Site) -> None:
    with site.held(at=20):
        job = site.train(site.api.make_character(photos=2), checkpoint_every_n_steps=1000)
        reach(site, job, 20)
    drain_worker(site, job)
    ended = site.wait_for(job)
    assert (ended["status"], ended["attempt"]) == ("completed", 2)
    await_in_log(site, job, "to go on elsewhere")
    await_in_log(site, job, "IMPORTANT RESUMING FROM")


def test_a_cancelled_training_leaves_no_process(site: Site) -> None:
    job = site.train(site.api.make_character(photos=2), steps=10_000)
    reach(site, job, 3)
    family = site.family(job)
    assert family
    assert site.api.cancel(job)["status"] == "cancelled"
    assert not psutil.wait_procs(family, timeout=60)[1]
    assert site.api.job(job)["status"] == "cancelled"


def test_a_base_model_that_is_not_there_is_said_to_be_missing(site: Site) -> None:
    ended = site.wait_for(site.train(site.api.make_character(), base_model="qwen-image"))
    assert (ended["status"], ended["attempt"]) == ("failed", 1)
    assert "HF_HUB_OFFLINE" in ended["error_message"]


def test_a_missing_package_is_named(site: Site) -> None:
    with site.spoilt_interpreter("-S"):
        ended = site.wait_for(site.train(site.api.make_character()))
    assert (ended["status"], ended["attempt"]) == ("failed", 1)
    assert "lacks the Python package" in ended["error_message"]


def test_a_training_that_diverges_ends_and_says_what_to_change(site: Site) -> None:
    with site.diverging_model() as name:
        ended = site.wait_for(site.train(site.api.make_character(), base_model=name))
    assert (ended["status"], ended["attempt"]) == ("failed", 1)
    assert "Lower the learning rate" in ended["error_message"]
