"""The training loop: one turn for each optimizer step."""

import math
import random
import time

from . import faults
from .console import Bar
from .errors import OutOfMemoryError
from .loss_log import Unlogged
from .optimizers import Optimizer
from .sampling import sample
from .saving import save_step
from .schedules import Schedule
from .training_run import TrainingRun

SKIPPED_BATCHES_LIMIT = 3
FIRST_LOSS, LAST_LOSS, LOSS_NOISE = 0.55, 0.32, 0.03


class Loop:
    def __init__(self, run: TrainingRun, optimizer: Optimizer, schedule: Schedule, loss_log: Unlogged) -> None:
        self._run, self._optimizer, self._schedule, self._loss_log = run, optimizer, schedule, loss_log
        self._skipped_batches = 0
        self._timed_steps = 0
        self._timed_seconds = 0.0

    def run(self) -> None:
        """Train to the last step, under a bar that stays open when an error ends it."""
        run = self._run
        if run.conditions.are_bars_disabled:
            raise AttributeError("'ToolkitProgressBar' object has no attribute '_time'")
        indices = range(run.config.train.steps)[run.start_step :]
        run.bar = Bar(run.output.name, run.config.train.steps, done=run.start_step)
        for index in indices:
            run.step = index
            metrics = self._train_step(run.bar)
            if index != run.start_step:
                self._follow_up(run.bar, metrics)
            run.bar.advance_to(index + 1)
            run.step = index + 1
            self._answer_requests(run.bar)
        run.bar.close()
        run.bar = None

    def _train_step(self, bar: Bar) -> dict[str, float]:
        """Return the step's metrics, none where the GPU ran out of memory and the batch was skipped."""
        started_at = time.monotonic()
        self._strike()
        self._run.weights_seed()
        self._run.conditions.pace.wait()
        self._timed_steps += 1
        self._timed_seconds += time.monotonic() - started_at
        try:
            self._allocate()
        except OutOfMemoryError:
            self._skip_batch()
            return {}
        self._skipped_batches = 0
        rate, loss = self._learning_rate(), _learnable(self._loss())
        bar.set_postfix(f"lr: {rate:.1e} loss: {loss:.3e}")
        return {"learning_rate": rate, "loss/loss": loss}

    def _follow_up(self, bar: Bar, metrics: dict[str, float]) -> None:
        """Save, sample and log where this step is one for it. The first step of a run never is."""
        config, step = self._run.config, self._run.step
        if config.save.save_every and step % config.save.save_every == 0:
            with bar.paused():
                save_step(self._run)
        if self._is_sample_due():
            with bar.paused():
                sample(self._run)
        if metrics and config.logging.log_every and step % config.logging.log_every == 0:
            self._loss_log.log(step, metrics)
        if config.performance_log_every > 0 and step % config.performance_log_every == 0:
            self._print_timer()

    def _is_sample_due(self) -> bool:
        config, step = self._run.config, self._run.step
        if config.train.is_sampling_disabled or not config.sample.sample_every:
            return False
        return bool(step % config.sample.sample_every == 0 and step >= config.sample.sample_start_step)

    def _answer_requests(self, bar: Bar) -> None:
        run = self._run
        run.row.set_value("step", run.step)
        run.row.stop_if_asked()
        if run.row.take_request("save_now"):
            with bar.paused():
                save_step(run)
        if run.row.take_request("sample_now"):
            print(f"\nSampling at step {run.step}")
            with bar.paused():
                sample(run)

    def _learning_rate(self) -> float:
        return self._optimizer.effective_rate(self._schedule(self._run.step + 1), self._run.step)

    def _loss(self) -> float:
        """Return a loss that falls over the training, with the noise that single batches have."""
        step = self._run.step
        if self._run.conditions.faults.has_struck("nan", step):
            return math.nan
        fall = math.exp(-4 * step / self._run.config.train.steps)
        noise = random.Random(f"{self._run.seed}:{step}").gauss(0, LOSS_NOISE)
        return LAST_LOSS + (FIRST_LOSS - LAST_LOSS) * fall + noise

    def _allocate(self) -> None:
        if self._run.conditions.faults.strikes("oom", self._run.step):
            raise OutOfMemoryError

    def _skip_batch(self) -> None:
        self._skipped_batches += 1
        if self._skipped_batches > SKIPPED_BATCHES_LIMIT:
            raise RuntimeError(f"OOM during training step {SKIPPED_BATCHES_LIMIT} times in a row, aborting training")
        text = f"# OOM during training step, skipping batch {self._skipped_batches}/{SKIPPED_BATCHES_LIMIT} #"
        print(f"\n{'#' * len(text)}\n{text}\n{'#' * len(text)}\n")

    def _strike(self) -> None:
        asked, step = self._run.conditions.faults, self._run.step
        is_fresh = self._run.start_step == 0
        if asked.strikes("crash", step) or (is_fresh and asked.strikes("crash-once", step)):
            faults.die()
        if asked.strikes("exit", step):
            raise SystemExit(asked.amount("exit"))
        if asked.strikes("hang", step):
            faults.hang()

    def _print_timer(self) -> None:
        seconds_per_step = max(self._timed_seconds / self._timed_steps, 1e-6)
        if not self._run.conditions.are_timings_hidden:
            print(f"\nTimer '{self._run.output.name} Timer':")
            print(f" - {seconds_per_step:.4f}s avg - train_loop, num = {self._timed_steps}\n")
        speed = f"{1 / seconds_per_step:.2f} iter/sec" if seconds_per_step < 1 else f"{seconds_per_step:.2f} sec/iter"
        self._run.row.set_value("speed_string", speed)
        self._timed_steps, self._timed_seconds = 0, 0.0


def _learnable(loss: float) -> float:
    """Return the loss that is learnt from and logged: one that is no number becomes 0, and the step changes nothing."""
    if not math.isnan(loss):
        return loss
    print("loss is nan")
    return 0.0
