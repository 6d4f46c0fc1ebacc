"""`python -m tests.faults.harness --jobs 1000 --faults 200 --seed 1 --db sqlite`: what `make chaos` runs."""

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.faults.harness.run import Wanted, run


def main() -> int:
    # As at Ctrl-C: everything that was started is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = _parse_arguments()
    folder = Path(arguments.folder or tempfile.mkdtemp(prefix="isengard-chaos-"))
    wanted = Wanted(
        jobs=arguments.jobs, faults=arguments.faults, seed=arguments.seed, database=arguments.db, folder=folder
    )
    tally = run(wanted, say=_say)
    for line in tally.as_lines():
        _say(line)
    if tally.is_clean:
        shutil.rmtree(folder)
        return 0
    _say(f"Everything of the run is kept in {folder}; the same seed plays the same faults again.")
    return 1


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.harness", description="Jobs under seeded faults.")
    parser.add_argument("--jobs", type=int, default=100, help="how many (default %(default)s)")
    parser.add_argument("--faults", type=int, default=30, help="how many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="decides jobs, faults and targets (default %(default)s)")
    parser.add_argument("--db", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--folder", help="where everything of the run is kept if it finds something (a new one)")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
