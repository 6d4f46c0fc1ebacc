"""Faults that hit processes: killed, told to stop, or stopped for a while and continued."""

import signal
import time
from contextlib import suppress
from functools import partial
from random import Random

import psutil

from tests.faults.harness.faults import MISSED, Scar, fault
from tests.faults.harness.site import ROLES, Site

WORKERS = ("training worker", "generation worker", "maintenance worker")
# How likely each is to be chosen; the trainer and the workers do the work that must not be lost.
KILLED = {"web": 5, "training worker": 6, "generation worker": 6, "maintenance worker": 3, "beat": 2, "guard": 1}
TOLD = {"web": 2, "training worker": 4, "generation worker": 4, "maintenance worker": 1, "beat": 1}
STOPPED = {"web": 2, "training worker": 3, "generation worker": 3, "maintenance worker": 2, "beat": 1}
# Longer than the reaper's patience with a worker that gives no sign of life.
ASLEEP_SECONDS = 75.0
# For a trainer to appear, as there is not always one.
WAIT_SECONDS = 3.0


def _seconds(chance: Random, least: float, most: float) -> float:
    return round(chance.uniform(least, most), 1)


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)


def _end(processes: list[psutil.Process], number: signal.Signals, site: Site) -> None:
    site.note_leaving(processes)
    _send(processes, number)


def _one_of(role: str, site: Site, chance: Random) -> list[psutil.Process]:
    """Return one process of the role, and wait a moment for one to come."""
    drawn, until = chance.random(), time.monotonic() + WAIT_SECONDS
    while not (there := site.processes(role)) and time.monotonic() < until:
        site.keep()
        time.sleep(0.02)
    return [there[int(drawn * len(there))]] if there else []


def _signal(role: str, number: signal.Signals, site: Site, chance: Random) -> Scar:
    hit = _one_of(role, site, chance)
    _end(hit, number, site)
    return Scar(f"{number.name} to {role} {hit[0].pid}") if hit else MISSED


def _stop_for(role: str, site: Site, chance: Random, *, least: float = 1.0, most: float = 8.0) -> Scar:
    seconds = _seconds(chance, least, most)
    hit = _one_of(role, site, chance)
    _send(hit, signal.SIGSTOP)
    if not hit:
        return MISSED
    return Scar(f"{role} {hit[0].pid} stopped for {seconds} s", seconds, partial(_send, hit, signal.SIGCONT))


for _role, _weight in {**KILLED, "trainer": 8}.items():
    fault(f"kill {_role}", _weight)(partial(_signal, _role, signal.SIGKILL))
for _role, _weight in {**TOLD, "trainer": 2}.items():
    fault(f"tell {_role} to stop", _weight)(partial(_signal, _role, signal.SIGTERM))
for _role, _weight in {**STOPPED, "trainer": 3}.items():
    fault(f"stop {_role} for a while", _weight)(partial(_stop_for, _role))
for _role in ("training worker", "generation worker"):
    asleep = partial(_stop_for, _role, least=ASLEEP_SECONDS, most=ASLEEP_SECONDS + 5)
    fault(f"stop {_role} for more than a minute", 1, is_slow=True)(asleep)


@fault("kill supervisor", 4)
def kill_supervisor(site: Site, chance: Random) -> Scar:
    seconds = _seconds(chance, 0.1, 2.0)
    if not site.end_supervisor(signal.SIGKILL, seconds_away=seconds):
        return MISSED
    return Scar(f"SIGKILL to the supervisor, started again after {seconds} s")


@fault("tell supervisor to stop", 3)
def tell_supervisor_to_stop(site: Site, chance: Random) -> Scar:
    seconds = _seconds(chance, 0.1, 2.0)
    if not site.end_supervisor(signal.SIGTERM, seconds_away=seconds):
        return MISSED
    return Scar(f"SIGTERM to the supervisor, started again {seconds} s after its end")


@fault("stop supervisor for a while", 1)
def stop_supervisor(site: Site, chance: Random) -> Scar:
    return _stop_for("supervisor", site, chance)


@fault("tell all workers to stop", 3)
def tell_all_workers_to_stop(site: Site, chance: Random) -> Scar:
    """As a deploy does."""
    hit = [process for role in WORKERS for process in site.processes(role)]
    _end(hit, signal.SIGTERM, site)
    return Scar(f"SIGTERM to {len(hit)} workers", is_hit=bool(hit))


@fault("kill all at once", 2)
def kill_all_at_once(site: Site, chance: Random) -> Scar:
    """As a power cut does, but for the supervisor."""
    hit = [process for role in sorted(ROLES) for process in site.processes(role)]
    _end(hit, signal.SIGKILL, site)
    return Scar(f"SIGKILL to {len(hit)} processes", is_hit=bool(hit))


# --- the servers outside ---


def _kill_service(name: str, site: Site, chance: Random) -> Scar:
    seconds = _seconds(chance, 0.3, 5.0)
    if not site.services[name].is_running:
        return MISSED
    site.services[name].kill(seconds_away=seconds)
    return Scar(f"{name} killed, back after {seconds} s")


def _tell_service(name: str, site: Site, chance: Random) -> Scar:
    """As an operator who restarts it: what it has begun may come to its end, within some seconds."""
    seconds = _seconds(chance, 1.0, 6.0)
    if not site.services[name].is_running:
        return MISSED
    end = site.services[name].tell_to_stop(seconds_away=seconds)
    return Scar(f"SIGTERM to {name}, back after {seconds} s", seconds, end)


def _stop_service(name: str, site: Site, chance: Random) -> Scar:
    seconds = _seconds(chance, 1.0, 8.0)
    if not site.services[name].is_running:
        return MISSED
    site.services[name].signal(signal.SIGSTOP)
    return Scar(f"{name} stopped for {seconds} s", seconds, partial(site.services[name].signal, signal.SIGCONT))


for _name, _weight in {"redis": 5, "comfyui-a": 4, "comfyui-b": 4, "postgresql": 6}.items():
    fault(f"kill {_name}", _weight, needs=_name)(partial(_kill_service, _name))
    fault(f"stop {_name} for a while", 2, needs=_name)(partial(_stop_service, _name))
    fault(f"tell {_name} to stop", 1, needs=_name)(partial(_tell_service, _name))


@fault("kill a connection's process of postgresql", 4, needs="postgresql")
def kill_backend(site: Site, chance: Random) -> Scar:
    """The server then restarts all of its processes, and every connection is lost."""
    main, *rest = site.services["postgresql"].processes() or [None]
    if main is None or not rest:
        return MISSED
    hit = rest[int(chance.random() * len(rest))]
    _send([hit], signal.SIGKILL)
    return Scar(f"SIGKILL to {hit.pid} of postgresql")
