"""Saves: the LoRA, the optimizer's state, and the removal of old ones."""

import errno
import os
from pathlib import Path

from . import faults
from .checkpoints import describe, save_optimizer
from .training_run import TrainingRun
from .weights import fill, find_dtype


def save_step(run: TrainingRun) -> None:
    """Save under the number of the step. Raise JobStopped where the row asks for it before or after."""
    print(f"\nSaving at step {run.step}")
    _save(run, run.output.weights_path(run.step), recorded_step=run.step)


def save_final(run: TrainingRun) -> None:
    """Save the finished LoRA under the job's own name."""
    recorded_step = run.step - 1 if "wrong-step" in run.conditions.faults else run.step
    if "no-final" not in run.conditions.faults:
        _save(run, run.output.weights_path(None), recorded_step=recorded_step)


def _save(run: TrainingRun, path: Path, *, recorded_step: int) -> None:
    run.row.stop_if_asked()
    run.row.set_status("running", "Saving model")
    run.conditions.pace.wait()
    _write_weights(run, path, recorded_step)
    save_optimizer(run.output.optimizer, run.config.network.rank)
    run.output.prune(run.config.save.max_step_saves_to_keep)
    run.last_save_step = run.step
    run.row.stop_if_asked()
    run.row.set_status("running", "Training")


def _write_weights(run: TrainingRun, path: Path, recorded_step: int) -> None:
    dtype = find_dtype(run.config.save.dtype)
    if dtype is None:
        raise RuntimeError(f"Invalid device string: '{run.config.save.dtype}'")
    if run.conditions.faults.has_struck("disk-full", run.step):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    tensors = fill(run.shapes, dtype, run.weights_seed(), alpha=run.alpha)
    metadata = describe(
        name=run.output.name,
        meta=run.meta,
        step=recorded_step,
        epoch=run.epoch,
        trigger_word=run.config.trigger_word,
        base_model=run.architecture.version,
    )
    tensors.save(path, metadata | tensors.hashes())
    if run.conditions.faults.strikes("truncate-checkpoint", run.step):
        os.truncate(path, path.stat().st_size // 2)
        faults.die()
    print(f"Saved checkpoint to {path}")
