"""Counters of the kernel around a run: read before and after, subtract. None where a system does not tell."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import psutil

_PROC_NET = Path("/proc/net")
_DROPS_COLUMN = 12
_INODE_COLUMN = 9


@dataclass(frozen=True, slots=True)
class _Counts:
    """Counters that can be subtracted; one that is unknown on either side stays unknown."""

    def __sub__(self, before: Self) -> Self:
        values = {}
        for field in fields(self):
            then, now = getattr(before, field.name), getattr(self, field.name)
            values[field.name] = None if then is None or now is None else now - then
        return type(self)(**values)


@dataclass(frozen=True, slots=True)
class UdpCounters(_Counts):
    """UDP of this network namespace (RFC 4113 and Linux's own additions), in datagrams; None when not told."""

    received: int | None = None
    no_port: int | None = None
    errors_in: int | None = None
    sent: int | None = None
    receive_buffer_errors: int | None = None
    send_buffer_errors: int | None = None
    checksum_errors: int | None = None
    ignored_multicast: int | None = None
    memory_errors: int | None = None


@dataclass(frozen=True, slots=True)
class InterfaceCounters(_Counts):
    """One interface, in bytes and packets."""

    bytes_sent: int | None = None
    bytes_received: int | None = None
    packets_sent: int | None = None
    packets_received: int | None = None
    errors_in: int | None = None
    errors_out: int | None = None
    drops_in: int | None = None
    drops_out: int | None = None


_UDP_NAMES = {
    "InDatagrams": "received",
    "NoPorts": "no_port",
    "InErrors": "errors_in",
    "OutDatagrams": "sent",
    "RcvbufErrors": "receive_buffer_errors",
    "SndbufErrors": "send_buffer_errors",
    "InCsumErrors": "checksum_errors",
    "IgnoredMulti": "ignored_multicast",
    "MemErrors": "memory_errors",
}


def udp_counters(version: int = 4, proc_net: Path = _PROC_NET) -> UdpCounters | None:
    """Return the UDP counters of IP version 4 or 6, from /proc/net/snmp or snmp6; None elsewhere than on Linux."""
    try:
        text = (proc_net / ("snmp" if version == 4 else "snmp6")).read_text(encoding="ascii")
    except OSError:
        return None
    told = _snmp(text, "Udp") if version == 4 else _snmp6(text, "Udp6")
    return UdpCounters(**{ours: told[theirs] for theirs, ours in _UDP_NAMES.items() if theirs in told})


def _snmp(text: str, protocol: str) -> dict[str, int]:
    """Return the counters of one protocol from pairs of lines, names above values."""
    rows = [line.split()[1:] for line in text.splitlines() if line.startswith(f"{protocol}:")]
    return {name: int(value) for name, value in zip(rows[0], rows[1], strict=True)} if len(rows) == 2 else {}


def _snmp6(text: str, prefix: str) -> dict[str, int]:
    """Return the counters of one protocol from lines of a name and a value."""
    rows = [line.split() for line in text.splitlines() if line.startswith(prefix)]
    return {name.removeprefix(prefix): int(value) for name, value in rows}


def socket_drops(inode: int | None, proc_net: Path = _PROC_NET) -> int | None:
    """Return the drops of the socket with this inode, from /proc/net/udp and udp6; None if it is not listed."""
    for name in ("udp", "udp6"):
        try:
            lines = (proc_net / name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for columns in map(str.split, lines):
            if len(columns) > _DROPS_COLUMN and columns[_INODE_COLUMN] == str(inode):
                return int(columns[_DROPS_COLUMN])
    return None


def interface_counters(name: str) -> InterfaceCounters | None:
    """Return the counters of one interface; None when there is no such interface, or it is not counted."""
    told = psutil.net_io_counters(pernic=True, nowrap=False).get(name)
    if told is None:
        return None
    return InterfaceCounters(
        bytes_sent=told.bytes_sent,
        bytes_received=told.bytes_recv,
        packets_sent=told.packets_sent,
        packets_received=told.packets_recv,
        errors_in=told.errin,
        errors_out=told.errout,
        drops_in=told.dropin,
        drops_out=told.dropout,
    )
