"""One order carried through a ComfyUI server: submit, listen, look, collect."""

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TypeVar

from generation.engines.comfyui.answers import OutputFile
from generation.engines.comfyui.background import Background
from generation.engines.comfyui.client import Client
from generation.engines.comfyui.config_file import write_config
from generation.engines.comfyui.effects import refuse_unsupported, tell_without_effect
from generation.engines.comfyui.errors import OutputBroken, OutputMissing, ServerAway
from generation.engines.comfyui.failures import INTERRUPTED, explain_failure, is_out_of_memory
from generation.engines.comfyui.graph import build_graph
from generation.engines.comfyui.images import ImageRun, Images
from generation.engines.comfyui.limits import DEFAULT_LIMITS, Limits
from generation.engines.comfyui.messages import Ended, Executing, Message, PreviewFrame, PromptMessage, Stepped
from generation.engines.comfyui.narrator import Narrator
from generation.engines.comfyui.nodes import Graph
from generation.engines.comfyui.outputs import fetch_output
from generation.engines.comfyui.socket import ProgressSocket
from generation.engines.comfyui.truth import PromptState, Verdict, look
from generation.engines.comfyui.watch import Watch
from generation.engines.comfyui.withdrawal import withdraw
from generation.engines.order import GenerationOrder
from jobs.errors import EngineFailed
from jobs.events import Artifact, Event, Finished, Holding, Log, Preview, Started, Tick

logger = logging.getLogger(__name__)

T = TypeVar("T")


def generate(order: GenerationOrder, *, limits: Limits = DEFAULT_LIMITS) -> Generator[Event, None, None]:
    """Make the images of `order` that are not done yet, as `jobs.events` describes."""
    refuse_unsupported(order.params)
    yield from tell_without_effect(order.params)
    images = Images(order)
    if images.are_done:
        yield Started()
    else:
        run = Run(order, images, limits=limits)
        try:
            yield from run.events()
        finally:
            run.release()
    if images.are_done:
        yield Finished()


class Run:
    def __init__(self, order: GenerationOrder, images: Images, *, limits: Limits) -> None:
        self._order = order
        self._images = images
        self._limits = limits
        self._narrator = Narrator(order, images)
        self._watch = Watch(limits)
        self._client = Client(order.server_url)
        self._background = Background(limits.tick_seconds)
        self._socket = ProgressSocket(order.server_url, preview_seconds=limits.preview_seconds)
        self._stop = threading.Event()

    def events(self) -> Iterator[Event]:
        """Return early, with images missing, only when asked to drain."""
        yield self._narrator.wait()
        yield from self._background.run(partial(self._socket.wait_until_open, self._limits.connect_seconds))
        for image in self._images:
            self._images.name_prompt(image)
        yield write_config({image.prompt_id: self._graph(image) for image in self._images}, self._order.workspace)
        while not self._is_over():
            try:
                yield from self._turn()
            except ServerAway as exc:
                yield from self._watch.bear_absence(exc)

    def release(self) -> None:
        """Free everything that is held here and at the server. Blocks until that is so, or cannot be reached."""
        self._stop.set()
        self._background.close()
        self._socket.close()
        prompt_ids = self._images.unsettled_ids
        try:
            if prompt_ids:
                withdraw(
                    self._client,
                    prompt_ids,
                    unreachable_seconds=self._limits.cancel_seconds,
                    stubborn_seconds=self._limits.release_seconds,
                )
        finally:
            self._client.close()

    def _is_over(self) -> bool:
        if self._images.are_done:
            return True
        return self._watch.is_draining and (not self._images.is_any_executing or self._watch.is_drain_over)

    def _turn(self) -> Iterator[Event]:
        yield from self._listen()
        if self._order.controls.is_draining and not self._watch.is_draining:
            yield from self._begin_to_drain()
        elif self._watch.is_time_to_look:
            yield from self._submit_unsent()
            yield from self._look()
        self._check_signs_of_life()

    def _ask(self, call: Callable[[], T]) -> Generator[Event, None, T]:
        answer = yield from self._background.run(call)
        yield from self._watch.note_answer()
        return answer

    def _listen(self) -> Iterator[Event]:
        message = self._socket.next_message(self._watch.listen_seconds)
        if message is None:
            yield Tick()
        while message is not None:
            yield from self._heed(message)
            message = self._socket.next_message(0)

    def _heed(self, message: Message) -> Iterator[Event]:
        if not isinstance(message, PromptMessage):
            self._watch.hint()
            return
        image = self._images.find(message.prompt_id)
        if image is None:
            return
        self._watch.note_sign()
        match message:
            case Executing():
                yield from self._begin(image)
                yield from self._narrator.enter_node(image, message)
            case Stepped():
                yield from self._begin(image)
                yield from self._narrator.step(image, message)
            case PreviewFrame(image_type="image/jpeg" | "image/png" as content_type):
                yield Preview(image=message.image, content_type=content_type)
            case Ended():
                image.has_ended = True
                self._watch.look_now()

    def _begin(self, image: ImageRun) -> Iterator[Event]:
        if not image.is_executing:
            image.is_executing = True
            self._watch.note_sign()
        yield from self._narrator.begin(image)

    def _submit_unsent(self) -> Iterator[Event]:
        unsent = self._images.unsent
        if self._watch.is_draining or not unsent:
            return
        # Whoever finds this job without its worker must know every prompt before the server can.
        yield Holding(identity={"server": self._order.server_url, "prompts": self._images.prompt_ids})
        for image in unsent:
            yield from self._submit(image)

    def _submit(self, image: ImageRun) -> Iterator[Event]:
        submit = partial(
            self._client.submit, self._graph(image), prompt_id=image.prompt_id, client_id=self._socket.client_id
        )
        try:
            yield from self._ask(submit)
        except ServerAway as exc:
            # The server may have queued it before the answer was lost, so that only a look can tell.
            image.is_sent = not exc.is_refused
            raise
        image.is_sent = True

    def _graph(self, image: ImageRun) -> Graph:
        seed, prefix = self._order.seed_of(image.index), self._images.prefix(image)
        return build_graph(self._order.params, self._order.loras, seed=seed, prefix=prefix)

    def _look(self) -> Iterator[Event]:
        self._watch.note_look()
        prompts = {image.prompt_id: image for image in self._images.open}
        verdicts = yield from self._ask(partial(look, self._client, list(prompts)))
        # What is finished is kept before something else ends the job.
        for prompt_id in sorted(prompts, key=lambda key: verdicts[key].state is not PromptState.DONE):
            yield from self._judge(prompts[prompt_id], verdicts[prompt_id])

    def _judge(self, image: ImageRun, verdict: Verdict) -> Iterator[Event]:
        if verdict.state is not PromptState.ABSENT:
            image.absent_since = None
        match verdict.state:
            case PromptState.RUNNING:
                yield from self._begin(image)
            case PromptState.PENDING:
                image.is_executing = False
            case PromptState.ABSENT:
                yield from self._miss(image)
            case PromptState.DONE:
                yield from self._begin(image)
                yield from self._collect(image, verdict.files)
            case PromptState.FAILED:
                image.settle()
                yield from self._recover(image, verdict)
            case PromptState.INTERRUPTED:
                image.settle()
                raise EngineFailed(INTERRUPTED)
        if image.has_ended and image.is_open:
            self._watch.hint()

    def _collect(self, image: ImageRun, files: tuple[OutputFile, ...]) -> Iterator[Event]:
        image.settle()
        if not files:
            raise EngineFailed("ComfyUI finished without saving an image.")
        name = f"{self._order.job_id}-{image.index}.png"
        target = self._order.workspace / name
        size = (self._order.params.width, self._order.params.height)
        try:
            yield from self._ask(partial(fetch_output, self._client, files[0], target, size=size, stop=self._stop))
        except (OutputMissing, OutputBroken) as exc:
            yield from self._send_again(image, f"ComfyUI finished the image, but its file is gone or broken ({exc}).")
            return
        image.is_done = True
        details = {"index": image.index, "seed": self._order.seed_of(image.index), "width": size[0], "height": size[1]}
        yield Artifact(type="output", name=name, path=target, details=details)
        yield self._narrator.finish(image)

    def _miss(self, image: ImageRun) -> Iterator[Event]:
        """The prompt is nowhere. That may last a moment between its end and its history."""
        image.is_executing = False
        if self._watch.is_draining:
            return
        now = time.monotonic()
        image.absent_since = image.absent_since or now
        if now - image.absent_since >= self._limits.absent_seconds:
            yield from self._send_again(image, "The ComfyUI server lost the image, perhaps by a restart.")
        else:
            self._watch.hint()

    def _recover(self, image: ImageRun, verdict: Verdict) -> Iterator[Event]:
        if image.has_met_full_memory or not is_out_of_memory(verdict.error):
            raise EngineFailed(explain_failure(verdict.error))
        image.has_met_full_memory = True
        yield Log(message="The GPU ran out of memory; trying once more after freeing it.", level="WARNING")
        yield from self._ask(self._client.free_memory)
        self._images.send_again(image)
        self._watch.look_now()

    def _send_again(self, image: ImageRun, reason: str) -> Iterator[Event]:
        image.losses += 1
        if image.losses > self._limits.resubmissions:
            raise EngineFailed(f"{reason} It was submitted {image.losses} times.", is_retryable=True)
        yield Log(message=f"{reason} Submitting it again.", level="WARNING", event="engine.resubmitted")
        self._images.send_again(image)
        self._watch.look_now()

    def _begin_to_drain(self) -> Iterator[Event]:
        self._watch.begin_to_drain()
        waiting = [image.prompt_id for image in self._images.open if not image.is_executing]
        yield from self._ask(partial(self._client.delete_pending, waiting))
        # One of them may have begun to execute meanwhile.
        yield from self._look()

    def _check_signs_of_life(self) -> None:
        if not self._images.is_any_executing:
            self._watch.note_sign()
        elif self._watch.is_stalled:
            minutes = round(self._limits.stall_seconds / 60)
            raise EngineFailed(f"ComfyUI made no progress for {minutes} minutes.", is_retryable=True)
        elif self._watch.is_silent_since(self._socket.last_heard):
            logger.warning("The socket of ComfyUI is silent: opening another, job %s", self._order.job_id)
            self._socket.renew()
