"""UDP sockets of this network namespace with their queues and drops, and which process holds each (Linux)."""

from __future__ import annotations

import ipaddress
import os
import sys
import time
from typing import Any

_OWNERS_LIMIT_NS = 40_000_000
"""How long owners are looked for: on a host with thousands of processes the list stays incomplete."""
_COLUMNS = 13


def parse_udp(text: str) -> list[dict[str, Any]]:
    r"""Return the sockets of /proc/net/udp or udp6; lines of another form are left out.

    `queued_bytes` waits to be read, `unsent_bytes` to be sent, `drops` counts datagrams that found the buffer full or
    a filter in their way. `remote` is "" for a socket that is not connected.

    >>> line = "7: 010A0A0A:1388 00000000:0000 07 00000000:00000300 00:00000000 00000000 0 0 4711 2 0 17"
    >>> entry, = parse_udp("  sl  local_address ...\n" + line)
    >>> entry["local"], entry["queued_bytes"], entry["inode"], entry["drops"]
    ('10.10.10.1:5000', 768, 4711, 17)
    """
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) < _COLUMNS:
            continue
        try:
            unsent, queued = (int(word, 16) for word in words[4].split(":"))
            entry = {
                "local": _endpoint(words[1]),
                "remote": "" if words[2].endswith(":0000") else _endpoint(words[2]),
                "uid": int(words[7]),
                "inode": int(words[9]),
                "queued_bytes": queued,
                "unsent_bytes": unsent,
                "drops": int(words[12]),
            }
        except ValueError:
            continue
        found.append(entry)
    return found


def _endpoint(text: str) -> str:
    """Return address and port from words of 32 bits in the kernel's byte order, and the port."""
    digits, port = text.split(":")
    words = [int(digits[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    return f"{address}:{int(port, 16)}" if address.version == 4 else f"[{address}]:{int(port, 16)}"


def owners(inodes: set[int], limit_ns: int = _OWNERS_LIMIT_NS) -> dict[int, tuple[int, str]]:
    """Return process id and name of the holders of sockets, by inode; this process and its parents are asked first.

    Without root only the user's own processes tell. A socket that several hold is given to the first that is found.
    """
    deadline_ns = time.monotonic_ns() + limit_ns
    found: dict[int, tuple[int, str]] = {}
    first = [os.getpid(), os.getppid()]
    others = sorted((int(name) for name in os.listdir("/proc") if name.isdecimal()), reverse=True)
    for pid in dict.fromkeys(first + others):
        if found.keys() >= inodes or time.monotonic_ns() > deadline_ns:
            break
        for inode in _sockets_of(pid) & inodes:
            found.setdefault(inode, (pid, _name_of(pid)))
    return found


def _sockets_of(pid: int) -> set[int]:
    folder = f"/proc/{pid}/fd"
    found = set()
    try:
        for name in os.listdir(folder):
            target = os.readlink(f"{folder}/{name}")
            if target.startswith("socket:["):
                found.add(int(target[8:-1]))
    except OSError:  # it is another user's, or ended meanwhile
        pass
    return found


def _name_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as comm:
            return comm.read().strip()
    except OSError:
        return ""


def with_owners(tables: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of sockets with `pid` and `process` added, None and "" where nobody tells."""
    held_by = owners({entry["inode"] for entries in tables.values() for entry in entries})
    return {
        name: [
            entry | dict(zip(("pid", "process"), held_by.get(entry["inode"], (None, "")), strict=True))
            for entry in entries
        ]
        for name, entries in tables.items()
    }
