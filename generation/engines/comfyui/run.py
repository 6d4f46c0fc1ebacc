"""One order carried through a ComfyUI server: submit, listen, look, collect."""

import logging
from collections.abc import Generator, Iterator
from functools import partial

from generation.engines.comfyui.collection import Collection
from generation.engines.comfyui.effects import tell_without_effect
from generation.engines.comfyui.errors import ServerAway
from generation.engines.comfyui.images import Images
from generation.engines.comfyui.limits import DEFAULT_LIMITS, Limits
from generation.engines.comfyui.messages import Ended, Executing, Message, PreviewFrame, PromptMessage, Stepped
from generation.engines.comfyui.session import Session
from generation.engines.comfyui.submission import Submission
from generation.engines.comfyui.withdrawal import withdraw
from generation.engines.order import GenerationOrder
from jobs.errors import EngineAtFault
from jobs.events import Event, Finished, Preview, Started, Tick

logger = logging.getLogger(__name__)


def generate(order: GenerationOrder, *, limits: Limits = DEFAULT_LIMITS) -> Generator[Event, None, None]:
    """Make the images of `order` that are not done yet, as `jobs.events` describes."""
    yield from tell_without_effect(order.params)
    images = Images(order)
    if images.are_done:
        yield Started()
    else:
        run = Run(Session(order, images, limits=limits))
        try:
            yield from run.events()
        finally:
            run.release()
    if images.are_done:
        yield Finished()


class Run:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._images = session.images
        self._limits = session.limits
        self._watch = session.watch
        self._narrator = session.narrator
        self._submission = Submission(session)
        self._collection = Collection(session)

    def events(self) -> Iterator[Event]:
        """Return early, with images missing, only when asked to drain."""
        socket = self._session.socket
        yield self._narrator.wait()
        yield from self._session.ask(partial(socket.wait_until_open, self._limits.connect_seconds))
        while not self._is_over():
            try:
                yield from self._turn()
            except ServerAway as exc:
                yield from self._watch.bear_absence(exc)

    def release(self) -> None:
        """Free everything that is held here and at the server. Blocks until that is so, or cannot be reached."""
        self._session.close_calls()
        prompt_ids = self._images.unsettled_ids
        try:
            if prompt_ids:
                withdraw(
                    self._session.client,
                    prompt_ids,
                    unreachable_seconds=self._limits.cancel_seconds,
                    stubborn_seconds=self._limits.release_seconds,
                    settle_seconds=self._limits.settle_seconds if self._images.is_any_uncertain else 0.0,
                )
        finally:
            self._session.client.close()

    def _is_over(self) -> bool:
        if self._images.are_done:
            return True
        return self._watch.is_draining and (not self._is_worth_waiting() or self._watch.is_drain_over)

    def _is_worth_waiting(self) -> bool:
        """Whether a drain lets the images go on as long as it may: they are at work, not behind another job."""
        return self._images.have_begun and bool(self._images.open)

    def _turn(self) -> Iterator[Event]:
        yield from self._listen()
        if self._session.order.controls.is_draining and not self._watch.is_draining:
            yield from self._begin_to_drain()
        elif self._watch.is_time_to_look:
            yield from self._submit()
            yield from self._collection.look()
            # Only the whole round is a proof: a server that answers one question and never another is of no use.
            yield from self._watch.note_answer()
        yield from self._check_signs_of_life()

    def _submit(self) -> Iterator[Event]:
        if self._watch.is_draining:
            return
        if self._collection.take_loss():
            self._submission.prepare_anew()
        yield from self._submission.submit_unsent()

    def _listen(self) -> Iterator[Event]:
        socket = self._session.socket
        message = socket.next_message(self._watch.listen_seconds)
        if message is None:
            yield Tick()
        while message is not None:
            yield from self._heed(message)
            message = socket.next_message(0)
        preview = socket.take_preview()
        if preview is not None:
            yield from self._show(preview)

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
                yield from self._collection.begin(image)
                yield from self._narrator.enter_node(image, message)
            case Stepped():
                yield from self._collection.begin(image)
                yield from self._narrator.step(image, message)
            case Ended():
                image.has_ended = True
                self._watch.look_now()

    def _show(self, preview: PreviewFrame) -> Iterator[Event]:
        image = self._images.find(preview.prompt_id)
        if image is None:
            return
        match preview.image_type:
            case "image/jpeg" | "image/png" as content_type:
                yield Preview(image=preview.image, content_type=content_type, image_index=image.index)

    def _begin_to_drain(self) -> Iterator[Event]:
        self._watch.begin_to_drain()
        if self._images.have_begun:
            return
        waiting = [image.prompt_id for image in self._images.open]
        yield from self._session.ask(partial(self._session.client.delete_pending, waiting))
        # One of them may have begun to execute meanwhile.
        yield from self._collection.look()

    def _check_signs_of_life(self) -> Iterator[Event]:
        if not self._images.is_any_executing:
            self._watch.note_sign()
        elif self._watch.is_stalled:
            minutes = round(self._limits.stall_seconds / 60)
            raise EngineAtFault(f"ComfyUI made no progress for {minutes} minutes.", is_retryable=True, cause="stalled")
        elif self._watch.is_silent_since(self._session.socket.last_heard):
            logger.warning("The socket of ComfyUI is silent: opening another, job %s", self._session.order.job_id)
            # Counts as heard, so that the next one, too, is given its time.
            self._watch.note_socket_renewed()
            yield from self._session.ask(self._session.socket.renew)
