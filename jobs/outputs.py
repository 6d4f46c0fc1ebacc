"""The pictures that a job published."""

from collections import defaultdict
from collections.abc import Iterable

from jobs.models import Artifact, Job


def done_indexes(job: Job) -> frozenset[int]:
    """Return which outputs, counted from 0, earlier attempts published."""
    return frozenset(artifact.details["index"] for artifact in Artifact.objects.filter(job=job, type="output"))


def outputs_of(jobs: Iterable[Job]) -> dict[str, list[Artifact]]:
    """Return each job's outputs in their order, in one query."""
    found: dict[str, list[Artifact]] = defaultdict(list)
    for artifact in Artifact.objects.filter(job__in=list(jobs), type="output"):
        found[artifact.job_id].append(artifact)
    for artifacts in found.values():
        artifacts.sort(key=lambda artifact: int(artifact.details["index"]))
    return found
