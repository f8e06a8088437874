"""How far the realtime clock can be trusted: who disciplines it, and by how much it may be wrong.

On Linux the kernel keeps an estimate that its disciplining daemon feeds, adjtimex(2): `maxerror` in microseconds, and a
flag for "not synchronised". chronyd feeds it only when told to (`rtcsync`); without, chronyd itself is asked.
"""

from __future__ import annotations

import ctypes
import os

import psutil

from harness.evidence.probe import ProbeError, command

_TIME_ERROR = 5
_STA_UNSYNC = 0x40
_DAEMONS = {"chronyd": "chrony", "ntpd": "ntp", "systemd-timesyn": "ntp", "phc2sys": "ptp"}
"""Process names, as Linux cuts them to 15 characters, and what `Clocks.sync` calls them."""


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2)."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    ]


def kernel_clock() -> tuple[bool, int]:
    """Return whether Linux holds its clock for synchronised, and its own bound on the error in ns.

    Raises:
      ProbeError: the kernel does not tell.
    """
    timex = _Timex()
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        state = libc.adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError) as exc:
        raise ProbeError(f"adjtimex cannot be called: {exc}") from exc
    if state < 0:
        raise ProbeError(f"adjtimex: {os.strerror(ctypes.get_errno())}")
    return state != _TIME_ERROR and not timex.status & _STA_UNSYNC, int(timex.maxerror) * 1_000


def discipline() -> str:
    """Return which daemon disciplines the clock, "chrony", "ntp" or "ptp"; "" when none is seen, as in a container."""
    names = {(process.info["name"] or "")[:15] for process in psutil.process_iter(["name"])}
    return next((what for name, what in _DAEMONS.items() if name in names), "")


def parse_tracking(text: str) -> tuple[bool, int]:
    """Return whether chronyd is synchronised, and its bound on the error in ns, from `chronyc -c tracking`.

    The bound is |system time offset| + root delay / 2 + root dispersion (RFC 5905 11.2's root distance).

    Raises:
      ProbeError: another form of answer.

    >>> parse_tracking("C0A80001,192.168.0.1,3,1700000000.5,0.000010,0,0,0,0,0,0.002,0.0005,64.2,Normal")
    (True, 1510000)
    """
    fields = text.strip().split(",")
    try:
        offset, delay, dispersion = float(fields[4]), float(fields[10]), float(fields[11])
        leap = fields[13]
        return leap != "Not synchronised", round((abs(offset) + delay / 2 + dispersion) * 1e9)
    except (IndexError, ValueError, OverflowError) as exc:
        raise ProbeError(f"chronyc tracking answers {text.strip()[:60]!r}") from exc


def linux_clock_state() -> tuple[str, int | None]:
    """Return what disciplines the clock and the bound on its error; see `_linux.clock_state`."""
    try:
        is_synchronised, bound_ns = kernel_clock()
    except ProbeError:
        return "unknown", None
    daemon = discipline()
    if is_synchronised:
        return daemon or "synchronised", bound_ns
    if daemon == "chrony":
        try:
            is_synchronised, bound_ns = parse_tracking(command("chronyc", "-c", "tracking"))
        except ProbeError:
            return "unknown", None
        if is_synchronised:
            return daemon, bound_ns
    return "unsynchronised", None
