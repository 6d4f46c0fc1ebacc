"""The ComfyUI servers: up, with the models and nodes, and with our LoRAs in sight."""

from collections.abc import Iterator

from django.conf import settings

from characters.models import Lora
from generation.engines.comfyui import Capabilities, Offer, probe, shown, without_fragment
from generation.params import CONTRACT_VARIANTS, TOGGLES, VARIANTS
from isengard.doctor.comfyui_vitals import AREA, check_vitals
from isengard.doctor.finding import Finding, Level, failed, ok, warning

MODELS_ADVICE = "docs/engines.md lists the files of each model."


def check_servers(*, has_rows: bool) -> Iterator[Finding]:
    servers = {url: probe(url) for url in map(without_fragment, settings.COMFYUI_URLS)}
    is_any_up = any(server.is_up for server in servers.values())
    for url, server in servers.items():
        name = shown(url)
        if not server.is_up:
            yield _away(name, is_any_up=is_any_up)
            continue
        yield from check_vitals(url)
        yield from _models(name, server)
        yield _switches(name, server)
        if has_rows:
            yield _loras(name, server)


def _away(name: str, *, is_any_up: bool) -> Finding:
    text = f"{name} does not answer"
    if is_any_up:
        return warning(AREA, text, "Start it; meanwhile the others do its work.")
    started = "`make run` starts the stand-in." if settings.COMFYUI_IS_EMBEDDED else "Start it, or correct COMFYUI_URL."
    return failed(AREA, text, f"{started} Meanwhile generations wait in the queue.")


def _models(name: str, server: Capabilities) -> Iterator[Finding]:
    offers = server.variants
    able = [model for model in VARIANTS if offers[model].is_available]
    if able:
        yield ok(AREA, f"{name} has what {', '.join(able)} need" + ("s" if len(able) == 1 else ""))
    # One of two models is a choice; none at all is a fault.
    finding = warning if able else failed
    for model in CONTRACT_VARIANTS:
        if model not in able:
            yield finding(AREA, f"{name} lacks, for {model}: {_lacks(offers[model])}", MODELS_ADVICE)
    others = {model: offers[model] for model in VARIANTS if model not in (*CONTRACT_VARIANTS, *able)}
    if others:
        yield _optional(f"{name} does not offer: {_listed(others)}", MODELS_ADVICE)


def _switches(name: str, server: Capabilities) -> Finding:
    """A switch that works with one model that is there counts as possible."""
    able = [model for model in VARIANTS if server.model(model).is_available] or list(CONTRACT_VARIANTS)
    lacking = {}
    for toggle, title in TOGGLES.items():
        offers = [server.toggle(toggle, model) for model in able]
        if not any(offer.is_available for offer in offers):
            lacking[title] = min(offers, key=lambda offer: offer.distance)
    if lacking:
        return _optional(f"{name} cannot do: {_listed(lacking)}", "Install them in ComfyUI if they are wanted.")
    return ok(AREA, f"{name} can do {', '.join(TOGGLES.values())}")


def _listed(offers: dict[str, Offer]) -> str:
    return "; ".join(f"{name} (lacks {_lacks(offer)})" for name, offer in offers.items())


def _lacks(offer: Offer) -> str:
    return offer.refusal or ", ".join(offer.missing)


def _optional(text: str, advice: str) -> Finding:
    return Finding(level=Level.OK, area=AREA, text=text, advice=advice)


def _loras(name: str, server: Capabilities) -> Finding:
    newest = Lora.objects.order_by("-created_at").first()
    if newest is None:
        advice = "Whether a server shares our LoRA folder shows with the first one: `manage.py comfyui_paths`."
        return _optional(f"{name}: there is no LoRA yet to look for", advice)
    if newest.key.removeprefix("loras/") in {seen.replace("\\", "/") for seen in server.visible_loras}:
        return ok(AREA, f"{name} sees our LoRAs")
    advice = "Start it with the extra_model_paths.yaml that `manage.py comfyui_paths` writes, in reach of our folder."
    return failed(AREA, f"{name} does not see {newest.key}: generations with it would fail", advice)
