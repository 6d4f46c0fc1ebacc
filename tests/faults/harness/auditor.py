"""The audit of a whole run from outside: HTTP, SQL, files and processes, and nothing of Isengard's own code."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import requests

from tests.faults.harness.audit_files import OWN_FILES, OWN_FOLDERS, audit_files, unnamed_files
from tests.faults.harness.audit_gifts import audit_gifts
from tests.faults.harness.audit_jobs import audit_jobs, gave_up
from tests.faults.harness.audit_processes import audit_processes, audit_queues, lasting
from tests.faults.harness.audit_streams import audit_streams
from tests.faults.harness.driver import Driver
from tests.faults.harness.finding import Finding
from tests.faults.harness.ledger import Promise
from tests.faults.harness.orders import SIDE_PIXELS
from tests.faults.harness.readers import Reader
from tests.faults.harness.services import family_of
from tests.faults.harness.site import Site
from tests.faults.harness.tally import Tally
from tests.faults.harness.wholeness import size_of, why_broken
from tests.faults.harness.witness import Witness

# As many jobs are asked for by HTTP; of all others the rows and the files are looked at.
ASKED_BY_HTTP = 60
TWO_HOURS_SECONDS = 7200


def audit_running(driver: Driver, witness: Witness, reader: Reader, *, unrest: str) -> Tally:
    """Audit all that can be seen while Isengard runs, with nothing left to do."""
    site, promises = driver.site, driver.ledger.all()
    tally = Tally(_counts(driver, witness, reader))
    if driver.is_stuck or unrest:
        tally.findings.append(Finding("stuck", f"Isengard never came to rest: {unrest or 'jobs do not end'}"))
    tally.findings += audit_jobs(site.rows, promises)
    tally.findings += audit_streams(site.rows, driver.followers.stories)
    tally.findings += [Finding("bad answer", complaint) for complaint in [*driver.ledger.complaints, *site.complaints]]
    tally.findings += [Finding("doubled", double) for double in witness.doubles]
    tally.findings += [Finding("torn file", torn) for torn in reader.torn]
    tally.findings += audit_gifts(site.stack.url, driver.ledger.gifts)
    tally.findings += [finding for promise in _some(promises) for finding in _asked_by_http(site, promise)]
    tally.findings += _strays(site, promises, lambda: _family_of(site))
    tally.findings += audit_queues(site.comfyui_urls)
    return tally


def audit_swept(site: Site, tally: Tally) -> None:
    """Have the time pass after which leftovers are swept, sweep as an operator does, and audit the files."""
    tally.counts["left for the sweep"] = len(unnamed_files(site.rows, site.data_dir))
    age(site.data_dir)
    if site.manage("cleanup").code:
        tally.findings.append(Finding("orphan or partial file", "the sweep could not remove everything"))
    tally.findings += audit_files(site.rows, site.data_dir)


def audit_stopped(site: Site, tally: Tally, promises: list[Promise]) -> None:
    """Look for processes that outlived the run."""
    tally.findings += _strays(site, promises, set)


def _strays(site: Site, promises: list[Promise], expected: Callable[[], set[int]]) -> list[Finding]:
    jobs = {promise.job for promise in promises}
    return lasting(lambda: audit_processes(data_dir=str(site.data_dir), jobs=jobs, expected=expected()))


def _family_of(site: Site) -> set[int]:
    return {process.pid for process in family_of(site.stack.process.pid)} if site.stack.process else set()


def age(data_dir: Path) -> None:
    """Set every stored file back by two hours."""
    then = time.time() - TWO_HOURS_SECONDS
    for parent, folders, names in os.walk(data_dir, topdown=True):
        if Path(parent) == data_dir:
            folders[:] = [folder for folder in folders if folder not in OWN_FOLDERS]
            names = [name for name in names if name not in OWN_FILES]
        for name in [*names, *folders]:
            # Isengard still runs, and may remove one.
            with suppress(FileNotFoundError):
                os.utime(Path(parent, name), (then, then))


def _counts(driver: Driver, witness: Witness, reader: Reader) -> dict[str, object]:
    rows = driver.site.rows
    statuses = dict(rows.ask("SELECT status, count(*) FROM jobs_job GROUP BY status"))
    kinds = Counter(promise.kind for promise in driver.ledger.all())
    stories = driver.followers.stories
    (attempts,) = rows.ask("SELECT sum(attempt), max(attempt) FROM jobs_job")
    return {
        "jobs": f"{sum(kinds.values())} ({', '.join(f'{count} {kind}s' for kind, count in sorted(kinds.items()))})",
        "faults": len(driver.schedule.struck),
        "faults that hit nothing": f"{len(driver.schedule.missed)}, others in their place",
        "ended as": ", ".join(f"{count} {status}" for status, count in sorted(statuses.items())),
        "attempts": f"{attempts[0]}, at most {attempts[1]} of one job",
        "given up after 3 crashes": len(gave_up(rows)),
        "streams followed": f"{len(stories)}, {sum(story.breaks for story in stories)} breaks",
        "looks for doubled work": witness.looks,
        "files read meanwhile": reader.read,
        "uploads asked for": len(set(driver.ledger.gifts)),
    }


def _some(promises: list[Promise]) -> list[Promise]:
    generations = [promise for promise in promises if promise.kind == "generation" and promise.status == "completed"]
    return generations[:: max(1, len(generations) // ASKED_BY_HTTP)]


def _asked_by_http(site: Site, promise: Promise) -> Iterator[Finding]:
    answer = requests.get(f"{site.stack.url}/api/generation/{promise.job}", timeout=30).json()
    seeds = [promise.config["seed"] + number for number in range(promise.count)]
    if answer["status"] != "completed" or answer["seeds"] != seeds:
        yield Finding("wrong result", f"{promise.job} has the seeds {answer['seeds']} instead of {seeds}")
    for name in answer["output_paths"]:
        content = requests.get(f"{site.stack.url}/api/outputs/{name}", timeout=30).content
        if why := why_broken(name, content):
            yield Finding("torn file", f"{name} was served and is not whole: {why}")
        elif (size := size_of(content)) != (SIDE_PIXELS, SIDE_PIXELS):
            yield Finding("wrong result", f"{name} is {size}")
