"""The loop that starts what is due, prints what is said, notices deaths, and ends everything together."""

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence

from isengard.supervisor.child import Child
from isengard.supervisor.console import Console
from isengard.supervisor.leftovers import end_leftovers
from isengard.supervisor.linux import adopt_orphans
from isengard.supervisor.signals import StopSignals
from isengard.supervisor.spec import ProcessSpec, StopStage

READINESS_POLL_SECONDS = 0.05
# How long a stage may take to end by itself. With the application's grace of 5 s all of them together stay below 10 s.
PATIENCE_SECONDS = {StopStage.STAND_INS: 1.0, StopStage.QUEUE: 1.5, StopStage.GUARD: 0.5}
# The web server itself needs its whole grace before it breaks off the streams that are left.
EXTRA_GRACE_SECONDS = 0.5
DEATH_BY_KILL_SECONDS = 1.0


class Supervisor:
    """Looks after processes until it is asked to stop, or until a one-shot among them fails."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        *,
        run_id: str,
        console: Console,
        grace_seconds: float,
        banner: Sequence[str],
    ) -> None:
        self._children = [Child(spec) for spec in specs]
        self._run_id = run_id
        self._console = console
        self._patience = {StopStage.APPLICATION: grace_seconds + EXTRA_GRACE_SECONDS, **PATIENCE_SECONDS}
        self._banner = banner
        self._banner_notes: list[bytes] = []
        self._is_announced = False
        self._is_stopping = False
        self._has_failed = False
        self._selector = selectors.DefaultSelector()
        self._signals = StopSignals()

    def run(self) -> int:
        """Return the exit code: 0 after a requested stop, 1 when a one-shot failed."""
        adopt_orphans()
        with self._signals:
            self._selector.register(self._signals.wakeup_descriptor, selectors.EVENT_READ)
            while not (self._signals.is_stop_requested or self._has_failed):
                self._start_due()
                self._look_for_readiness()
                self._wait(self._seconds_to_next_turn())
            self._stop()
        return int(self._has_failed)

    def _startable(self) -> list[Child]:
        """Return those that do not run, have work to do, and need not wait for another one."""
        ready = {child.name for child in self._children if child.has_been_ready}
        idle = (child for child in self._children if not child.is_running and not child.is_finished)
        return [child for child in idle if ready.issuperset(child.spec.after)]

    def _start_due(self) -> None:
        for child in self._startable():
            if child.seconds_to_start == 0.0:
                self._start(child)

    def _start(self, child: Child) -> None:
        try:
            self._selector.register(child.start(), selectors.EVENT_READ, child)
        except (OSError, subprocess.SubprocessError) as exc:
            child.postpone()
            self._has_failed |= child.spec.is_one_shot
            self._console.say(f"{child.name} cannot be started ({exc}); next try in {child.pause_seconds:.1f} s")

    def _look_for_readiness(self) -> None:
        for child in self._children:
            child.look_for_readiness()
        if not self._is_announced and all(child.has_been_ready for child in self._children):
            self._is_announced = True
            for line in self._banner:
                self._console.say(line)
            self._say_banner_notes()

    def _say_banner_notes(self) -> None:
        for note in self._banner_notes:
            self._console.say(note.decode(errors="replace"))
        self._banner_notes.clear()

    def _seconds_to_next_turn(self) -> float | None:
        """Return None when only a signal or a line of output can bring something new."""
        if any(child.awaits_readiness for child in self._children):
            return READINESS_POLL_SECONDS
        return min((child.seconds_to_start for child in self._startable()), default=None)

    def _wait(self, timeout_seconds: float | None) -> None:
        for key, _ in self._selector.select(timeout_seconds):
            if isinstance(key.data, Child):
                self._print_output(key.data)
            else:
                self._signals.drain()
        self._bury_the_dead()

    def _print_output(self, child: Child) -> None:
        with contextlib.suppress(BlockingIOError):
            lines = child.read_lines()
            if lines is None:
                self._selector.unregister(child.output)
            self._print_lines(child, lines or [])

    def _print_lines(self, child: Child, lines: Iterable[bytes]) -> None:
        prefix = child.spec.banner_prefix
        for line in lines:
            if prefix is not None and line.startswith(prefix.encode()):
                self._banner_notes.append(line)
            else:
                self._console.write(child.name, line)

    def _bury_the_dead(self) -> None:
        for child in self._children:
            if child.has_exited():
                self._bury(child)
        self._bury_adopted()

    def _bury(self, child: Child) -> None:
        # The output is no longer watched when the process had closed it before it ended.
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.output)
        exit_code, last_lines = child.bury()
        self._print_lines(child, last_lines)
        child.note_exit(exit_code)
        if child.is_finished or self._is_stopping:
            return
        if child.spec.is_one_shot:
            self._has_failed = True
            self._console.say(f"{child.name} failed ({_in_words(exit_code)}): nothing can run without it")
        else:
            seconds = child.pause_seconds
            self._console.say(f"{child.name} died ({_in_words(exit_code)}); starting it again in {seconds:.1f} s")

    def _bury_adopted(self) -> None:
        """Collect the orphans that ended, so that they do not stay as zombies."""
        own = {child.pid for child in self._children}
        with contextlib.suppress(ChildProcessError):
            while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                if dead.si_pid in own:
                    return
                os.waitpid(dead.si_pid, 0)

    def _stop(self) -> None:
        self._is_stopping = True
        # What was held back for a banner that never came must not be lost: it may be a password shown once.
        self._say_banner_notes()
        self._console.say(f"stopping, because of {self._signals.requested_by or 'the failure above'}")
        for stage in StopStage:
            self._stop_stage([child for child in self._children if child.spec.stop_stage is stage], stage)
        for command in end_leftovers(self._run_id):
            self._console.say(f"killed what was left behind: {command}")
        self._bury_adopted()
        self._console.say("stopped")

    def _stop_stage(self, children: Sequence[Child], stage: StopStage) -> None:
        for child in children:
            child.terminate()
        self._wait_for_end_of(children, self._patience[stage])
        for child in children:
            if child.is_running:
                self._console.say(f"{child.name} did not stop in {self._patience[stage]:.1f} s and is killed")
                child.kill()
        self._wait_for_end_of(children, DEATH_BY_KILL_SECONDS)

    def _wait_for_end_of(self, children: Sequence[Child], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while any(child.is_running for child in children) and (left := deadline - time.monotonic()) > 0:
            self._wait(left)
        # What ended while this process itself stood still has not been seen yet.
        self._bury_the_dead()


def _in_words(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit code {exit_code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"killed by {names.get(-exit_code, f'signal {-exit_code}')}"
