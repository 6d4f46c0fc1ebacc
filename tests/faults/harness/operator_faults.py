"""What operators do beside a running Isengard: one process too many, a pause, a drain, another order of the queue."""

import subprocess
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.faults.harness.faults import MISSED, Scar, fault
from tests.faults.harness.rows import AWAY
from tests.faults.harness.site import Site

CELERY = ("-m", "celery", "-A", "isengard", "--quiet")
KINDS = ("training", "generation")
ENDED = "('completed', 'failed', 'cancelled')"
WAITING = f"SELECT id FROM jobs_job WHERE token = '' AND status NOT IN {ENDED} ORDER BY created_at, id"
MOST_MOVED = 3
MOST_TRIES = 20
# How commands say what is no mistake: a drain that was not asked to wait, and a job that had begun a moment before.
STILL_AT_WORK = "The slots stay drained"
BEGUN = "Only a job that waits has a place in the queue"


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
    is_done = _is_done(site, "queue", "pause", kind)
    resume = UntilDone(site, ("queue", "resume", kind))
    # Also if it was not: what failed late may have been done.
    return Scar(_told(f"{kind} paused for {seconds} s", is_done=is_done), seconds, resume, is_done)


@fault("reorder a queue", 2)
def reorder_a_queue(site: Site, chance: Random) -> Scar:
    how = chance.choice((("front",), ("back",), ("prioritise", "--priority", str(chance.randint(-3, 3)))))
    drawn = chance.random()
    try:
        waiting = [job for (job,) in site.rows.ask(WAITING)]
    except AWAY:
        return MISSED
    first = int(drawn * len(waiting))
    if not waiting:
        return MISSED
    is_done = _is_done(site, "queue", *how, *waiting[first : first + MOST_MOVED], unless=BEGUN)
    return Scar(_told(f"{how[0]} {len(waiting[first : first + MOST_MOVED])} jobs", is_done=is_done), is_hit=is_done)


@fault("drain", 3)
def drain(site: Site, chance: Random) -> Scar:
    """As before maintenance: what runs is given back or, every second time, comes to its end."""
    seconds, finishing = round(chance.uniform(1.0, 6.0), 1), chance.choice(((), ("--finish",)))
    is_done = _is_done(site, "drain", "--wait", "0", *finishing, is_fine_with=STILL_AT_WORK)
    told = " ".join(("all slots drained", *finishing, f"for {seconds} s"))
    return Scar(_told(told, is_done=is_done), seconds, UntilDone(site, ("resume",)), is_done)


@fault("sweep", 1)
def sweep(site: Site, chance: Random) -> Scar:
    is_done = _is_done(site, "cleanup", "--older-than-minutes", "5")
    return Scar(_told("leftovers swept while everything runs", is_done=is_done), is_hit=is_done)


def _told(what: str, *, is_done: bool) -> str:
    return what if is_done else f"the command failed: {what}"


def _is_done(site: Site, *words: str, is_fine_with: str = "", unless: str = "") -> bool:
    """Return whether the command did its work: it ended with 0, or said `is_fine_with`. If it did not, though the
    servers answered before and after it, that is a finding, unless it said `unless`."""
    is_calm = site.do_servers_answer()
    done = site.manage(*words)
    if done.code == 0 or (is_fine_with and is_fine_with in done.output):
        return True
    if is_calm and site.do_servers_answer() and not (unless and unless in done.output):
        site.complaints.append(f"manage.py {' '.join(words)} ended with {done.code}: {done.output[-300:]}")
    return False


@dataclass(slots=True)
class UntilDone:
    """A command that is given again until the database takes it. Between two tries other faults are healed: one of them
    may be what keeps the database away, as a process that stands still and holds the lock of SQLite does."""

    site: Site
    words: tuple[str, ...]
    tries: int = 0

    def __call__(self) -> bool:
        self.tries += 1
        if _is_done(self.site, *self.words) or self.tries == MOST_TRIES:
            return True
        self.site.keep()
        return False
