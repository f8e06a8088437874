"""What `route -n monitor` prints on macOS, message by message, as changes.

A message is "got message of size N on DATE", a line that begins with its name, perhaps "locks:", then
"sockaddrs: <...>" and a line with as many addresses as that names.
"""

from __future__ import annotations

import re

from harness.evidence.tracker import Told

_NAME = re.compile(r"(RTM_\w+):.*")
_FLAGS = re.compile(r"flags:\s*<([^>]*)>")
_INDEX = re.compile(r"if# (\d+)")
_SOCKADDRS = re.compile(r"sockaddrs: <([^>]*)>")


class RouteMonitor:
    """Reads the lines one by one; `names` are interfaces by index, to be renewed by the caller."""

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names
        self._head = ""
        self._fields: list[str] | None = None
        self._states: dict[int, str] = {}

    def feed(self, line: str) -> list[Told]:
        """Take a line, and return the changes that it completes."""
        if _NAME.match(line):
            self._head, self._fields = line, None
            return self._link(line) if line.startswith("RTM_IFINFO:") else []
        sockaddrs = _SOCKADDRS.match(line)
        if sockaddrs and self._head:
            self._fields = sockaddrs[1].split(",")
            return []
        if self._fields is not None and line.strip():
            values = dict(zip(self._fields, line.split(), strict=False))
            head, self._head, self._fields = self._head, "", None
            return self._other(head, values)
        return []

    def _link(self, line: str) -> list[Told]:
        index, flags = _INDEX.search(line), _FLAGS.search(line)
        if index is None or flags is None:
            return []
        number, words = int(index[1]), flags[1].split(",")
        name = self.names.get(number, f"interface {number}")
        state = "down (switched off)" if "UP" not in words else "up" if "RUNNING" in words else "down (no carrier)"
        if self._states.get(number) == state:  # told again for other reasons
            return []
        self._states[number] = state
        return [Told("link", name, f"{name} {state}")]

    def _other(self, head: str, values: dict[str, str]) -> list[Told]:
        name = values.get("IFP", "").partition(":")[0]
        if head.startswith(("RTM_NEWADDR:", "RTM_DELADDR:")) and "IFA" in values:
            action = "added on" if head.startswith("RTM_NEWADDR") else "removed from"
            return [Told("address", name, f"{values['IFA']} {action} {name or 'an interface'}")]
        if head.startswith(("RTM_NEWMADDR:", "RTM_DELMADDR:")) and "IFA" in values:
            action = "joined" if head.startswith("RTM_NEWMADDR") else "left"
            return [Told("membership", name, f"{values['IFA']} {action} on {name or 'an interface'}")]
        flags = _FLAGS.search(head)
        is_neighbour = flags is not None and "LLINFO" in flags[1].split(",")
        if head.startswith(("RTM_ADD:", "RTM_DELETE:", "RTM_CHANGE:")) and "DST" in values and not is_neighbour:
            action = {"RTM_ADD": "added", "RTM_DELETE": "removed"}.get(head.partition(":")[0], "changed")
            via = f" via {values['GATEWAY']}" if "GATEWAY" in values else ""
            return [Told("route", name, f"route {values['DST']}{via} {action}")]
        return []
