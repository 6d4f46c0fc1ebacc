"""The ComfyUI servers: up, with the models, and with our LoRAs in sight."""

from collections.abc import Iterator
from urllib.parse import urldefrag

from django.conf import settings

from characters.models import Lora
from generation.engines.comfyui import Capabilities, probe
from isengard.doctor.finding import Finding, failed, ok, warning

AREA = "comfyui"


def check_servers(*, has_rows: bool) -> Iterator[Finding]:
    servers = {url: probe(url) for url in (urldefrag(each).url for each in settings.COMFYUI_URLS)}
    is_any_up = any(server.is_up for server in servers.values())
    for url, server in servers.items():
        if server.is_up:
            yield from _models(url, server)
            if has_rows:
                yield from _loras(url, server)
        else:
            yield _away(url, is_any_up=is_any_up)


def _away(url: str, *, is_any_up: bool) -> Finding:
    text = f"{url} does not answer"
    if is_any_up:
        return warning(AREA, text, "Start it; meanwhile the others do its work.")
    started = "`make run` starts the stand-in." if settings.COMFYUI_IS_EMBEDDED else "Start it, or correct COMFYUI_URL."
    return failed(AREA, text, f"{started} Meanwhile generations wait in the queue.")


def _models(url: str, server: Capabilities) -> Iterator[Finding]:
    able = [name for name, variant in server.variants.items() if variant.is_available]
    if able:
        yield ok(AREA, f"{url} has what {', '.join(able)} need" + ("s" if len(able) == 1 else ""))
    for name, variant in server.variants.items():
        if not variant.is_available:
            # One of two models is a choice; none at all is a fault.
            finding = warning if able else failed
            yield finding(AREA, f"{url} lacks, for {name}: {'; '.join(variant.missing)}", "Install them in ComfyUI.")


def _loras(url: str, server: Capabilities) -> Iterator[Finding]:
    newest = Lora.objects.order_by("-created_at").first()
    if newest is None:
        return
    if newest.key.removeprefix("loras/") in server.visible_loras:
        yield ok(AREA, f"{url} sees our LoRAs")
    else:
        advice = f"Add {settings.DATA_DIR / 'loras'} as a loras folder to its extra_model_paths.yaml."
        yield failed(AREA, f"{url} does not see {newest.key}: generations with it would fail", advice)
