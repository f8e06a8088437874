"""Whether somebody asks for group members: general queries, as the tap sees them (RFC 3376 4.1, RFC 3810 5.1)."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable

from harness.capture.upper import MembershipMessage, UpperLayer
from harness.doctor.line import Line, Patient
from harness.errors import InterfaceError
from harness.net.tap import TapFrame, open_tap
from harness.units import NS_PER_S, format_duration
from protocols.igmp import parse_igmp
from protocols.membership import MessageError, Query
from protocols.mld import parse_mld

DEFAULT_INTERVAL_NS = 125 * NS_PER_S
_ETHERNET, _RAW = 1, 101
_VLAN_TYPES = (0x8100, 0x88A8)
_POLL_S = 0.05

OnWait = Callable[[int, int], None]
"""Told now and then while listening: ns listened, ns to listen."""


def querier(patient: Patient, listen_ns: int, on_wait: OnWait) -> Line:
    """Listen until the first general query of the group's IP version, or for `listen_ns`."""
    found = patient.likely
    if found is None or found.is_loopback:
        text = "loopback has no querier" if found is not None else "there is no interface to listen on"
        return Line(name="querier", status="unknown", text=text, remedy="name a network's interface with --interface")
    try:
        tap = open_tap([])
    except InterfaceError as exc:
        return Line(name="querier", status="unknown", text=str(exc), remedy="run as root, or with CAP_NET_RAW")
    started_ns = time.monotonic_ns()
    with contextlib.closing(tap):
        while (waited_ns := time.monotonic_ns() - started_ns) < listen_ns:
            for frame in tap.read_frames():
                heard = general_query(frame)
                if heard is None or frame.is_outgoing or frame.interface != found.name:
                    continue
                message, query = heard
                if (message.kind == "igmp") is (patient.group.version == 4):
                    return _heard(message, query, waited_ns)
            on_wait(waited_ns, listen_ns)
            time.sleep(_POLL_S)
    return _unheard(found.name, listen_ns)


def _heard(message: MembershipMessage, query: Query, waited_ns: int) -> Line:
    newest = 3 if message.kind == "igmp" else 2
    name = f"{message.kind.upper()}v{query.version}"
    text = f"{message.source} asks in {name}, heard after {format_duration(waited_ns)}"
    if query.version < newest:
        remedy = "set the querier to the newest version: an older one cannot be told which source is wanted"
        return Line(name="querier", status="suspicious", text=text, remedy=remedy)
    return Line(name="querier", status="ok", text=text)


def _unheard(interface: str, listen_ns: int) -> Line:
    text = f"no general query on {interface} within {format_duration(listen_ns)}"
    if listen_ns < DEFAULT_INTERVAL_NS:
        text += f"; the usual interval is {format_duration(DEFAULT_INTERVAL_NS)}"
        return Line(name="querier", status="unknown", text=text, remedy="listen for longer: --listen 130s")
    text += ": where a switch snoops, groups stop some minutes after each join"
    remedy = "enable an IGMP querier on one switch or router of this network, or turn snooping off"
    return Line(name="querier", status="suspicious", text=text, remedy=remedy)


def general_query(frame: TapFrame) -> tuple[MembershipMessage, Query] | None:
    """Return a frame's general query with its IP header; None for every other frame, and for bad ones."""
    packet = _ip_packet(frame)
    if packet is None:
        return None
    version = packet[0] >> 4
    if len(packet) < {4: 20, 6: 40}.get(version, len(packet) + 1):
        return None
    message = UpperLayer(Counter()).read(version, packet, frame.rx_ns, 0)
    if not isinstance(message, MembershipMessage):
        return None
    try:
        parsed = parse_igmp(message.payload) if message.kind == "igmp" else parse_mld(message.payload)
    except MessageError:
        return None
    return (message, parsed) if isinstance(parsed, Query) and parsed.group is None else None


def _ip_packet(frame: TapFrame) -> bytes | None:
    if frame.link_type == _RAW:
        return frame.data or None
    if frame.link_type != _ETHERNET:
        return None
    at = 12
    while int.from_bytes(frame.data[at : at + 2]) in _VLAN_TYPES:
        at += 4
    return frame.data[at + 2 :] or None
