"""What only the Linux kernel can promise about processes whose parent dies. Elsewhere these calls do nothing."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
# Looked up here, because nothing may be loaded between fork and exec.
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent dies. Meant to run between fork and exec."""
    signal_at_parents_death(signal.SIGKILL)
    # The parent may have died before the kernel knew of the wish; then no signal will ever come.
    if os.getppid() != parent_pid:
        os._exit(1)


def signal_at_parents_death(signal_number: signal.Signals) -> None:
    """Have the kernel send this process `signal_number` when the thread that started it ends."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, int(signal_number))


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none gets out of sight."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_CHILD_SUBREAPER, 1)
