"""Changes as macOS tells them to `route -n monitor`, a process that lives as long as the watch."""

from __future__ import annotations

import errno
import socket
import subprocess
import time
from collections.abc import Callable

import trio

from harness.evidence.route_monitor import RouteMonitor
from harness.model.evidence_change import ObservedChange

_COMMAND = ("/sbin/route", "-n", "monitor")


async def watch(
    report: Callable[[ObservedChange], None], started: Callable[[], None], command: tuple[str, ...] = _COMMAND
) -> None:
    """Report changes until cancelled; see `harness.evidence.monitor.watch_changes`.

    Raises:
      OSError: the tool cannot be started, or ended.
    """
    monitor = RouteMonitor(_names())
    process = await trio.lowlevel.open_process(
        command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        started()
        pending = b""
        async for chunk in process.stdout:
            now_ns = time.time_ns()
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"got message"):
                    monitor.names = _names()
                for kind, subject, text in monitor.feed(line.decode(errors="replace")):
                    report(ObservedChange(t_realtime_ns=now_ns, kind=kind, subject=subject, text=text))
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
    raise OSError(errno.EPIPE, f"{' '.join(command)} ended")


def _names() -> dict[int, str]:
    return dict(socket.if_nameindex())
