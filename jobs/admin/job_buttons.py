"""What an operator can do to one job from its page, and doing it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jobs import instructions, kinds, ordering
from jobs.admission import QueueFull
from jobs.cancelling import NotCancellable, cancel_job
from jobs.models import WAITING, Job, Status
from jobs.retrying import NotRetryable, retry_job

REFUSALS = (NotCancellable, NotRetryable, QueueFull, instructions.NotRunning, ordering.NotMovable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """`question` is asked before it is done."""

    verb: str
    label: str
    tone: str = ""
    question: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, and the job to look at next."""

    message: str
    job: Job


def buttons(job: Job) -> list[Button]:
    """Return what makes sense in the job's present state, the likeliest first."""
    if job.kind not in kinds.names():
        return []
    if job.is_terminal:
        return list(_of_ended(job))
    return [*_of_running(job), *_of_waiting(job), _cancel(job)]


def press(verb: str, job: Job) -> Done:
    """Raises KeyError for an unknown verb, and one of REFUSALS, in words, where the state does not allow it."""
    return _VERBS[verb](job)


def _of_ended(job: Job) -> Iterator[Button]:
    if job.status == Status.COMPLETED:
        return
    point = kinds.get(job.kind).point_for_retry(job, from_checkpoint=None)
    if point is None:
        yield Button(verb="restart", label="Retry", tone="primary")
        return
    yield Button(verb="retry", label=f"Retry from step {point.step}", tone="primary")
    yield Button(verb="restart", label="Retry from the beginning")


def _of_running(job: Job) -> Iterator[Button]:
    # Whose runs make room can be told to save; their engine makes samples on request too.
    if job.status == Status.RUNNING and kinds.get(job.kind).makes_room:
        yield Button(verb="save", label="Save a checkpoint now")
        yield Button(verb="sample", label="Make samples now")


def _of_waiting(job: Job) -> Iterator[Button]:
    if job.status in WAITING and not job.token:
        yield Button(verb="front", label="Move to the front")
        yield Button(verb="back", label="Move to the back")


def _cancel(job: Job) -> Button:
    loss = "What it saved stays." if job.attempt else "It has not begun."
    return Button(verb="cancel", label="Cancel", tone="danger", question=f"Cancel {job.pk}? {loss}")


def _do_cancel(job: Job) -> Done:
    return Done("Cancelled; an engine at work stops within seconds.", cancel_job(job))


def _do_retry(job: Job) -> Done:
    again = retry_job(job)
    return Done(f"Retried as {again.pk}.", again)


def _do_restart(job: Job) -> Done:
    again = retry_job(job, from_checkpoint=False)
    return Done(f"Retried from the beginning as {again.pk}.", again)


def _do_save(job: Job) -> Done:
    return Done("Asked for a checkpoint; it comes with the next step.", instructions.give(job, "save"))


def _do_sample(job: Job) -> Done:
    return Done("Asked for samples; they come with the next step.", instructions.give(job, "sample"))


def _do_front(job: Job) -> Done:
    moved = ordering.move_to_front([job.pk])[0]
    return Done(f"Moved to the front, with priority {moved.priority}.", moved)


def _do_back(job: Job) -> Done:
    moved = ordering.move_to_back([job.pk])[0]
    return Done(f"Moved to the back, with priority {moved.priority}.", moved)


_VERBS: Mapping[str, Callable[[Job], Done]] = MappingProxyType(
    {
        "cancel": _do_cancel,
        "retry": _do_retry,
        "restart": _do_restart,
        "save": _do_save,
        "sample": _do_sample,
        "front": _do_front,
        "back": _do_back,
    }
)
