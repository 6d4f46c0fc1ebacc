"""How long the adapter waits, and how often it tries again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    poll_seconds: float = 1.0
    """Between two looks at the server's queue while the socket tells nothing."""
    hinted_poll_seconds: float = 0.2
    """Between two looks when something was said to have happened and cannot be seen yet."""
    tick_seconds: float = 0.25
    """The longest that the generator keeps silent."""
    connect_seconds: float = 1.0
    """How long the first submission waits for the socket, so that no message about it is missed."""
    read_seconds: float = 10.0
    """How long one answer of the server may take."""
    lora_seconds: float = 10.0
    """How long a new LoRA may take to appear to the server. Network file systems show a file some seconds late."""
    absent_seconds: float = 0.6
    """How long a prompt may be in neither queue nor history before it counts as lost."""
    refused_seconds: float = 15.0
    """How long a server that does not run is waited for before the job goes back to the queue, and to another one."""
    away_seconds: float = 60.0
    """The same for one that does not answer, or not as ComfyUI: it may still be at work."""
    silence_seconds: float = 60.0
    """A socket that says nothing for so long while an image is executing is opened again. Loading a model is silent."""
    stall_seconds: float = 1800.0
    """An image that executes for so long without any sign of progress ends the job."""
    cancel_seconds: float = 8.0
    """How long a cancel tries to reach a server that does not answer."""
    release_seconds: float = 300.0
    """How long a cancel waits for a node that cannot be interrupted, such as a long decode."""
    settle_seconds: float = 1.0
    """How long a prompt whose submission was not answered must stay away before it counts as taken back."""
    drain_seconds: float = 20.0
    """How long a drain lets a job go on that the server has begun."""
    resubmissions: int = 5
    """How often one image is submitted again after it was lost."""
    preview_seconds: float = 0.5
    """The shortest time between two previews."""


DEFAULT_LIMITS = Limits()
