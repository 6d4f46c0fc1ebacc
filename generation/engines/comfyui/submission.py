"""Handing the images of an order to the server: first what they need, then all of them at once."""

from collections.abc import Iterator
from functools import partial

from generation.engines.comfyui.address import shown
from generation.engines.comfyui.catalogue import UNKNOWN, loaders_of, read_catalogue
from generation.engines.comfyui.config_file import write_config
from generation.engines.comfyui.errors import ServerAway
from generation.engines.comfyui.images import ImageRun
from generation.engines.comfyui.landmarks import landmarks_of
from generation.engines.comfyui.lora_visibility import LoraVisibility
from generation.engines.comfyui.nodes import Graph
from generation.engines.comfyui.session import Session
from generation.engines.comfyui.workflow import NotOffered, build_graph
from generation.engines.order import LoraFile
from generation.params import GenerationParams, ImageField
from generation.workflows.filling import Filling, fill
from jobs.errors import EngineFailed
from jobs.events import Event, Holding

# Uploads are named by their content and used again by later jobs: ComfyUI has no way to remove them.
UPLOAD_FOLDER = "isengard"


class Submission:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._images = session.images
        self._is_prepared = False
        self._is_config_told = False
        self._loras: tuple[LoraFile, ...] = ()
        self._visibility = self._new_visibility()
        self._uploads: dict[ImageField, str] = {}
        self._catalogue = UNKNOWN

    def prepare_anew(self) -> None:
        """The server may have lost more than prompts."""
        self._is_prepared = False
        self._visibility = self._new_visibility()

    def submit_unsent(self) -> Iterator[Event]:
        """Queue every image that is not on the server. Raises ServerAway, and EngineFailed for a refusal."""
        unsent = self._images.unsent
        if not unsent:
            return
        yield from self._prepare()
        if not self._is_prepared:
            return
        yield from self._tell_config()
        # Whoever finds this job without its worker must know every prompt before the server can.
        server = shown(self._session.order.server_url)
        yield Holding(identity={"server": server, "prompts": self._images.prompt_ids})
        for image in unsent:
            yield from self._submit(image)

    def graph_of(self, image: ImageRun) -> Graph:
        order = self._session.order
        params = order.params_of(image.index)
        return self._graph(params, seed=order.seed_of(image.index), prefix=self._images.prefix(image))

    def _graph(self, params: GenerationParams, *, seed: int, prefix: str) -> Graph:
        workflow = self._session.order.workflow
        if workflow is not None:
            filling = Filling(params=params, loras=self._loras, seed=seed, prefix=prefix, images=self._uploads)
            return fill(workflow, filling)
        try:
            return build_graph(
                params,
                self._loras,
                seed=seed,
                prefix=prefix,
                catalogue=self._catalogue,
                images=self._uploads,
            )
        except NotOffered as exc:
            raise EngineFailed(str(exc)) from exc

    def _new_visibility(self) -> LoraVisibility:
        session = self._session
        return LoraVisibility(session.order.loras, host=session.host, grace_seconds=session.limits.lora_seconds)

    def _prepare(self) -> Iterator[Event]:
        if self._is_prepared:
            return
        client = self._session.client
        loras = yield from self._session.ask(partial(self._visibility.find, client))
        if loras is None:
            return
        self._loras = loras
        loaders = loaders_of(self._graph(self._session.order.params, seed=0, prefix=""))
        self._catalogue = yield from self._session.ask(partial(read_catalogue, client, [loaders]))
        for field, image in self._session.order.images.items():
            self._uploads[field] = yield from self._session.ask(partial(client.upload_image, image.path, UPLOAD_FOLDER))
        self._is_prepared = True

    def _tell_config(self) -> Iterator[Event]:
        if self._is_config_told:
            return
        graphs = {str(self._images.tag(image)): self.graph_of(image) for image in self._images}
        yield write_config(graphs, self._session.order.workspace)
        self._is_config_told = True

    def _submit(self, image: ImageRun) -> Iterator[Event]:
        session = self._session
        graph = self.graph_of(image)
        image.landmarks = landmarks_of(graph)
        submit = partial(
            session.client.submit,
            graph,
            prompt_id=image.prompt_id,
            client_id=session.socket.client_id,
            tag=self._images.tag(image),
        )
        try:
            yield from session.ask(submit)
        except ServerAway as exc:
            # The server may have queued it before the answer was lost, so that only a look can tell.
            image.is_sent = image.is_uncertain = not exc.is_refused
            raise
        image.is_sent = True
