"""Which fault strikes when: the same sequence for the same seed."""

import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from tests.faults.harness import network_faults, operator_faults, process_faults
from tests.faults.harness.faults import Fault, Scar, choices
from tests.faults.harness.site import Site

# Each registers its faults when it is imported.
REGISTERED = (network_faults, operator_faults, process_faults)
# Faults wait for progress, so that a slow machine sees the same ones; but not for ever, as a fault may stop everything.
LONGEST_GAP_SECONDS = 12.0
SHORTEST_GAP_SECONDS = 0.7
HEAL_AGAIN_SECONDS = 1.0
# The last faults still meet jobs.
LAST_STRIKE_AT = 0.92
# In a short run a minute of silence would be all that happens.
SLOW_FROM_FAULTS = 100


@dataclass(frozen=True, slots=True)
class Strike:
    """`after_ended`: how many jobs have ended by then; `draw` decides everything that the fault leaves to chance."""

    number: int
    after_ended: float
    fault: Fault
    draw: int


def planned_strikes(seed: int, *, faults: int, jobs: int, usable: list[Fault]) -> list[Strike]:
    chance = Random(f"faults {seed}")
    moments = sorted(chance.uniform(0, jobs * LAST_STRIKE_AT) for _ in range(faults))
    chosen = chance.choices(usable, [each.weight for each in usable], k=faults)
    drawn = [chance.randrange(2**32) for _ in range(faults)]
    return [Strike(number, *each) for number, each in enumerate(zip(moments, chosen, drawn, strict=True), start=1)]


def instead_of(strike: Strike, usable: list[Fault]) -> Strike:
    """Return what strikes in place of one that hit nothing: always the same in place of the same."""
    chance = Random(strike.draw)
    chosen = chance.choices(usable, [each.weight for each in usable])[0]
    return replace(strike, fault=chosen, draw=chance.randrange(2**32))


@dataclass
class Schedule:
    """Strikes when it is time, and heals what struck when that is over. `say` gets every line for the log; `usable` is
    what may strike in place of a fault that hit nothing."""

    site: Site
    strikes: list[Strike]
    usable: list[Fault]
    say: Callable[[str], None]
    struck: list[Strike] = field(default_factory=list)
    missed: list[Strike] = field(default_factory=list)
    _scars: list[tuple[float, int, Scar]] = field(default_factory=list)
    _count: "itertools.count[int]" = field(default_factory=itertools.count)
    _last: float = field(default_factory=time.monotonic)

    @property
    def is_over(self) -> bool:
        return len(self.struck) == len(self.strikes) and not self._scars

    def advance(self, ended: int) -> None:
        """Do what is due after so many ended jobs."""
        while self._scars and self._scars[0][0] <= time.monotonic():
            self._heal(heapq.heappop(self._scars)[2])
        if len(self.struck) < len(self.strikes) and self._is_due(self.strikes[len(self.struck)], ended):
            self._strike(self.strikes[len(self.struck)])

    def heal_all(self) -> None:
        while self._scars:
            self._heal(heapq.heappop(self._scars)[2])

    def _is_due(self, strike: Strike, ended: int) -> bool:
        waited = time.monotonic() - self._last
        return waited >= LONGEST_GAP_SECONDS or (waited >= SHORTEST_GAP_SECONDS and ended >= strike.after_ended)

    def _strike(self, strike: Strike) -> None:
        scar = strike.fault.strike(self.site, Random(strike.draw))
        self.say(f"fault {strike.number}: {strike.fault.name}: {scar.told}")
        self._last = time.monotonic()
        self._heal_later(scar, scar.seconds)
        if scar.is_hit:
            self.struck.append(strike)
        else:
            self.missed.append(strike)
            self.strikes[len(self.struck)] = instead_of(strike, self.usable)

    def _heal_later(self, scar: Scar, seconds: float) -> None:
        heapq.heappush(self._scars, (time.monotonic() + seconds, next(self._count), scar))

    def _heal(self, scar: Scar) -> None:
        if scar.heal() is False:
            self._heal_later(scar, HEAL_AGAIN_SECONDS)
        elif scar.seconds:
            self.say(f"over: {scar.told}")


def usable_at(site: Site, *, faults: int) -> list[Fault]:
    return choices(set(site.services), with_slow=faults >= SLOW_FROM_FAULTS)
