"""What can be generated here and now: asked of the servers, remembered for half a minute."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urldefrag

from django.conf import settings

from generation import presets
from generation.engines.comfyui import CONTROL_TYPES, Capabilities, Offer, probe
from generation.params import (
    CONTRACT_VARIANTS,
    DEFAULT_VARIANT,
    MAX_LORAS,
    TOGGLES,
    VARIANTS,
    ControlType,
    GenerationParams,
    Toggle,
)
from generation.workflow_choice import own_workflows
from generation.workflows.folder import Broken
from generation.workflows.workflow import Workflow
from jobs.params import describe

REMEMBERED_SECONDS = 30.0
# At a start the servers come up one after the other, often later than the first question.
SILENCE_REMEMBERED_SECONDS = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What each server said last. Both moments are of the monotonic clock; `answered_at` is None before any did.

    `classes` are the nodes of the operator's workflows that were asked for.
    """

    servers: tuple[Capabilities, ...]
    at: float
    answered_at: float | None
    classes: frozenset[str] = frozenset()

    @property
    def is_old(self) -> bool:
        lasts = SILENCE_REMEMBERED_SECONDS if self.answered_at is None else REMEMBERED_SECONDS
        return time.monotonic() - self.at > lasts

    @property
    def is_stale(self) -> bool:
        """The servers are all down, and what they said before is all there is."""
        return self.answered_at is not None and self.answered_at < self.at

    def best(self, offer_of: Callable[[Capabilities], Offer]) -> Offer:
        """Return the offer of the server that lacks the least."""
        answering = [server for server in self.servers if server.is_up] or self.servers
        return min(map(offer_of, answering), key=lambda offer: offer.distance)


_lock = threading.Lock()
_asked: Asked | None = None


def asked(classes: frozenset[str] = frozenset()) -> Asked:
    """Return what the servers say, at most REMEMBERED_SECONDS old; while all are down, what they said before.

    `classes` are nodes that must have been asked for, beside those of our own and the operator's workflows.
    """
    global _asked
    wanted = classes.union(*(each.classes for each in own_workflows().values() if isinstance(each, Workflow)))
    with _lock:
        if _asked is None or _asked.is_old or not wanted <= _asked.classes:
            _asked = _ask(_asked, wanted)
        return _asked


def _ask(before: Asked | None, classes: frozenset[str]) -> Asked:
    servers = tuple(probe(urldefrag(url).url, classes) for url in settings.COMFYUI_URLS)
    now = time.monotonic()
    if any(server.is_up for server in servers):
        return Asked(servers, at=now, answered_at=now, classes=classes)
    if before is None or before.answered_at is None:
        return Asked(servers, at=now, answered_at=None, classes=classes)
    return Asked(before.servers, at=now, answered_at=before.answered_at, classes=classes)


def refusals(params: GenerationParams) -> Iterator[tuple[str, str]]:
    """Yield the parameters that no server can serve here and now, with the reasons that `/info` gives.

    Before any server answered, what clients count on is taken: it waits in the queue for a server.
    """
    known = asked()
    model = known.best(lambda server: server.model(params.model_variant))
    if model.reason and not (known.answered_at is None and params.model_variant in CONTRACT_VARIANTS):
        yield "model_variant", model.reason
        return
    switches = list(_refused_switches(known, params))
    yield from switches
    if not switches and known.answered_at is not None:
        together = known.best(lambda server: server.addition(params))
        if together.reason:
            yield "model_variant", f"No server can do all of this at once. {together.reason}"


def workflow_refusals(workflow: Workflow) -> Iterator[tuple[str, str]]:
    """Yield that no server can run it here and now, if so, with the reason that `/info` gives."""
    reason = _workflow_offer(asked(workflow.classes), workflow).reason
    if reason:
        yield "workflow", reason


def _workflow_offer(known: Asked, workflow: Workflow) -> Offer:
    return known.best(lambda server: server.workflow(workflow))


def _refused_switches(known: Asked, params: GenerationParams) -> Iterator[tuple[str, str]]:
    for toggle in TOGGLES:
        if getattr(params, toggle):
            others: dict[str, Any] = {name: False for name in TOGGLES if name != toggle}
            reason = known.best(partial(_addition, params=params.model_copy(update=others))).reason
            if reason:
                yield toggle, reason


def _addition(server: Capabilities, params: GenerationParams) -> Offer:
    return server.addition(params)


def info() -> dict[str, Any]:
    """Return `/info`'s part about generation."""
    known = asked()
    return {
        **_described(known),
        "parameters": describe(GenerationParams),
        "presets": presets.info(),
        "workflows": {name: _workflow(known, each) for name, each in own_workflows().items()},
        **_freshness(known),
    }


# A hundred graphs are built and looked at for it, and it stays the same until the servers are asked again.
@lru_cache(maxsize=1)
def _described(known: Asked) -> dict[str, Any]:
    models = {name: _model(known, name) for name in VARIANTS}
    others = [name for name, model in models.items() if model["available"] and name not in CONTRACT_VARIANTS]
    return {
        "backend": "comfyui",
        "model_variants": [*CONTRACT_VARIANTS, *others],
        "models": models,
        "toggles": {toggle: _toggle(known, toggle, models) for toggle in TOGGLES},
    }


def _freshness(known: Asked) -> dict[str, Any]:
    if not known.is_stale or known.answered_at is None:
        return {"stale": False}
    seconds = round(time.monotonic() - known.answered_at)
    return {"stale": True, "reason": f"No ComfyUI server answers; this was so {seconds} seconds ago."}


def _workflow(known: Asked, found: Workflow | Broken) -> dict[str, Any]:
    if isinstance(found, Broken):
        told: dict[str, Any] = {"title": found.name, "description": "", "base_model": None, "parameters": []}
        return {**told, "images": [], "max_loras": 0, "available": False, "missing": [], "reason": found.reason}
    offer, mapping = _workflow_offer(known, found), found.mapping
    return {
        "title": found.title,
        "description": mapping.description,
        "base_model": mapping.base_model,
        "parameters": list(mapping.parameters),
        "images": list(mapping.images),
        "max_loras": MAX_LORAS if mapping.max_loras is None else mapping.max_loras,
        "available": offer.is_available,
        "missing": list(offer.missing),
    } | _reason(offer)


def _model(known: Asked, name: str) -> dict[str, Any]:
    model = VARIANTS[name]
    params = GenerationParams(prompt="example", model_variant=name)
    offer = known.best(lambda server: server.model(name))
    return {
        "title": model.title,
        "family": model.family,
        "licence": model.licence,
        "available": offer.is_available,
        "missing": list(offer.missing),
        "defaults": {"steps": params.steps, "guidance_scale": params.guidance_scale},
    } | _reason(offer)


def _toggle(known: Asked, toggle: Toggle, models: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    offers = {name: known.best(partial(_toggle_offer, toggle=toggle, model=name)) for name in models}
    is_supported = any(offer.is_available and models[name]["available"] for name, offer in offers.items())
    told: dict[str, Any] = {"supported": is_supported, "models": _by_model(offers)}
    if not is_supported:
        told["reason"] = offers[DEFAULT_VARIANT].reason or models[DEFAULT_VARIANT]["reason"]
    if toggle == "use_controlnet":
        told["control_types"] = {kind: _control_type(known, kind, models) for kind in CONTROL_TYPES}
    return told


def _control_type(known: Asked, kind: ControlType, models: Mapping[str, Any]) -> dict[str, Any]:
    offer_of = partial(_toggle_offer, toggle="use_controlnet", kind=kind)
    return _by_model({name: known.best(partial(offer_of, model=name)) for name in models})


def _toggle_offer(server: Capabilities, *, toggle: Toggle, model: str, kind: ControlType = "canny") -> Offer:
    return server.toggle(toggle, model, control_type=kind)


def _by_model(offers: Mapping[str, Offer]) -> dict[str, Any]:
    return {name: {"supported": offer.is_available} | _reason(offer) for name, offer in offers.items()}


def _reason(offer: Offer) -> dict[str, str]:
    return {"reason": offer.reason} if offer.reason else {}
