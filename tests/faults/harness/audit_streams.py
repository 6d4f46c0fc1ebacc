"""What the clients of the streams were told, against the rows."""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from tests.faults.harness.finding import Finding
from tests.faults.harness.followers import Story
from tests.faults.harness.rows import Rows


def audit_streams(rows: Rows, stories: Iterable[Story]) -> list[Finding]:
    states = {job: facts for job, *facts in rows.ask("SELECT id, status, progress, attempt FROM jobs_job")}
    return [finding for story in stories for finding in _audit(story, states.get(story.job))]


def _audit(story: Story, state: list[Any] | None) -> Iterator[Finding]:
    order = [tuple(int(part) for part in re.split("[-.]", event)) for event in story.ids]
    for before, after in itertools.pairwise(order):
        if before >= after:
            yield Finding("broken stream", f"{story.job}: event {after} came after {before}")
    if state is None or story.complete is None:
        yield Finding("broken stream", f"{story.job}: the stream never came to its end ({story.breaks} breaks)")
        return
    told = [story.complete["status"], story.complete["progress"], story.complete["attempt"]]
    if told != state:
        yield Finding("broken stream", f"{story.job}: the end was told as {told}, and the row says {state}")
