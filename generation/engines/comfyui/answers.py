"""What ComfyUI answers, typed. Keys that nobody needs here are ignored: ComfyUI adds some with every release."""

from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class OutputFile(Answer):
    """A picture as `GET /view` wants it."""

    filename: str
    subfolder: str = ""
    type: str = "output"


class NodeOutput(Answer):
    images: tuple[OutputFile, ...] = ()


class ExecutionError(Answer):
    node_type: str = ""
    exception_type: str = ""
    exception_message: str = ""


class HistoryStatus(Answer):
    status_str: str
    messages: tuple[tuple[str, dict[str, Any]], ...] = ()


class HistoryEntry(Answer):
    """`outputs` are by node. Only the one that saves our image is read: nodes of other packs put anything there."""

    outputs: dict[str, Any] = Field(default_factory=dict)
    status: HistoryStatus


class UploadedFile(Answer):
    """Where an upload went. ComfyUI renames it if the name was taken by other bytes."""

    name: str
    subfolder: str = ""


class Remaining(Answer):
    queue_remaining: int


class System(Answer):
    comfyui_version: str = ""


class Device(Answer):
    """`torch_vram_total` is what torch has reserved, in bytes; on a CPU it is all the memory of the machine."""

    type: str = ""
    torch_vram_total: int = 0


class SystemAnswer(Answer):
    """The answer of `GET /system_stats`."""

    system: System = System()
    devices: tuple[Device, ...] = ()

    @property
    def gpu_bytes(self) -> int:
        return sum(device.torch_vram_total for device in self.devices if device.type != "cpu")

    @property
    def version(self) -> tuple[int, ...]:
        """Return the numbers of ComfyUI's version, empty where it does not tell."""
        return tuple(int(part) for part in self.system.comfyui_version.split(".") if part.isdecimal())


class RemainingAnswer(Answer):
    """The answer of `GET /prompt`."""

    exec_info: Remaining


class QueueAnswer(Answer):
    """Items are [number, prompt id, graph, extra data, output nodes]; pending ones are in no order."""

    queue_running: tuple[tuple[Any, ...], ...]
    queue_pending: tuple[tuple[Any, ...], ...]


class Reason(Answer):
    type: str = ""
    message: str = ""
    extra_info: dict[str, Any] = Field(default_factory=dict)


class NodeRefusal(Answer):
    errors: tuple[Reason, ...] = ()
    class_type: str = ""


class PromptAnswer(Answer):
    """The answer of `POST /prompt`, for 200 and 400."""

    error: Reason | None = None
    node_errors: dict[str, NodeRefusal] = Field(default_factory=dict)

    @field_validator("node_errors", mode="before")
    @classmethod
    def _accept_an_empty_list(cls, value: object) -> object:
        # Older versions send [] where there are no errors.
        return value or {}


class QueueView(NamedTuple):
    """The ids of what runs and of what waits."""

    running: frozenset[str]
    pending: frozenset[str]

    @property
    def present(self) -> frozenset[str]:
        return self.running | self.pending
