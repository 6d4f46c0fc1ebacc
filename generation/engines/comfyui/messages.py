"""What ComfyUI's socket says, as far as it matters."""

import json
import struct
import time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PREVIEW_EVENT = 1
PREVIEW_WITH_METADATA_EVENT = 4
# Of each binary frame: the event, and then the format of the image or the length of the metadata. Big-endian.
_HEADER = struct.Struct(">II")
_FORMATS = {1: "image/jpeg", 2: "image/png"}


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class QueueChanged(Message):
    """A prompt of anybody's was queued, began, ended or was deleted."""


class PromptMessage(Message):
    prompt_id: str


class Executing(PromptMessage):
    """A node begins; None before the first one."""

    node: str | None = None


class Stepped(PromptMessage):
    """`value` of `max` steps of a node are done."""

    node: str
    value: float
    max: float
    heard_at: float = Field(default_factory=time.monotonic)


class Ended(PromptMessage):
    """How it ended is for the history to say."""


class PreviewFrame(PromptMessage):
    image_type: str
    image: bytes = b""


class NamelessPreview(Message):
    """A preview of servers that do not say whose it is: that of the prompt which executes."""

    image_type: str
    image: bytes

    def of(self, prompt_id: str) -> PreviewFrame:
        return PreviewFrame(prompt_id=prompt_id, image_type=self.image_type, image=self.image)


def parse_frame(frame: str | bytes) -> Message | None:
    """Return None for what means nothing here, for junk and for what belongs to no certain prompt."""
    try:
        return _parse_binary(frame) if isinstance(frame, bytes) else _parse_text(frame)
    except (ValidationError, ValueError, struct.error):
        return None


def _parse_text(frame: str) -> Message | None:
    message = json.loads(frame)
    if not isinstance(message, dict) or not isinstance(message.get("data"), dict):
        return None
    return _from_event(str(message.get("type")), message["data"])


def _from_event(event: str, data: dict[str, Any]) -> Message | None:
    match event:
        case "status":
            return QueueChanged()
        case "execution_start":
            return Executing.model_validate(data)
        case "executing":
            return _executing(data)
        case "progress":
            return Stepped.model_validate(data)
        case "execution_success" | "execution_error" | "execution_interrupted":
            return Ended.model_validate(data)
    return None


def _executing(data: dict[str, Any]) -> Message:
    # This is the one end of a prompt that is sent after its history was written.
    if data.get("node") is None:
        return Ended.model_validate(data)
    return Executing.model_validate(data)


def _parse_binary(frame: bytes) -> Message | None:
    event, number = _HEADER.unpack_from(frame)
    if event == PREVIEW_EVENT and number in _FORMATS:
        return NamelessPreview(image_type=_FORMATS[number], image=frame[_HEADER.size :])
    if event != PREVIEW_WITH_METADATA_EVENT:
        return None
    end = _HEADER.size + number
    preview = PreviewFrame.model_validate_json(frame[_HEADER.size : end])
    return preview.model_copy(update={"image": frame[end:]})
