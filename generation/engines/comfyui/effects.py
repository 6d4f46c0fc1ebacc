"""Parameters that have no effect on this image: said in the job's log, never dropped silently."""

from collections.abc import Iterator

from generation.consistency import without_effect
from generation.params import GenerationParams
from jobs.events import Log


def tell_without_effect(params: GenerationParams) -> Iterator[Log]:
    for name, reason in without_effect(params):
        yield Log(
            message=f"{name} has no effect: {reason}",
            level="WARNING",
            event="generation.parameter_without_effect",
            fields={"parameter": name},
        )
