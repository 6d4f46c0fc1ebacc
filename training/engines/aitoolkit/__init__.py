"""ai-toolkit as a training engine: a subprocess steered by a job file, a row in SQLite and signals."""

from training.engines.aitoolkit.adapter import train
from training.engines.aitoolkit.dataset import has_pinned_dataset
from training.engines.aitoolkit.leftovers import is_running, stop_leftover
from training.engines.aitoolkit.limits import DEFAULT_LIMITS, Limits

__all__ = ["DEFAULT_LIMITS", "Limits", "has_pinned_dataset", "is_running", "stop_leftover", "train"]
