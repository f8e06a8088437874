"""Capture files made byte by byte, and a reader so slow and plain that one can see it is right."""

import struct
from typing import NamedTuple

import numpy as np

from harness.capture import Capture, Skip

NS = 1_000_000_000
T0 = 1_700_000_000 * NS


class Row(NamedTuple):
    """A datagram as the tests compare it."""

    rx_ns: int
    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    ifindex: int
    ttl: int
    size: int
    is_truncated: bool
    payload: bytes


class Frame(NamedTuple):
    """A frame as a file holds it."""

    data: bytes
    t_ns: int = T0
    wire: int = -1
    interface: int = 0

    @property
    def original(self) -> int:
        return len(self.data) if self.wire < 0 else self.wire


def read_rows(capture: Capture, max_rows: int = 65_536, width: int = 65_536) -> list[Row]:
    rows = []
    for batch in capture.batches(max_rows, width):
        assert 0 < len(batch) <= max_rows
        assert batch.data.shape == (len(batch), width)
        assert (batch.kept <= np.minimum(batch.meta["size"], width)).all()
        for i in range(len(batch)):
            m = batch.meta[i]
            rows.append(
                Row(
                    int(m["rx_ns"]), m["source"].tobytes(), int(m["source_port"]), m["destination"].tobytes(),
                    int(m["destination_port"]), int(m["ifindex"]), int(m["ttl"]), int(m["size"]),
                    bool(m["flags"] & 32), batch.data[i, : batch.kept[i]].tobytes(),
                )
            )  # fmt: skip
    assert capture.n_datagrams == len(rows)
    assert capture.n_frames == len(rows) + len(capture.memberships) + sum(capture.counters.values())
    return rows


def mapped(address: bytes) -> bytes:
    return bytes(10) + b"\xff\xff" + address if len(address) == 4 else address


# --- packets -------------------------------------------------------------------------------------------------------


def ones(data: bytes) -> int:
    total = 0
    for i in range(0, len(data), 2):
        total += int.from_bytes(data[i : i + 2].ljust(2, b"\0"))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def udp(payload: bytes, source: bytes, destination: bytes, ports: tuple[int, int] = (4000, 5000)) -> bytes:
    head = struct.pack(">HHHH", *ports, 8 + len(payload), 0)
    check = 0xFFFF - ones(source + destination + struct.pack(">II", len(head + payload), 17) + head + payload)
    return head[:6] + struct.pack(">H", check or 0xFFFF) + payload


def ip4(
    payload: bytes,
    source: bytes,
    destination: bytes,
    protocol: int = 17,
    ttl: int = 7,
    options: bytes = b"",
    ident: int = 0,
    fragment: int = 0x4000,
) -> bytes:
    first = 0x45 + len(options) // 4
    total = 20 + len(options) + len(payload)
    head = struct.pack(">BBHHHBBH", first, 0, total, ident, fragment, ttl, protocol, 0) + source + destination + options
    return head[:10] + struct.pack(">H", 0xFFFF - ones(head)) + head[12:] + payload


def ip6(payload: bytes, source: bytes, destination: bytes, following: int = 17, limit: int = 7) -> bytes:
    return struct.pack(">IHBB", 0x60000000, len(payload), following, limit) + source + destination + payload


V4 = (bytes([10, 0, 0, 1]), bytes([239, 1, 2, 3]))
V6 = (bytes.fromhex("fe80" + "0" * 26 + "01"), bytes.fromhex("ff15" + "0" * 26 + "07"))


def packet4(payload: bytes, **kwargs: int | bytes) -> bytes:
    return ip4(udp(payload, *V4), *V4, **kwargs)  # type: ignore[arg-type]  # a shorthand


def packet6(payload: bytes) -> bytes:
    return ip6(udp(payload, *V6), *V6)


def ethernet(packet: bytes, tags: tuple[int, ...] = (), trailer: bytes = b"") -> bytes:
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    middle = b"".join(struct.pack(">HH", tag, 100) for tag in tags)
    return bytes(range(12)) + middle + struct.pack(">H", kind) + packet + trailer


# --- files ---------------------------------------------------------------------------------------------------------


def pcap(frames: list[Frame], link: int = 1, order: str = "<", nano: bool = True, snaplen: int = 262_144) -> bytes:
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link)]
    for frame in frames:
        s, ns = divmod(frame.t_ns, NS)
        fraction = ns if nano else ns // 1000
        out.append(struct.pack(order + "IIII", s, fraction, len(frame.data), frame.original) + frame.data)
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += b"\0" * (-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def option(number: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", number, len(value)) + value + b"\0" * (-len(value) % 4)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1) + option(3, b"test", order), order)


def interface(
    link: int = 1,
    order: str = "<",
    resolution: int | None = 9,
    offset: int | None = None,
    name: str = "",
    snap: int = 0,
) -> bytes:
    body = struct.pack(order + "HHI", link, 0, snap)
    if name:
        body += option(2, name.encode(), order)
    if resolution is not None:
        body += option(9, bytes([resolution]), order)
    if offset is not None:
        body += option(14, struct.pack(order + "q", offset), order)
    return block(1, body + option(0, b"", order), order)


def enhanced(frame: Frame, order: str = "<", ticks: int | None = None, options: bytes = b"") -> bytes:
    t = frame.t_ns if ticks is None else ticks
    head = struct.pack(order + "IIIII", frame.interface, t >> 32, t & 0xFFFFFFFF, len(frame.data), frame.original)
    return block(6, head + frame.data + b"\0" * (-len(frame.data) % 4) + options, order)


def obsolete(frame: Frame, order: str = "<") -> bytes:
    t = frame.t_ns
    head = struct.pack(order + "HHIIII", frame.interface, 9, t >> 32, t & 0xFFFFFFFF, len(frame.data), frame.original)
    return block(2, head + frame.data, order)


def simple(data: bytes, original: int, order: str = "<") -> bytes:
    return block(3, struct.pack(order + "I", original) + data, order)


# --- the oracle ----------------------------------------------------------------------------------------------------


def slow_decode(frame: Frame, link: int) -> Row | Skip:
    """Decode one frame of one link type, without fragments, extension headers and membership messages."""
    data, wire = frame.data, frame.original
    header = {1: 14, 113: 16, 276: 20, 0: 4, 108: 4}.get(link, 0)
    if len(data) < header or not data:
        return Skip.TRUNCATED
    if link in (1, 113, 276):
        kind = data[0:2] if link == 276 else data[header - 2 : header]
        for _ in range(4):
            if kind in (b"\x81\x00", b"\x88\xa8", b"\x91\x00", b"\x92\x00"):
                if len(data) < header + 4:
                    return Skip.TRUNCATED
                kind = data[header + 2 : header + 4]
                header += 4
        version = {b"\x08\x00": 4, b"\x86\xdd": 6}.get(kind, 0)
    elif link in (0, 108):
        family = min(int.from_bytes(data[:4], "little"), int.from_bytes(data[:4]))
        version = {2: 4, 10: 6, 24: 6, 28: 6, 30: 6}.get(family, 0)
    else:
        version = data[0] >> 4
        if version not in {228: (4,), 229: (6,)}.get(link, (4, 6)):
            version = 0
    if version == 0:
        return Skip.NOT_IP
    packet, wire = data[header:], wire - header
    if len(packet) < (20 if version == 4 else 40):
        return Skip.TRUNCATED
    if packet[0] >> 4 != version:
        return Skip.BAD_HEADER
    if version == 4:
        length, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4])
        if length < 20 or total < length:
            return Skip.BAD_HEADER
        protocol, ttl, addresses = packet[9], packet[8], (packet[12:16], packet[16:20])
    else:
        length, total = 40, 40 + int.from_bytes(packet[4:6])
        protocol, ttl, addresses = packet[6], packet[7], (packet[8:24], packet[24:40])
    if total > wire:
        return Skip.BAD_HEADER
    if len(packet) < length:
        return Skip.TRUNCATED
    if protocol != 17:
        return Skip.TCP if protocol == 6 else Skip.OTHER_PROTOCOL
    if total < length + 8:
        return Skip.BAD_HEADER
    if len(packet) < length + 8:
        return Skip.TRUNCATED
    source_port, destination_port, udp_length = struct.unpack_from(">HHH", packet, length)
    if not 8 <= udp_length <= total - length:
        return Skip.BAD_HEADER
    payload = packet[length + 8 : length + udp_length]
    source, destination = map(mapped, addresses)
    return Row(
        frame.t_ns, source, source_port, destination, destination_port, frame.interface + 1, ttl, udp_length - 8,
        len(payload) < udp_length - 8, payload,
    )  # fmt: skip
