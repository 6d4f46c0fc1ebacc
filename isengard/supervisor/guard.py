"""Ends what a run leaves behind when its supervisor is killed: `python -m isengard.supervisor.guard <run id>`.

The kernel kills the supervisor's own children along with it. What those have started in sessions of their own
(a trainer, and what the trainer has started) gets no such signal; this process ends them.
"""

import sys

from isengard.supervisor.leftovers import end_leftovers

PATIENCE_SECONDS = 10.0


def main() -> None:
    # The supervisor holds the other end of standard input and never writes: it ends when the supervisor does.
    sys.stdin.buffer.read()
    end_leftovers(sys.argv[1], patience_seconds=PATIENCE_SECONDS)


if __name__ == "__main__":
    main()
