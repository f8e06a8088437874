"""Changes of links, addresses, routes and rules as they happen, each with its moment.

Linux tells them on a routing socket, macOS through `route -n monitor`; on Windows the state is read once a second and
compared.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import trio

from harness.model.evidence_change import ObservedChange

if sys.platform == "darwin":
    from harness.evidence import _darwin_watch as _platform
elif sys.platform == "win32":
    from harness.evidence import _windows_watch as _platform
else:
    from harness.evidence import _linux_watch as _platform


async def watch_changes(
    report: Callable[[ObservedChange], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Report what changes about this host's network until cancelled.

    On Linux "this host" is the network namespace of the calling thread. When changes come faster than they are read,
    that is itself reported ("overrun"), and what it left out is found by comparing states. Where the system offers no
    way to watch, or takes it away, that is reported too ("unwatched"), and this returns: it ends no run.

    Args:
      report: called in the event loop with each change; it must not wait.
      task_status: of `nursery.start`, which returns when every later change will be seen.
    """
    is_started = False

    def started() -> None:
        nonlocal is_started
        is_started = True
        task_status.started()

    try:
        await _platform.watch(report, started)
    except OSError as exc:
        reason = exc.strerror or str(exc)
        report(ObservedChange(t_realtime_ns=time.time_ns(), kind="unwatched", text=f"changes are not seen: {reason}"))
    if not is_started:
        task_status.started()
