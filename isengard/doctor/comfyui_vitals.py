"""How each ComfyUI server is: version, cards, previews, clock and latency."""

from collections.abc import Iterator

from django.conf import settings

from generation.engines.comfyui import Card, ServerAway, Vitals, read_vitals, shown
from isengard.doctor.finding import Finding, failed, ok, warning

AREA = "comfyui"
TESTED_VERSIONS = ("0.7.0", "0.33.0")
GB = 1_000_000_000
# FLUX.1 dev in fp8 with its text encoders unloaded while it samples; below, ComfyUI moves weights in every step.
MIN_CARD_BYTES = 12 * GB
SLOW_SECONDS = 0.5
CLOCK_SECONDS = 30.0


def check_vitals(url: str) -> Iterator[Finding]:
    name = shown(url)
    try:
        vitals = read_vitals(url)
    except ServerAway as exc:
        yield failed(AREA, f"{name}: {exc}", "Look at what answers there, and at its log.")
        return
    yield _version(name, vitals)
    yield from (_card(name, card) for card in vitals.cards)
    if not vitals.has_previews:
        advice = "Update ComfyUI; until then people see a picture only when it is finished."
        yield warning(AREA, f"{name} does not say which picture a preview belongs to", advice)
    yield from _time(name, vitals)


def _version(name: str, vitals: Vitals) -> Finding:
    told = f"{name} is ComfyUI {vitals.version or 'of an unknown version'}"
    if vitals.version in TESTED_VERSIONS:
        return ok(AREA, f"{told}: as tested")
    oldest, newest = TESTED_VERSIONS
    if _numbers(oldest) < _numbers(vitals.version) < _numbers(newest):
        return ok(AREA, f"{told}: between {oldest} and {newest}, which were tested")
    advice = f"Isengard was tested with {oldest} and {newest}. Make a few images first, or use one of these."
    return warning(AREA, f"{told}: neither tested nor between what was", advice)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _card(name: str, card: Card) -> Finding:
    if card.type == "cpu":
        finding = failed if settings.IS_PRODUCTION else warning
        return finding(AREA, f"{name} has no GPU: an image takes minutes or hours", "Start ComfyUI on a GPU.")
    told = f"{name} has {card.name} with {card.vram_total / GB:.0f} GB, {card.vram_free / GB:.0f} GB of it free"
    if card.vram_total < MIN_CARD_BYTES:
        return warning(AREA, told, "FLUX needs 12 GB at least; with less, ComfyUI is several times as slow.")
    return ok(AREA, told)


def _time(name: str, vitals: Vitals) -> Iterator[Finding]:
    milliseconds = round(1000 * vitals.latency_seconds)
    if vitals.latency_seconds > SLOW_SECONDS:
        advice = "It is busy with other things, or far away: each job asks it some times a second."
        yield warning(AREA, f"{name} takes {milliseconds} ms to answer", advice)
    else:
        yield ok(AREA, f"{name} answers in {milliseconds} ms")
    ahead = vitals.clock_ahead_seconds
    if ahead is not None and abs(ahead) > CLOCK_SECONDS:
        told = f"the clock of {name} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} ours"
        yield warning(AREA, told, "Let both machines set their clocks by the network: their logs cannot be compared.")
