"""A whole run, from the start of the processes to the tally."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.faults.harness.auditor import audit_running, audit_stopped, audit_swept
from tests.faults.harness.driver import Driver
from tests.faults.harness.ledger import Ledger
from tests.faults.harness.orders import planned_orders
from tests.faults.harness.readers import Reader
from tests.faults.harness.schedule import Schedule, planned_strikes, usable_at
from tests.faults.harness.site import Site
from tests.faults.harness.tally import Tally
from tests.faults.harness.witness import Witness


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """`folder` has to be empty or missing; everything of the run is kept there."""

    jobs: int
    faults: int
    seed: int
    database: str
    folder: Path


def run(wanted: Wanted, say: Callable[[str], None]) -> Tally:
    began = time.monotonic()
    wanted.folder.mkdir(parents=True, exist_ok=True)

    def tell(line: str) -> None:
        told = f"{time.monotonic() - began:7.1f} s  {line}"
        with (wanted.folder / "faults.log").open("a") as log:
            log.write(told + "\n")
        say(told)

    site = Site(wanted.folder, database=wanted.database)
    ledger = Ledger(wanted.folder / "ledger.jsonl")
    try:
        site.start()
        tell(f"Isengard runs at {site.stack.url}, data in {site.data_dir}")
        tally = _drive(wanted, site, ledger, tell)
    finally:
        site.stop()
    audit_stopped(site, tally, ledger.all())
    tally.counts["seconds"] = round(time.monotonic() - began)
    return tally


def _drive(wanted: Wanted, site: Site, ledger: Ledger, tell: Callable[[str], None]) -> Tally:
    usable = usable_at(site, faults=wanted.faults)
    strikes = planned_strikes(wanted.seed, faults=wanted.faults, jobs=wanted.jobs, usable=usable)
    schedule = Schedule(site, strikes, usable, tell)
    witness = Witness(site.comfyui_urls)
    reader = Reader(site.url, lambda: site.rows)
    driver = Driver(site, planned_orders(wanted.seed, wanted.jobs), ledger, schedule, tell)
    witness.start()
    reader.start()
    try:
        driver.go()
        tell("every job has ended, or nothing moves any more")
        unrest = driver.wait_until_quiet()
    finally:
        driver.followers.stop()
        reader.stop()
        witness.stop()
    tally = audit_running(driver, witness, reader, unrest=unrest)
    audit_swept(site, tally)
    return tally
