"""The faults of a run: each strikes once, and says what it did and what has to be undone, and when."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.faults.harness.site import Site


def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True)
class Scar:
    """What a strike left: `told` for the log; `heal` is called after so many seconds, also if nothing was hit, and once
    more a second later for as long as it returns False."""

    told: str
    seconds: float = 0.0
    heal: Callable[[], bool | None] = _nothing
    is_hit: bool = True


Strike = Callable[[Site, Random], Scar]


@dataclass(frozen=True, slots=True)
class Fault:
    """`weight`: how often it is chosen; `is_slow`: for long runs alone; `needs`: the service it hits, "" for none."""

    name: str
    weight: int
    strike: Strike
    needs: str = ""
    is_slow: bool = False


REGISTRY: dict[str, Fault] = {}
MISSED = Scar("nobody was there to be hit", is_hit=False)


def fault(name: str, weight: int, *, needs: str = "", is_slow: bool = False) -> Callable[[Strike], Strike]:
    def register(strike: Strike) -> Strike:
        REGISTRY[name] = Fault(name, weight, strike, needs=needs, is_slow=is_slow)
        return strike

    return register


def choices(site_services: set[str], *, with_slow: bool) -> list[Fault]:
    """Return the faults that a site with these services can have, in an order that does not depend on chance."""
    usable = (REGISTRY[name] for name in sorted(REGISTRY))
    return [
        each for each in usable if (not each.needs or each.needs in site_services) and (with_slow or not each.is_slow)
    ]
