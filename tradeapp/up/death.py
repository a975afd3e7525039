"""Have a child process end with its parent. Linux forgets this at a change of user, so it is set after it."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1


def follow_parent(end: signal.Signals) -> Callable[[], None]:
    """Return a `preexec_fn` that asks the kernel to send `end` to the child when its parent is gone.

    Popen runs it after it has changed the user. The thread that starts the child counts as the parent, so start children from
    the main thread.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(end), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask
