"""`python -m tests.faults.forked_worker`: forks on demand. A line of JSON asks for a fork, a line tells its fate."""

import json
import os
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

import django

MOST_BYTES = 1 << 20


class Forked:
    """Those that live, and where each writes down what it does."""

    def __init__(self, play: Callable[[dict[str, Any], int], None]) -> None:
        self._play = play
        self._traces: dict[int, int] = {}

    def start(self, wish: dict[str, Any]) -> int:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._end_with(wish, writing)
        os.close(writing)
        self._traces[pid] = reading
        return pid

    def _end_with(self, wish: dict[str, Any], trace: int) -> None:
        code = 1
        try:
            self._play(wish, trace)
            code = 0
        except Exception:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            # Nothing of what the parent has planned for its own end.
            os._exit(code)

    def resume(self, pid: int) -> int:
        os.kill(pid, signal.SIGCONT)
        return pid

    def fate_of(self, pid: int) -> dict[str, Any]:
        _, status = os.waitpid(pid, os.WUNTRACED)
        trace = self._traces[pid]
        is_told = select.select([trace], [], [], 0)[0]
        fate = {"pid": pid, "effects": os.read(trace, MOST_BYTES).decode().splitlines() if is_told else []}
        if os.WIFSTOPPED(status):
            return fate | {"ended": "stopped"}
        os.close(self._traces.pop(pid))
        return fate | {"ended": "killed" if os.WIFSIGNALED(status) else f"exited {os.WEXITSTATUS(status)}"}

    def end(self) -> None:
        for pid in self._traces:
            os.kill(pid, signal.SIGKILL)


def main() -> None:
    django.setup()
    # Only now: this reads the models.
    from tests.faults import roles

    roles.prepare()
    forked = Forked(roles.play)
    for line in sys.stdin:
        wish = json.loads(line)
        pid = forked.resume(wish["resume"]) if "resume" in wish else forked.start(wish)
        sys.stdout.write(json.dumps(forked.fate_of(pid)) + "\n")
        sys.stdout.flush()
    forked.end()


if __name__ == "__main__":
    main()
