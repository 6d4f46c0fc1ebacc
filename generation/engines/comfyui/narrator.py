"""Tells the progress of an order in steps over all of its images."""

from collections.abc import Iterator

from generation.engines.comfyui.images import ImageRun, Images
from generation.engines.comfyui.messages import Executing, Stepped
from generation.engines.order import GenerationOrder
from jobs.events import Event, Progress, Stage, Started


class Narrator:
    def __init__(self, order: GenerationOrder, images: Images) -> None:
        self._images = images
        self._count = order.count
        self._steps = order.params.steps
        self._total_steps = order.count * order.params.steps
        self._is_started = False
        self._has_sampled = False
        self._first_step: Stepped | None = None

    def wait(self) -> Progress:
        return self._progress("queued", "Waiting for the GPU")

    def begin(self, image: ImageRun) -> Iterator[Event]:
        """Tell that the image is executing. Only the first one of the order is news."""
        if self._is_started:
            return
        self._is_started = True
        yield Started()
        yield self._progress("loading_model", f"{self._name(image)}: loading the model")

    def enter_node(self, image: ImageRun, message: Executing) -> Iterator[Event]:
        # The sampler moves the weights to the GPU before its first step, so that entering it is still loading.
        if message.node in image.landmarks.samplers and self._has_sampled:
            yield self._progress("sampling", self._step_message(image))
        elif message.node in image.landmarks.decoders:
            image.step = self._steps
            yield self._progress("sampling", f"{self._name(image)}: decoding")

    def step(self, image: ImageRun, message: Stepped) -> Iterator[Event]:
        """Only the samplers' steps count: other nodes report progress of their own."""
        if message.node not in image.landmarks.samplers or message.max <= 0:
            return
        self._has_sampled = True
        done = min(round(message.value / message.max * self._steps), self._steps)
        # A second sampler in the graph begins anew; people see that as no step back.
        image.step = max(image.step, done)
        yield self._progress("sampling", self._step_message(image), speed=self._speed(message))

    def finish(self, image: ImageRun) -> Progress:
        image.step = self._steps
        return self._progress("sampling", f"{self._name(image)} is ready")

    def _progress(self, stage: Stage, message: str, *, speed: float | None = None) -> Progress:
        step = self._images.steps_done(self._steps)
        return Progress(
            stage=stage,
            step=step,
            total=self._total_steps,
            message=message,
            iteration_speed=speed,
            eta_seconds=(self._total_steps - step) / speed if speed else None,
        )

    def _speed(self, message: Stepped) -> float | None:
        """Steps per second since the first step of this prompt, which alone is held up by loading."""
        first = self._first_step
        if first is None or first.prompt_id != message.prompt_id:
            self._first_step = message
            return None
        seconds = message.heard_at - first.heard_at
        return (message.value - first.value) / seconds if seconds > 0 and message.value > first.value else None

    def _step_message(self, image: ImageRun) -> str:
        return f"{self._name(image)}: step {image.step}/{self._steps}"

    def _name(self, image: ImageRun) -> str:
        return f"Image {image.index + 1}/{self._count}"
