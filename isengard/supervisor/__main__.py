"""`python -m isengard.supervisor`: what `make run` runs."""

import argparse
import importlib
import signal
import sys

from django.core.exceptions import ImproperlyConfigured

from isengard.supervisor.errors import CannotStart
from isengard.supervisor.linux import signal_at_parents_death


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m isengard.supervisor", description="Run all of Isengard.")
    parser.add_argument("--stop-with-parent", action="store_true", help="stop when the process that started this dies")
    if parser.parse_args().stop_with_parent:
        signal_at_parents_death(signal.SIGTERM)
    try:
        # Imported here because it reads the settings: what is wrong with them is to be one line, not a traceback.
        supervisor = importlib.import_module("isengard.supervisor.assembly").assemble()
    except (CannotStart, ImproperlyConfigured, OSError) as exc:
        sys.stderr.write(f"isengard: cannot start: {exc}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return int(supervisor.run())


if __name__ == "__main__":
    sys.exit(main())
