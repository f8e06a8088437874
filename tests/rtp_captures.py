"""Small captures of RTP and membership messages, frame by frame, for the tests of several folders."""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import dpkt

NS = 1_000_000_000
T0 = 1_700_000_000 * NS
SOURCE, GROUP = "10.0.0.5", "239.1.2.3"


class Frame(NamedTuple):
    """When a frame was captured, and its bytes from the Ethernet header on."""

    t_ns: int
    data: bytes


def packed(address: str) -> bytes:
    return bytes(map(int, address.split(".")))


def ip_frame(t_ns: int, payload: bytes, source: str, destination: str, protocol: int, ttl: int = 16) -> Frame:
    ip = dpkt.ip.IP(src=packed(source), dst=packed(destination), p=protocol, ttl=ttl, data=payload)
    ip.len = len(ip)
    return Frame(t_ns, bytes(dpkt.ethernet.Ethernet(dst=bytes(6), src=bytes(6), data=ip)))


def udp_frame(t_ns: int, payload: bytes, source: str = SOURCE, group: str = GROUP, port: int = 5004) -> Frame:
    head = struct.pack(">HHHH", 5004, port, 8 + len(payload), 0)
    return ip_frame(t_ns, head + payload, source, group, 17)


def rtp_frame(
    t_ns: int, number: int, ticks: int, payload_type: int = 0, ssrc: int = 7, size: int = 8, port: int = 5004
) -> Frame:
    head = struct.pack(">BBHII", 0x80, payload_type, number & 0xFFFF, ticks & 0xFFFF_FFFF, ssrc)
    return udp_frame(t_ns, head + bytes(size), port=port)


def write_capture(path: Path, frames: Iterable[Frame], name: str = "eth7") -> Path:
    """Write a pcapng file with one Ethernet interface of that name, in order of time."""
    blocks = [struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)]
    text = name.encode()
    body = struct.pack("<HHIHH", 1, 0, 0, 2, len(text)) + text + bytes(-len(text) % 4)
    body += struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)
    blocks.append(_block(1, body))
    for t_ns, data in sorted(frames):
        head = struct.pack("<IIIII", 0, t_ns >> 32, t_ns & 0xFFFF_FFFF, len(data), len(data))
        blocks.append(_block(6, head + data + bytes(-len(data) % 4)))
    path.write_bytes(b"".join(blocks))
    return path


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length
