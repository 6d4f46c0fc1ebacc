"""Faults between the processes: connections cut, half-open, slow or refused, and messages nobody expects."""

from functools import partial
from random import Random

import redis
from celery import Celery
from kombu.exceptions import OperationalError

from tests.faults.harness.faults import Scar, fault
from tests.faults.harness.site import Site

LINKS = {"web": 2, "redis": 3, "comfyui-a": 2, "comfyui-b": 2, "postgresql": 3}
REDIS_PREFIX = "isengard:"
KINDS = ("training", "generation", "maintenance")
RINGS = 12


def _needed(link: str) -> str:
    return "" if link == "web" else link


def _cut(link: str, site: Site, chance: Random) -> Scar:
    cut = site.links[link].cut()
    return Scar(f"{cut} connections to {link} cut", is_hit=cut > 0)


def _freeze(link: str, site: Site, chance: Random) -> Scar:
    seconds = round(chance.uniform(1.0, 8.0), 1)
    site.links[link].freeze()
    return Scar(f"connections to {link} half-open for {seconds} s", seconds, site.links[link].heal)


def _freeze_for_good(link: str, site: Site, chance: Random) -> Scar:
    """The open connections never say a word again; new ones work. Cut in the end, as a kernel gives up one day."""
    seconds = round(chance.uniform(5.0, 20.0), 1)
    site.links[link].freeze(only_open=True)
    return Scar(
        f"open connections to {link} dead for {seconds} s, then cut", seconds, partial(_cut_and_heal, link, site)
    )


def _cut_and_heal(link: str, site: Site) -> None:
    site.links[link].cut()
    site.links[link].heal()


def _refuse(link: str, site: Site, chance: Random) -> Scar:
    seconds = round(chance.uniform(1.0, 6.0), 1)
    site.links[link].refuse()
    return Scar(f"{link} out of reach for {seconds} s", seconds, site.links[link].heal)


def _delay(link: str, site: Site, chance: Random) -> Scar:
    seconds, delay = round(chance.uniform(2.0, 8.0), 1), round(chance.uniform(0.05, 0.5), 2)
    site.links[link].delay(delay)
    return Scar(f"{link} answers {delay} s later for {seconds} s", seconds, partial(site.links[link].delay, 0.0))


for _link, _weight in LINKS.items():
    _needs = _needed(_link)
    fault(f"cut connections to {_link}", _weight, needs=_needs)(partial(_cut, _link))
    fault(f"freeze connections to {_link}", _weight, needs=_needs)(partial(_freeze, _link))
    fault(f"let connections to {_link} go dead", 1, needs=_needs)(partial(_freeze_for_good, _link))
    fault(f"refuse connections to {_link}", _weight, needs=_needs)(partial(_refuse, _link))
    fault(f"delay {_link}", 1, needs=_needs)(partial(_delay, _link))


# --- what is in Redis ---


def _redis(site: Site) -> redis.Redis:
    port = site.services["redis"].port
    return redis.Redis(port=port, socket_connect_timeout=2, socket_timeout=2)


@fault("wipe redis", 5)
def wipe_redis(site: Site, chance: Random) -> Scar:
    try:
        _redis(site).flushall()
    except redis.RedisError as exc:
        return Scar(f"redis could not be wiped: {exc}", is_hit=False)
    return Scar("redis wiped")


@fault("send messages nobody expects", 5)
def send_messages_nobody_expects(site: Site, chance: Random) -> Scar:
    """Doorbells doubled and too many, of unknown kinds and tasks, and bytes that are no messages at all."""
    app = Celery(broker=f"redis://127.0.0.1:{site.services['redis'].port}/0", set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": REDIS_PREFIX, "max_retries": 0, "socket_timeout": 2}
    kind = chance.choice(KINDS)
    try:
        for _ in range(RINGS):
            app.send_task("jobs.work", kwargs={"kind": kind}, queue=kind, retry=False)
        app.send_task("jobs.work", kwargs={"kind": "baking"}, queue=kind, retry=False)
        app.send_task("jobs.bake", queue=kind, retry=False)
        app.send_task("jobs.work", args=[1, 2, 3], queue=kind, retry=False)
        for task in ("jobs.sweep", "jobs.reap"):
            app.send_task(task, queue="maintenance", retry=False)
    except (OperationalError, redis.RedisError, OSError) as exc:
        return Scar(f"messages could not be sent: {exc}", is_hit=False)
    finally:
        app.close()
    return Scar(f"{RINGS} rings and 5 strange messages to {kind}")
