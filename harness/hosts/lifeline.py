"""An agent dies with the process that started it, also where its stdin stays open in somebody else's hands.

Linux can signal a process when its parent ends (prctl(2), PR_SET_PDEATHSIG). It does so when the *thread* ends that
started the process, too, so the signal is no proof: the handler looks whether the parent has really changed.
Elsewhere the end of stdin has to do.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

import trio

PR_SET_PDEATHSIG = 1

SIGNAL: signal.Signals | None = getattr(signal, "SIGUSR2", None)
"""One that nothing else here listens to: a run takes SIGINT, SIGTERM and SIGHUP for itself."""


def arm() -> bool:
    """Have this process sent SIGNAL when its parent ends; return whether the system can."""
    if sys.platform != "linux" or SIGNAL is None:
        return False
    import ctypes

    return bool(ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(SIGNAL), 0, 0, 0) == 0)


async def until_orphaned(
    armed: Callable[[], bool] = arm,
    parent: Callable[[], int] = os.getppid,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Return when the parent is gone; never where the system does not tell.

    Args:
      armed: asks the system for the signal.
      parent: returns the parent's process id.
      task_status: started once a signal that comes is heard.
    """
    born_of = parent()
    if SIGNAL is None:
        task_status.started()
        await trio.sleep_forever()
    with trio.open_signal_receiver(SIGNAL) as signals:
        is_armed = armed()
        task_status.started()
        if not is_armed:
            await trio.sleep_forever()
        async for _ in signals:
            if parent() != born_of:
                return
