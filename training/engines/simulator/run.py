"""Entry point of the stand-in trainer: `cd training/engines/simulator && python run.py JOBFILE`, as with ai-toolkit."""

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    # The package is found through the path set one line above, which no type checker can follow.
    importlib.import_module("trainer.cli").main()
