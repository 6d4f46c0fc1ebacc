"""Generations that are cancelled, and servers that die, through the API: every one ends in the truth."""

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.conformance.generation_servers import TEST_SECONDS, OwnServer, Server
from tests.conformance.generation_site import GenerationSite
from tests.conftest import wait_until

pytest_plugins = ("tests.conformance.generation_fixtures",)
pytestmark = [pytest.mark.stack, pytest.mark.timeout(TEST_SECONDS)]

SOME_STEPS, MANY_STEPS = 40, 100


def is_idle(server: Server) -> bool:
    return server.queued_ids() == ([], [])


def first_busy(servers: list[OwnServer]) -> OwnServer | None:
    return next((server for server in servers if not is_idle(server)), None)


def wait_for_stage(site: GenerationSite, job: str, is_there: Callable[[dict], bool]) -> None:
    """Follow the job's stream up to where it was to be met."""
    with site.api.stream(job, timeout=120.0) as stream:
        for sent in stream:
            if sent.event == "progress" and is_there(sent.data):
                return
    raise AssertionError(f"{job} ended before: {site.api.job(job)}")


def is_sampling(progress: dict) -> bool:
    return progress["stage"] == "sampling" and progress["current_step"] > 0


def is_decoding(progress: dict) -> bool:
    return "decoding" in (progress["message"] or "")


def check_that_it_works(site: GenerationSite) -> None:
    assert site.wait_for(site.generate(seed=7))["status"] == "completed"


def test_a_job_cancelled_while_sampling_leaves_the_server_free(site: GenerationSite, idle_server: Server) -> None:
    with idle_server.held_after(1):
        job = site.generate(steps=MANY_STEPS, count=2, seed=100)
        wait_for_stage(site, job, is_sampling)
        site.api.cancel(job)
        assert site.wait_for(job)["status"] == "cancelled"
        wait_until(lambda: is_idle(idle_server), seconds=60, what="an empty queue")
    check_that_it_works(site)


def test_a_job_cancelled_while_decoding_keeps_no_picture(site: GenerationSite, idle_server: Server) -> None:
    with idle_server.decoding_slowly():
        job = site.generate(width=1024, height=1024, seed=200)
        wait_for_stage(site, job, is_decoding)
        site.api.cancel(job)
    wait_until(lambda: is_idle(idle_server), seconds=60, what="an empty queue")
    ended = site.wait_for(job)
    assert (ended["status"], ended["output_paths"]) == ("cancelled", [])
    check_that_it_works(site)


def test_a_job_of_whose_images_one_is_done_keeps_it_when_it_is_cancelled(
    site: GenerationSite, idle_server: Server
) -> None:
    with idle_server.held_after(20 + 1):
        job = site.generate(count=3, steps=20, seed=300)
        wait_until(lambda: site.api.job(job)["output_paths"], seconds=120, what="the first image")
        site.api.cancel(job)
    ended = site.wait_for(job)
    assert ended["status"] == "cancelled"
    assert len(site.pictures_of(ended)) == len(ended["output_paths"]) >= 1
    wait_until(lambda: is_idle(idle_server), seconds=60, what="an empty queue")


def test_a_waiting_job_is_cancelled_without_disturbing_the_running_one(
    site: GenerationSite, idle_server: Server
) -> None:
    with idle_server.held_after(1):
        first, second = site.generate(steps=MANY_STEPS, seed=400), site.generate(seed=500)
        wait_for_stage(site, first, is_sampling)
        site.api.cancel(second)
        assert site.wait_for(second)["status"] == "cancelled"
    assert site.wait_for(first)["status"] == "completed"


# Shown by tests/faults/test_two_servers.py and test_dead_processes.py too.
@pytest.mark.again
def test_with_two_servers_a_job_goes_on_when_one_is_killed(
    pair_site: GenerationSite, pair_of_servers: list[OwnServer]
) -> None:
    with ExitStack() as held:
        for server in pair_of_servers:
            held.enter_context(server.held_after(1))
        job = pair_site.generate(count=3, steps=SOME_STEPS, seed=600)
        wait_for_stage(pair_site, job, is_sampling)
        victim = wait_until(lambda: first_busy(pair_of_servers), what="a server at work")
        victim.kill()
    ended = pair_site.wait_for(job)
    victim.start()
    assert (ended["status"], len(ended["output_paths"])) == ("completed", 3), ended
    third = pair_site.fresh_pictures(steps=SOME_STEPS, seed=602)[0]
    assert pair_site.pictures_of(ended)[2].tobytes() == third.tobytes()


@pytest.mark.again
def test_a_server_that_is_killed_in_mid_job_and_started_again_makes_what_is_missing(
    pair_site: GenerationSite, pair_of_servers: list[OwnServer]
) -> None:
    for server in pair_of_servers[1:]:
        server.kill()
    wait_until(lambda: not pair_of_servers[1].answers(), what="the second server is gone")
    with pair_of_servers[0].held_after(1):
        job = pair_site.generate(count=2, steps=MANY_STEPS, seed=700)
        wait_until(lambda: not is_idle(pair_of_servers[0]), seconds=60, what="work on the first server")
        wait_for_stage(pair_site, job, is_sampling)
        pair_of_servers[0].kill()
    pair_of_servers[0].start()
    ended = pair_site.wait_for(job)
    for server in pair_of_servers[1:]:
        server.start()
    assert (ended["status"], len(ended["output_paths"])) == ("completed", 2), ended
