"""What people ask of a running trainer: a checkpoint or samples at the next step."""

from collections.abc import Iterator

from jobs.events import Controls, Event, Log, Obeyed
from training.engines.aitoolkit.job_row import JobRow, RowState
from training.engines.aitoolkit.outputs import Outputs

_SAVE_EVENT, _SAMPLE_EVENT = "training.save_on_request", "training.sample_on_request"


class Requests:
    """Passes on what was asked for through the trainer's row, and tells when it is done.

    The trainer looks at its row at the end of each step; while it loads, a request waits for the first one. Two
    requests of one sort before it comes to that are one.
    """

    def __init__(self, row: JobRow, outputs: Outputs) -> None:
        self._row = row
        self._outputs = outputs
        # How many files there were when it was asked; None when nothing is asked for.
        self._saves_before: int | None = None
        self._samples_before: int | None = None

    def pass_on(self, controls: Controls) -> Iterator[Event]:
        if controls.take_save():
            self._row.ask_to_save()
            self._saves_before = self._outputs.saves_told
            yield Log(message="Saving on request.", event=_SAVE_EVENT)
        if controls.take_sample():
            self._row.ask_to_sample()
            self._samples_before = self._outputs.samples_told
            yield Log(message="Sampling on request.", event=_SAMPLE_EVENT)

    def done(self, state: RowState) -> Iterator[Event]:
        """`state` was read before the files were looked through: what it calls done, they have."""
        if self._is_saved(state):
            self._saves_before = None
            yield Obeyed(verb="save")
            yield Log(message=f"Saved step {self._outputs.last_saved_step} on request.", event=_SAVE_EVENT)
        if self._is_sampled(state):
            self._samples_before = None
            yield Obeyed(verb="sample")
            yield Log(message=f"Sampled step {self._outputs.last_sampled_step} on request.", event=_SAMPLE_EVENT)

    def _is_saved(self, state: RowState) -> bool:
        is_idle = not (state.is_save_pending or state.info.startswith("Saving"))
        return self._saves_before is not None and is_idle and self._outputs.saves_told > self._saves_before

    def _is_sampled(self, state: RowState) -> bool:
        is_idle = not (state.is_sample_pending or state.info.startswith("Generating"))
        return self._samples_before is not None and is_idle and self._outputs.samples_told > self._samples_before
