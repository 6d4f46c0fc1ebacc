"""The names of our prompts on a server, and the mark by which they are known to be ours."""

from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, ValidationError

NAMESPACE = UUID("5f0f6c1e-6f0b-4d0e-9a39-5d0d7f7c1a52")
# ComfyUI gives back whatever stands in a prompt's extra data.
TAG = "isengard"


class PromptTag(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    job: str
    attempt: int
    image: int

    def __str__(self) -> str:
        return f"{self.job}-a{self.attempt}-{self.image}"


def prompt_id_of(tag: PromptTag, *, repeat: int = 0) -> str:
    """Return the id of a submission, the same whenever it is asked for.

    ComfyUI took any text once and takes nothing but lowercase UUIDs with hyphens since 0.25.
    """
    return str(uuid5(NAMESPACE, f"{tag}/{repeat}"))


def tag_in(extra_data: object) -> PromptTag | None:
    """Return whose prompt it is, None for prompts of other programs."""
    content = extra_data.get(TAG) if isinstance(extra_data, dict) else None
    try:
        return PromptTag.model_validate(content)
    except ValidationError:
        return None
