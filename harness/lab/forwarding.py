"""A router's process: forwards multicast as it is told on stdin, until stdin ends (`python -m harness.lab.forwarding`).

Request and answer are a line of JSON each:

    {"add": [{"group": "239.1.2.3", "source": "10.1.0.1", "incoming": "left", "outgoing": ["right"]}]}
    {"remove": [...]}
    {"t_ns": ..., "t_done_ns": ...}  or  {"error": "..."}

It joins each group on the incoming interface, so that a switch there sends it, and stays a member when the route goes:
a withdrawn route is one clean gap, with no leaving and joining around it.

The kernel does the work: linux/mroute.h and linux/mroute6.h, whose options and structures are alike but for names. Only
one process per namespace can be the router.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
from typing import Any

_INIT, _ADD_INTERFACE, _ADD_ROUTE = 200, 202, 204
_MAX_INTERFACES = 32
_VIFF_USE_IFINDEX = 0x8

Route = dict[str, Any]


class Forwarder:
    """The kernel's multicast forwarding of one IP version, in this process's namespace.

    Raises:
      OSError: no permission, no such kernel feature, or another process is the router.
    """

    def __init__(self, version: int) -> None:
        self._is_ipv4 = version == 4
        self._family = socket.AF_INET if self._is_ipv4 else socket.AF_INET6
        self._level = socket.IPPROTO_IP if self._is_ipv4 else socket.IPPROTO_IPV6
        self._sock = socket.socket(
            self._family, socket.SOCK_RAW, socket.IPPROTO_IGMP if self._is_ipv4 else socket.IPPROTO_ICMPV6
        )
        self._sock.setsockopt(self._level, _INIT, 1)
        self._members = socket.socket(self._family, socket.SOCK_DGRAM)
        self._joined: set[tuple[str, int]] = set()
        self._interfaces: dict[str, int] = {}

    def add(self, route: Route) -> None:
        """Forward by a route, joining its group first."""
        self._join(route["group"], socket.if_nametoindex(route["incoming"]))
        self._sock.setsockopt(self._level, _ADD_ROUTE, self._entry(route))

    def remove(self, route: Route) -> None:
        """Forward by a route no more.

        The entry stays, with nowhere to go, as after a prune. Were it deleted, the kernel would keep the next packets
        for whoever adds it again, and deliver them late.
        """
        self._sock.setsockopt(self._level, _ADD_ROUTE, self._entry({**route, "outgoing": []}))

    def _join(self, group: str, index: int) -> None:
        if (group, index) in self._joined:
            return
        packed = socket.inet_pton(self._family, group)
        if self._is_ipv4:
            self._members.setsockopt(
                self._level, socket.IP_ADD_MEMBERSHIP, packed + struct.pack("=4si", bytes(4), index)
            )
        else:
            self._members.setsockopt(self._level, socket.IPV6_JOIN_GROUP, packed + struct.pack("=I", index))
        self._joined.add((group, index))

    def _number(self, interface: str) -> int:
        """Return the kernel's number of an interface, made a forwarding one when it is none yet."""
        if interface not in self._interfaces:
            number, index = len(self._interfaces), socket.if_nametoindex(interface)
            if number >= _MAX_INTERFACES:
                raise ValueError(f"more than {_MAX_INTERFACES} interfaces")
            if self._is_ipv4:
                vif = struct.pack("=HBBIi4s", number, _VIFF_USE_IFINDEX, 1, 0, index, bytes(4))
            else:
                vif = struct.pack("=HBBHxxI", number, 0, 1, index, 0)
            self._sock.setsockopt(self._level, _ADD_INTERFACE, vif)
            self._interfaces[interface] = number
        return self._interfaces[interface]

    def _entry(self, route: Route) -> bytes:
        """Return a forwarding entry: struct mfcctl or struct mf6cctl."""
        incoming = self._number(route["incoming"])
        outgoing = [self._number(interface) for interface in route["outgoing"]]
        source, group = (socket.inet_pton(self._family, route[key]) for key in ("source", "group"))
        if self._is_ipv4:
            thresholds = bytes(1 if number in outgoing else 0 for number in range(_MAX_INTERFACES))
            return struct.pack("=4s4sH32sxxIIIi", source, group, incoming, thresholds, 0, 0, 0, 0)
        chosen = sum(1 << number for number in outgoing)
        addresses = b"".join(struct.pack("=HHI16sI", self._family, 0, 0, packed, 0) for packed in (source, group))
        return addresses + struct.pack("=Hxx", incoming) + struct.pack("=8I", chosen, *[0] * 7)


class Forwarding:
    """Both IP versions, each begun with its first route."""

    def __init__(self) -> None:
        self._of: dict[int, Forwarder] = {}

    def obey(self, line: str) -> dict[str, object]:
        """Do what one line asks, and return the answer."""
        try:
            request = json.loads(line)
            (verb,) = request
            routes: list[Route] = request[verb]
            chosen = [(self._forwarder(route), route) for route in routes]
            t_ns = time.time_ns()
            for forwarder, route in chosen:
                {"add": forwarder.add, "remove": forwarder.remove}[verb](route)
            return {"t_ns": t_ns, "t_done_ns": time.time_ns()}
        except OSError as exc:
            return {"error": f"{exc.strerror or exc}: {line.strip()}"}
        except (ValueError, KeyError, TypeError) as exc:
            return {"error": f"not understood ({exc!r}): {line.strip()}"}

    def _forwarder(self, route: Route) -> Forwarder:
        version = 6 if ":" in route["group"] else 4
        if version not in self._of:
            self._of[version] = Forwarder(version)
        return self._of[version]


def main() -> int:
    """Serve until stdin ends, which it also does when the program that started this one is killed."""
    forwarding = Forwarding()
    for line in sys.stdin:
        if line.strip():
            os.write(sys.stdout.fileno(), json.dumps(forwarding.obey(line)).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
