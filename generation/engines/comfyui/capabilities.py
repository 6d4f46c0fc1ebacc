"""What a ComfyUI server can do for Isengard, asked of the server itself."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, get_args

from base_models import Generating
from generation.engines.comfyui.catalogue import UNKNOWN, Catalogue, read_catalogue
from generation.engines.comfyui.client import READY_SECONDS, Client
from generation.engines.comfyui.errors import ServerAway
from generation.engines.comfyui.lacks import lacks
from generation.engines.comfyui.nodes import Graph
from generation.engines.comfyui.own_workflows import lacks_of_workflow, misfit_of_workflow
from generation.engines.comfyui.workflow import NotOffered, build_graph
from generation.engines.comfyui.workflow.loading import MODEL_ONLY_LORA
from generation.engines.order import LoraFile
from generation.params import TOGGLES, VARIANTS, ControlType, GenerationParams, Toggle
from generation.workflows.workflow import Workflow

SERVER_AWAY = "The ComfyUI server cannot be reached."
PROBE_READ_SECONDS = 3.0
EXAMPLE_LORAS = (LoraFile(name="", strength=1.0),)
CONTROL_TYPES: tuple[ControlType, ...] = get_args(ControlType)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """`missing` says in words what the server lacks; `refusal` why it could not be done with anything installed."""

    missing: tuple[str, ...] = ()
    refusal: str | None = None

    @property
    def is_available(self) -> bool:
        return self.reason is None

    @property
    def reason(self) -> str | None:
        """Return why not, in one sentence."""
        if self.refusal is None and self.missing:
            return f"The ComfyUI server lacks {', '.join(self.missing)}."
        return self.refusal

    @property
    def distance(self) -> tuple[bool, int]:
        """The smaller, the less is to be done until it is available."""
        return self.refusal is not None, len(self.missing)


NOT_REACHED = Offer(refusal=SERVER_AWAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """`visible_loras` are the names under which the server lists LoRA files, those of all people."""

    is_up: bool
    visible_loras: frozenset[str] = frozenset()
    catalogue: Catalogue = UNKNOWN
    version: tuple[int, ...] = ()

    @property
    def variants(self) -> Mapping[str, Offer]:
        """Return each model by name."""
        return {name: self.model(name) for name in VARIANTS}

    def model(self, name: str) -> Offer:
        return self.offer(_example(name))

    def offer(self, params: GenerationParams) -> Offer:
        """Return whether the server could make this image.

        What it lacks is read off the graph as it is really submitted, so that the two cannot drift apart.
        """
        if not self.is_up:
            return NOT_REACHED
        try:
            graph = build_graph(params, EXAMPLE_LORAS, seed=0, prefix="example", catalogue=self.catalogue)
        except NotOffered as exc:
            return Offer(refusal=str(exc))
        return Offer(missing=(*_too_old(params.generating, self.version), *lacks(graph, self.catalogue)))

    def addition(self, params: GenerationParams) -> Offer:
        """Return what the switches of `params` need beyond what the model itself does."""
        whole = self.offer(params)
        alone = self.offer(params.model_copy(update=dict.fromkeys(TOGGLES, False)))
        return Offer(missing=tuple(each for each in whole.missing if each not in alone.missing), refusal=whole.refusal)

    def toggle(self, toggle: Toggle, model: str, *, control_type: ControlType = "canny") -> Offer:
        return self.addition(_example(model, toggle, control_type=control_type))

    def workflow(self, workflow: Workflow) -> Offer:
        """Return whether the server could run one of the operator's."""
        if not self.is_up or not workflow.classes <= self.catalogue.declarations.keys():
            return NOT_REACHED
        missing = lacks_of_workflow(workflow, self.catalogue)
        misfit = misfit_of_workflow(workflow, self.catalogue)
        if missing or misfit is None:
            return Offer(missing=missing)
        return Offer(refusal=f"Its map file does not fit the ComfyUI server. {misfit}.")


def probe(server_url: str, further_classes: Iterable[str] = ()) -> Capabilities:
    """Ask the server, in some tens of small requests. Never raises: a server that is away can do nothing.

    `further_classes` are the nodes that are asked for beside those of our own workflows.
    """
    with closing(Client(server_url, connect_seconds=READY_SECONDS, read_seconds=PROBE_READ_SECONDS)) as client:
        try:
            return _ask(client, further_classes)
        except ServerAway:
            return Capabilities(is_up=False)


def _ask(client: Client, further_classes: Iterable[str]) -> Capabilities:
    own = read_catalogue(client, _all_examples()).declarations
    further = {name: _declaration(client, name) for name in further_classes if name not in own}
    return Capabilities(
        is_up=True,
        catalogue=Catalogue(declarations={**own, **further}),
        version=client.version(),
        visible_loras=_visible_loras(client),
    )


def _declaration(client: Client, class_type: str) -> Mapping[str, Any] | None:
    try:
        return client.object_info(class_type)
    except ServerAway as exc:
        if exc.status is None:
            raise
        # One node pack that cannot describe itself must not take the server away from everybody.
        return None


def _all_examples() -> Iterator[Graph]:
    """Yield graphs that have every node which any graph can have."""
    for params in _each_example():
        try:
            yield build_graph(params, EXAMPLE_LORAS, seed=0, prefix="example")
        except NotOffered:
            continue


def _each_example() -> Iterator[GenerationParams]:
    for name in VARIANTS:
        yield _example(name).model_copy(update={"negative_prompt": "example", "init_image": "example.png"})
        yield _example(name)
        for toggle in TOGGLES:
            for kind in CONTROL_TYPES:
                yield _example(name, toggle, control_type=kind)


def _example(name: str, toggle: Toggle | None = None, *, control_type: ControlType = "canny") -> GenerationParams:
    switches = {toggle: True} if toggle else {}
    return GenerationParams.model_validate(
        {"prompt": "example", "model_variant": name, "control_type": control_type, **switches}
    )


def _too_old(model: Generating, version: tuple[int, ...]) -> Iterator[str]:
    if version and version < model.minimum_server:
        needed = ".".join(map(str, model.minimum_server))
        yield f"ComfyUI {needed} or newer (it is {'.'.join(map(str, version))})"


def _visible_loras(client: Client) -> frozenset[str]:
    try:
        if client.object_info(MODEL_ONLY_LORA) is None:
            return frozenset()
        return frozenset(client.models("loras"))
    except ServerAway as exc:
        if exc.status is None:
            raise
        # ComfyUI fails here, and here alone, after a whole LoRA folder was deleted under it.
        return frozenset()
