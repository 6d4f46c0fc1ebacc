"""The images of one order on their way through the server, and the prompts that stand for them there."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from generation.engines.comfyui.landmarks import NO_LANDMARKS, Landmarks
from generation.engines.comfyui.prompt_ids import PromptTag, prompt_id_of
from generation.engines.order import GenerationOrder


@dataclass(slots=True, eq=False)
class ImageRun:
    """One image that is still to be made. `prompt_ids` are all ids it was ever submitted under, the newest last."""

    index: int
    prompt_ids: list[str] = field(default_factory=list)
    settled_ids: set[str] = field(default_factory=set)
    landmarks: Landmarks = NO_LANDMARKS
    """Of the graph that was submitted."""
    is_sent: bool = False
    is_uncertain: bool = False
    """A submission was not answered: it may yet appear on the server."""
    is_executing: bool = False
    is_done: bool = False
    has_ended: bool = False
    """The socket said so; the server's history may follow a moment later."""
    step: int = 0
    """Sampling steps that are done, as far as was heard."""
    absent_since: float | None = None
    losses: int = 0
    has_met_full_memory: bool = False

    @property
    def prompt_id(self) -> str:
        return self.prompt_ids[-1]

    @property
    def is_open(self) -> bool:
        return self.is_sent and not self.is_done

    def settle(self) -> None:
        """The server is done with the present prompt, so that nothing has to be taken back."""
        self.settled_ids.add(self.prompt_id)
        self.is_executing = False


class Images:
    def __init__(self, order: GenerationOrder) -> None:
        self._job_id = order.job_id
        self._attempt = order.attempt
        self._missing = [ImageRun(index) for index in range(order.count) if index not in order.done]
        self._done_before = order.count - len(self._missing)
        for image in self._missing:
            self._name_prompt(image)

    def __iter__(self) -> Iterator[ImageRun]:
        return iter(self._missing)

    def steps_done(self, steps_of_image: int) -> int:
        return self._done_before * steps_of_image + sum(image.step for image in self._missing)

    @property
    def are_done(self) -> bool:
        return all(image.is_done for image in self._missing)

    @property
    def is_any_executing(self) -> bool:
        return any(image.is_executing for image in self._missing)

    @property
    def have_begun(self) -> bool:
        """Whether the server has worked on any of them, as far as was heard."""
        return any(image.is_executing or image.has_ended or image.is_done or image.step for image in self._missing)

    @property
    def is_any_uncertain(self) -> bool:
        return any(image.is_uncertain for image in self._missing)

    @property
    def open(self) -> list[ImageRun]:
        return [image for image in self._missing if image.is_open]

    @property
    def unsent(self) -> list[ImageRun]:
        return [image for image in self._missing if not image.is_sent and not image.is_done]

    @property
    def prompt_ids(self) -> list[str]:
        return [prompt_id for image in self._missing for prompt_id in image.prompt_ids]

    @property
    def unsettled_ids(self) -> list[str]:
        """Every prompt that the server may still hold, those it seems to have lost included."""
        return [
            prompt_id for image in self._missing for prompt_id in image.prompt_ids if prompt_id not in image.settled_ids
        ]

    @property
    def given_up_ids(self) -> frozenset[str]:
        """The same without those that are waited for: another prompt makes their image."""
        return frozenset(self.unsettled_ids) - {image.prompt_id for image in self._missing if not image.is_done}

    def find(self, prompt_id: str) -> ImageRun | None:
        return next((image for image in self.open if image.prompt_id == prompt_id), None)

    def send_again(self, image: ImageRun) -> None:
        image.is_sent = image.is_executing = image.has_ended = False
        image.absent_since = None
        image.step = 0
        self._name_prompt(image)

    def prefix(self, image: ImageRun) -> str:
        """Where SaveImage puts the file. Unique for each submission.

        ComfyUI answers a graph that it just ran with the name of the old file, also after that file was deleted.
        """
        repeat = f"_r{len(image.prompt_ids) - 1}" if len(image.prompt_ids) > 1 else ""
        return f"isengard/{self._job_id}/a{self._attempt}_{image.index}{repeat}"

    def tag(self, image: ImageRun) -> PromptTag:
        return PromptTag(job=self._job_id, attempt=self._attempt, image=image.index)

    def _name_prompt(self, image: ImageRun) -> None:
        """Give the image a prompt id that was never used, for the next submission."""
        image.prompt_ids.append(prompt_id_of(self.tag(image), repeat=len(image.prompt_ids)))
