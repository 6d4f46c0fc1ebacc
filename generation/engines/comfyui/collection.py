"""Looking where the images are, and drawing the consequences: keep, wait, send again, or give up."""

import logging
import time
from collections.abc import Generator, Iterator
from functools import partial

from generation.engines.comfyui.answers import OutputFile
from generation.engines.comfyui.errors import OutputBroken, OutputMissing
from generation.engines.comfyui.failures import INTERRUPTED, failure_of, is_out_of_memory
from generation.engines.comfyui.hearing import Hearing
from generation.engines.comfyui.images import ImageRun
from generation.engines.comfyui.outputs import fetch_output
from generation.engines.comfyui.session import Session
from generation.engines.comfyui.truth import Look, PromptState, Verdict, look
from generation.engines.comfyui.withdrawal import take_back
from jobs.errors import EngineAtFault, EngineFailed
from jobs.events import Artifact, Event, Log

logger = logging.getLogger(__name__)

LOST = "The ComfyUI server lost the image, by a restart or because somebody deleted it there."


class Collection:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._images = session.images
        self._hearing = Hearing()
        self._has_lost_any = False

    def take_loss(self) -> bool:
        """Return whether the server lost anything since the last call."""
        was_lost, self._has_lost_any = self._has_lost_any, False
        return was_lost

    def look(self) -> Iterator[Event]:
        """Look at every image that is on the server. Raises ServerAway, and EngineFailed for what cannot be mended."""
        session = self._session
        session.watch.note_look()
        prompts = {image.prompt_id: image for image in self._images.open}
        saving = {prompt_id: image.landmarks.saving for prompt_id, image in prompts.items()}
        seen = yield from session.ask(partial(look, session.client, saving))
        yield from self._take_back_given_up(seen)
        yield from self._renew_deaf_socket(seen)
        # What is finished is kept before something else ends the job.
        for prompt_id in sorted(prompts, key=lambda key: seen.verdicts[key].state is not PromptState.DONE):
            yield from self._judge(prompts[prompt_id], seen.verdicts[prompt_id])

    def _take_back_given_up(self, seen: Look) -> Iterator[Event]:
        """A submission that was not answered may have been late, and its image is being made by another prompt."""
        given_up = seen.queue.present & self._images.given_up_ids
        if given_up:
            yield from self._session.ask(partial(take_back, self._session.client, given_up))

    def _renew_deaf_socket(self, seen: Look) -> Iterator[Event]:
        socket = self._session.socket
        if self._hearing.is_deaf(seen.queue, looked_at=seen.began_at, last_heard=socket.last_heard) and socket.is_open:
            logger.warning("The socket of ComfyUI is deaf: opening another, job %s", self._session.order.job_id)
            yield from self._session.ask(socket.renew)

    def _judge(self, image: ImageRun, verdict: Verdict) -> Iterator[Event]:
        if verdict.state is not PromptState.ABSENT:
            image.absent_since = None
        match verdict.state:
            case PromptState.RUNNING:
                yield from self.begin(image)
            case PromptState.PENDING:
                image.is_executing = False
            case PromptState.ABSENT:
                yield from self._miss(image)
            case PromptState.DONE:
                yield from self.begin(image)
                yield from self._collect(image, verdict)
            case PromptState.FAILED:
                image.settle()
                yield from self._recover(image, verdict)
            case PromptState.INTERRUPTED:
                image.settle()
                raise EngineFailed(INTERRUPTED, cause="interrupted")
        if image.has_ended and image.is_open:
            self._session.watch.hint()

    def begin(self, image: ImageRun) -> Iterator[Event]:
        if not image.is_executing:
            image.is_executing = True
            self._session.watch.note_sign()
        yield from self._session.narrator.begin(image)

    def _collect(self, image: ImageRun, verdict: Verdict) -> Iterator[Event]:
        image.settle()
        if not verdict.files:
            raise EngineAtFault("ComfyUI finished without saving an image.", is_broken=False, cause="no_output")
        order = self._session.order
        name = f"{order.job_id}-{image.index}.png"
        try:
            size = yield from self._fetch(verdict.files[0], name)
        except (OutputMissing, OutputBroken) as exc:
            yield from self._send_again(image, f"ComfyUI finished the image, but its file is gone or broken ({exc}).")
            return
        image.is_done = True
        details: dict[str, object] = {"index": image.index, "seed": order.seed_of(image.index)}
        details |= dict(zip(("width", "height"), size, strict=True))
        if verdict.seconds is not None:
            details["seconds"] = verdict.seconds
        yield Artifact(type="output", name=name, path=order.workspace / name, details=details)
        yield self._session.narrator.finish(image)

    def _fetch(self, file: OutputFile, name: str) -> Generator[Event, None, tuple[int, int]]:
        session = self._session
        target, wanted = session.order.workspace / name, session.order.output_size
        fetch = partial(fetch_output, session.client, file, target, size=wanted, stop=session.stop)
        size = yield from session.ask(fetch)
        return size

    def _miss(self, image: ImageRun) -> Iterator[Event]:
        """The prompt is nowhere. That may last a moment between its end and its history."""
        image.is_executing = False
        now = time.monotonic()
        image.absent_since = image.absent_since or now
        if now - image.absent_since < self._session.limits.absent_seconds:
            self._session.watch.hint()
        elif self._session.watch.is_draining:
            # Nobody waits for it any more: it is made when the job goes on.
            image.is_sent = False
        else:
            self._has_lost_any = True
            yield from self._send_again(image, LOST)

    def _recover(self, image: ImageRun, verdict: Verdict) -> Iterator[Event]:
        if image.has_met_full_memory or not is_out_of_memory(verdict.error):
            logger.warning("ComfyUI failed at prompt %s: %s", image.prompt_id, verdict.error)
            raise failure_of(verdict.error, own_files=image.landmarks.files)
        image.has_met_full_memory = True
        yield Log(
            message="The GPU ran out of memory; trying once more after freeing it.",
            level="WARNING",
            event="engine.memory_freed",
        )
        yield from self._session.ask(self._session.client.free_memory)
        self._images.send_again(image)
        self._session.watch.look_now()

    def _send_again(self, image: ImageRun, reason: str) -> Iterator[Event]:
        image.losses += 1
        if image.losses > self._session.limits.resubmissions:
            raise EngineAtFault(f"{reason} It was submitted {image.losses} times.", is_retryable=True, cause="lost")
        yield Log(message=f"{reason} Submitting it again.", level="WARNING", event="engine.resubmitted")
        self._images.send_again(image)
        self._session.watch.look_now()
