"""What operators do beside a running Isengard: one process too many, a pause, a drain."""

import subprocess
from functools import partial
from random import Random

from tests.faults.harness.faults import Scar, fault
from tests.faults.harness.site import Site

CELERY = ("-m", "celery", "-A", "isengard", "--quiet")
KINDS = ("training", "generation")


def _for_a_while(site: Site, chance: Random, what: str, *words: str, **environment: str) -> Scar:
    seconds = round(chance.uniform(5.0, 12.0), 1)
    extra = site.start_extra(*words, **environment)
    return Scar(f"{what} for {seconds} s", seconds, partial(_end, site, extra))


def _end(site: Site, extra: subprocess.Popen[bytes]) -> None:
    extra.kill()
    extra.wait()
    site.extras.remove(extra)


@fault("a second beat", 2)
def second_beat(site: Site, chance: Random) -> Scar:
    schedule = site.folder / f"beat-{chance.random()}"
    return _for_a_while(site, chance, "a second beat", *CELERY, "beat", "-s", str(schedule), "--pidfile=")


@fault("a second maintenance worker", 2)
def second_maintenance_worker(site: Site, chance: Random) -> Scar:
    return _for_a_while(site, chance, "a second maintenance worker", "manage.py", "worker", "maintenance")


@fault("a second training worker, killed", 2)
def second_training_worker(site: Site, chance: Random) -> Scar:
    """On a GPU of its own; what it has begun goes on elsewhere."""
    words = ("manage.py", "worker", "training")
    return _for_a_while(site, chance, "a second training worker", *words, ISENGARD_GPU="1")


@fault("pause a queue", 2)
def pause_a_queue(site: Site, chance: Random) -> Scar:
    kind, seconds = chance.choice(KINDS), round(chance.uniform(1.0, 5.0), 1)
    site.manage("queue", "pause", kind)
    return Scar(f"{kind} paused for {seconds} s", seconds, partial(_until_done, site, "queue", "resume", kind))


@fault("drain", 3)
def drain(site: Site, chance: Random) -> Scar:
    """As before maintenance: what runs is given back or, every second time, comes to its end."""
    seconds, finishing = round(chance.uniform(1.0, 6.0), 1), chance.choice(((), ("--finish",)))
    site.manage("drain", "--wait", "0", *finishing)
    told = " ".join(("all slots drained", *finishing, f"for {seconds} s"))
    return Scar(told, seconds, partial(_until_done, site, "resume"))


@fault("sweep", 1)
def sweep(site: Site, chance: Random) -> Scar:
    site.manage("cleanup", "--older-than-minutes", "5")
    return Scar("leftovers swept while everything runs")


def _until_done(site: Site, *words: str) -> None:
    """Give the command again until the database took it: an operator would."""
    for _ in range(20):
        if site.manage(*words):
            return
        site.keep()
