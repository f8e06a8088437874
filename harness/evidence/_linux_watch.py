"""Changes as Linux tells them, on a routing socket of the network namespace in which it is opened."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterable

import trio

from harness.evidence import netlink
from harness.evidence.netlink import GROUPS, LATER_GROUPS
from harness.evidence.tracker import Told, Tracker
from harness.model.evidence_change import ObservedChange

_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_BUFFER_BYTES = 1 << 20
_READ_BYTES = 1 << 16
_DUMP_LIMIT_S = 1.0
_DUMP_BYTES = 1 << 19
"""How much of a table is listed, some thousand routes: a core router's would hold up the event loop."""
_AF_INET, _AF_INET6 = 2, 10
_TABLES = {
    "links": ((netlink.GET_LINK, 0),),
    "addresses": ((netlink.GET_ADDRESS, 0),),
    "routes": ((netlink.GET_ROUTE, _AF_INET), (netlink.GET_ROUTE, _AF_INET6)),
    "rules": ((netlink.GET_RULE, _AF_INET), (netlink.GET_RULE, _AF_INET6)),
    "mdb": ((netlink.GET_MDB, 0),),
}
_AFTER_OVERRUN = ("links", "addresses", "rules", "routes")


def open_watch(buffer_bytes: int = _BUFFER_BYTES) -> socket.socket:
    """Return a routing socket that hears of every change; groups that the kernel does not offer are left out.

    Raises:
      OSError: the kernel gives none.
    """
    watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    watch.setblocking(False)
    watch.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    watch.bind((0, 0))
    for group in (GROUPS | LATER_GROUPS).values():
        try:
            watch.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        except OSError:  # a later kernel's group
            continue
    return watch


def _name_of(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # it is gone again
        return ""


def listing(sections: Iterable[str]) -> tuple[Tracker, list[str]]:
    """Return what the kernel lists now, and of which of the sections it is the whole."""
    found, whole = Tracker(), []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as asker:
        asker.settimeout(_DUMP_LIMIT_S)
        for section in sections:
            try:
                for kind, family in _TABLES[section]:
                    _list(asker, netlink.dump_request(kind, family), found)
            except OSError:  # it will not list it, or not in time: what comes late must not be taken for another's
                break
            whole.append(section)
    return found, whole


def _list(asker: socket.socket, request: bytes, into: Tracker) -> None:
    """Take one table into the tracker.

    Raises:
      OSError: no answer in time, or more than is read.
    """
    asker.send(request)
    n_bytes = 0
    while n_bytes < _DUMP_BYTES:
        data = asker.recv(_READ_BYTES)
        n_bytes += len(data)
        into.feed(data)
        if any(message.kind in (netlink.DONE, netlink.ERROR) for message in netlink.messages(data)):
            return
    raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))


async def watch(report: Callable[[ObservedChange], None], started: Callable[[], None]) -> None:
    """Report changes until cancelled; see `harness.evidence.monitor.watch_changes`."""
    with open_watch() as kernel:
        state, _ = listing(_TABLES)
        state.resolve = _name_of
        started()
        while True:
            await trio.lowlevel.wait_readable(kernel)
            read_all(kernel, state, report)


def read_all(kernel: socket.socket, state: Tracker, report: Callable[[ObservedChange], None]) -> None:
    """Read what is there, and report it. After an overrun, and where routes went silently, the kernel is asked."""
    has_overrun = has_lost_routes = False
    for _ in range(1_000):  # a storm must not keep the event loop
        try:
            data, sender = kernel.recvfrom(_READ_BYTES)
        except BlockingIOError:
            break
        except OSError as exc:
            if exc.errno != errno.ENOBUFS:
                raise
            has_overrun = True
            _report([Told("overrun", "", "changes came faster than they were read; some are missing")], report)
            continue
        if sender[0] == 0:  # from the kernel, and not from a program
            told = state.feed(data)
            _report(told, report)
            has_lost_routes |= any(each.kind in ("link", "address") for each in told)
    if has_overrun or has_lost_routes:
        _report(state.compare(*listing(_AFTER_OVERRUN if has_overrun else ("routes",))), report)


def _report(changes: list[Told], report: Callable[[ObservedChange], None]) -> None:
    now_ns = time.time_ns()
    for kind, subject, text in changes:
        report(ObservedChange(t_realtime_ns=now_ns, kind=kind, subject=subject, text=text))
