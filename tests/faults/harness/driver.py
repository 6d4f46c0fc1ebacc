"""A run: places orders, cancels and repeats as customers do, lets faults strike, and waits until all is quiet."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.api_client import photo
from tests.faults.harness.customers import Customer, Refused
from tests.faults.harness.followers import Followers
from tests.faults.harness.gifts import lora
from tests.faults.harness.ledger import Ledger, Promise
from tests.faults.harness.orders import CHARACTERS, Order
from tests.faults.harness.rows import AWAY
from tests.faults.harness.schedule import Schedule
from tests.faults.harness.site import Site

# How many jobs wait or run at a time: enough that no fault meets an idle Isengard.
MOST_LIVE = 24
CUSTOMERS = 8
FOLLOWERS = 4
TICK_SECONDS = 0.1
LOOK_EVERY_SECONDS = 0.5
# What may pass without one more job ending before the run is called stuck: crashes are retried up to 20 s later, and
# a worker that is silent is waited for for a minute and a half.
STUCK_SECONDS = 240.0
# After the last job: logs are archived, workspaces removed, and what died last is found dead.
QUIET_SECONDS = 120.0
STEPS_MORE = 100


@dataclass
class Driver:
    site: Site
    orders: list[Order]
    ledger: Ledger
    schedule: Schedule
    say: Callable[[str], None]
    is_stuck: bool = False
    characters: list[str] = field(default_factory=list)
    _looked: float = 0.0
    _moved: float = field(default_factory=time.monotonic)
    _errands: set[Future[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._customer = Customer(self.site.url, self.ledger)
        self._waiting = deque(self.orders)
        self._pool = ThreadPoolExecutor(CUSTOMERS)
        self.followers = Followers(self.site.url, FOLLOWERS)

    def go(self) -> None:
        for number in range(CHARACTERS):
            content = photo(number, width=600, height=600)
            self.characters.append(self._customer.make_character(f"Ann{number}", content))
        try:
            while not self._is_done():
                self._tick()
        finally:
            self.schedule.heal_all()
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _is_done(self) -> bool:
        self.is_stuck = time.monotonic() - self._moved > STUCK_SECONDS
        is_served = not (self._waiting or self._errands or self.ledger.live()) and self.schedule.is_over
        return is_served or self.is_stuck

    def _tick(self) -> None:
        self.site.keep()
        self._look()
        self._place_orders()
        self.schedule.advance(sum(promise.has_ended for promise in self.ledger.all()))
        self._errands = {errand for errand in self._errands if not errand.done()}
        time.sleep(TICK_SECONDS)

    def _look(self) -> None:
        """Read how far the jobs are, and do what waited for that."""
        if time.monotonic() - self._looked < LOOK_EVERY_SECONDS:
            return
        self._looked = time.monotonic()
        with suppress(*AWAY):
            found = dict(self.site.rows.ask("SELECT id, status FROM jobs_job"))
            for promise in self.ledger.all():
                self._note_status(promise, found.get(promise.job, promise.status))

    def _note_status(self, promise: Promise, status: str) -> None:
        if status != promise.status:
            self._moved = time.monotonic()
        promise.status = status
        if status == "running" and promise.order.cancelled == "while it runs" and self._may_cancel(promise):
            self._run(lambda: self._customer.cancel(promise))
        if promise.has_ended and promise.order.again and not (promise.is_repeated or promise.source):
            promise.is_repeated = True
            self._run(lambda: self._repeat(promise))

    def _may_cancel(self, promise: Promise) -> bool:
        # Its repetition runs to the end.
        may = promise.cancelling == "no" and not promise.source
        promise.cancelling = "asked" if may else promise.cancelling
        return may

    # --- errands ---

    def _run(self, errand: Callable[[], object]) -> None:
        def run() -> None:
            try:
                errand()
            except Refused:
                return
            # A customer whose program breaks is told in the tally, not lost in a thread.
            except Exception as exc:
                self.ledger.complain(f"A customer broke off: {exc!r}")

        self._errands.add(self._pool.submit(run))

    def _place_orders(self) -> None:
        while self._waiting and len(self.ledger.live()) + len(self._errands) < MOST_LIVE:
            order = self._waiting.popleft()
            self._run(lambda order=order: self._place(order))

    def _place(self, order: Order) -> None:
        promise = self._customer.order(order, self._body(order))
        if order.is_followed:
            self.followers.follow(promise)
        if order.cancelled == "at once":
            self._customer.cancel(promise)

    def _body(self, order: Order) -> dict[str, Any]:
        config = dict(order.config)
        if order.gives == "an image":
            config["init_image"] = self._customer.give_image(photo(order.number % 256, width=512, height=512))
        elif order.gives == "a LoRA":
            given = self._customer.give_lora(f"style{order.number}", lora(order.number))
            config["lora_id"] = f"uploaded:{given}"
        elif order.gives == "photos":
            content = photo(order.number % 256, width=512, height=700)
            self._customer.give_photo(self.characters[order.character], f"more{order.number}.jpg", content)
        if order.kind == "training":
            return {"character_id": self.characters[order.character], "config": config, **_times(order)}
        return {"config": config, "count": order.count, **_times(order)}

    def _repeat(self, promise: Promise) -> None:
        if promise.kind == "generation":
            self._customer.repeat(promise, "rerun", {})
        elif promise.status == "completed":
            self._customer.repeat(promise, "extend", {"steps": STEPS_MORE})
        else:
            self._customer.repeat(promise, "retry", {})

    # --- the end ---

    def wait_until_quiet(self) -> str:
        """Return "" once everything that belongs to ended jobs is tidied up, else what was not in QUIET_SECONDS."""
        until = time.monotonic() + QUIET_SECONDS
        while why := self._unrest():
            if time.monotonic() > until:
                return why
            self.site.keep()
            time.sleep(LOOK_EVERY_SECONDS)
        return ""

    def _unrest(self) -> str:
        try:
            held = self.site.rows.ask("SELECT count(*) FROM jobs_job WHERE holder IS NOT NULL OR token <> ''")
            lines = self.site.rows.ask("SELECT count(*) FROM jobs_joblogline")
        except AWAY as exc:
            return f"the database does not answer: {exc}"
        facts = {
            f"{held[0][0]} jobs are held": held[0][0],
            f"{lines[0][0]} log lines are not archived": lines[0][0],
            "there are workspaces": any((self.site.data_dir / "workspaces").iterdir()),
            "a client of a stream waits": not self.followers.are_idle,
            "not every process is up": not self.site.is_up(),
        }
        return ", ".join(fact for fact, is_so in facts.items() if is_so)


def _times(order: Order) -> dict[str, Any]:
    times: dict[str, Any] = {}
    if order.deadline_seconds is not None:
        times["deadline_seconds"] = order.deadline_seconds
    if order.starts_in_seconds:
        start = datetime.now(UTC) + timedelta(seconds=order.starts_in_seconds)
        times["start_after"] = start.isoformat(timespec="milliseconds")
    return times
