"""What Isengard promised: every job that a customer was told of, kept outside of Isengard."""

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.faults.harness.orders import Order

ENDED = ("completed", "failed", "cancelled")


@dataclass(slots=True)
class Promise:
    """An accepted job. `asked` is the order it came of; `config` is what the answer said will be run."""

    job: str
    order: Order
    kind: str
    config: dict[str, Any]
    count: int
    source: str = ""
    cancelling: Literal["no", "asked", "confirmed"] = "no"
    status: str = ""
    is_repeated: bool = False
    not_before: str = ""

    @property
    def is_hopeless(self) -> bool:
        """Return whether its deadline is too short: a repetition has none."""
        return self.order.is_hopeless and not self.source

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class Gift:
    """What a customer gave and was told of: the id or the name by which it is asked for."""

    kind: Literal["character", "photo", "image", "LoRA"]
    name: str
    character: str = ""


@dataclass
class Ledger:
    """`complaints` are answers that no customer should ever get; `path` keeps everything for whoever looks later."""

    path: Path
    promises: dict[str, Promise] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    gifts: list[Gift] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, promise: Promise) -> Promise:
        with self._lock:
            self.promises.setdefault(promise.job, promise)
            self._write(job=promise.job, number=promise.order.number, source=promise.source, config=promise.config)
        return promise

    def note_gift(self, gift: Gift) -> str:
        with self._lock:
            self.gifts.append(gift)
            self._write(given=gift.kind, name=gift.name, character=gift.character)
        return gift.name

    def complain(self, what: str) -> None:
        with self._lock:
            self.complaints.append(what)
            self._write(complaint=what)

    def _write(self, **facts: object) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(facts) + "\n")

    def all(self) -> list[Promise]:
        with self._lock:
            return list(self.promises.values())

    def live(self) -> list[Promise]:
        return [promise for promise in self.all() if not promise.has_ended]
