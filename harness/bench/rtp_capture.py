"""A pcapng file of an RTP stream with known loss, written fast: 1 ms packets of 48 kHz audio, as AES67 has them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

PAYLOAD = 288
LOSS = 0.01
CHUNK = 1 << 18

_FRAME = 14 + 20 + 8 + 12 + PAYLOAD
_SECTION = struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28)
_NANOSECONDS = struct.pack("<HHB3xHH", 9, 1, 9, 0, 0)
_INTERFACE = struct.pack("<IIHHI", 1, 32, 1, 0, 65_535) + _NANOSECONDS + struct.pack("<I", 32)
_RECORD = np.dtype(
    [
        ("type", "<u4"), ("length", "<u4"), ("interface", "<u4"), ("high", "<u4"), ("low", "<u4"), ("kept", "<u4"),
        ("size", "<u4"), ("frame", "u1", _FRAME), ("pad", "u1", -_FRAME % 4), ("length_again", "<u4"),
    ]
)  # fmt: skip
_ETHERNET = bytes.fromhex("01005e0102030200000000010800")
_IP = struct.pack(">BBHHHBBH4s4s", 0x45, 0, _FRAME - 14, 0, 0, 1, 17, 0, bytes([10, 0, 0, 1]), bytes([239, 1, 2, 3]))
_UDP = struct.pack(">HHHH", 5004, 5004, 8 + 12 + PAYLOAD, 0)
_RTP = np.dtype([("version", "u1"), ("type", "u1"), ("seq", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4")])


def write_rtp_capture(path: Path, n: int, start_ns: int = 1_700_000_000_000_000_000) -> int:
    """Write the capture of a stream of n packets, 1 % of which are lost at random, and return how many it holds."""
    random = np.random.default_rng(1)
    head = np.frombuffer(_ETHERNET + _IP + _UDP, np.uint8)
    n_written = 0
    with path.open("wb") as file:
        file.write(_SECTION + _INTERFACE)
        for first in range(0, n, CHUNK):
            numbers = np.arange(first, min(first + CHUNK, n))
            numbers = numbers[random.random(len(numbers)) >= LOSS]
            time_ns = start_ns + numbers * 1_000_000 + random.integers(0, 30_000, len(numbers))
            records = np.zeros(len(numbers), _RECORD)
            records["type"], records["length"], records["length_again"] = 6, _RECORD.itemsize, _RECORD.itemsize
            records["high"], records["low"] = time_ns >> 32, time_ns & 0xFFFFFFFF
            records["kept"] = records["size"] = _FRAME
            header = np.zeros(len(numbers), _RTP)
            header["version"], header["type"], header["ssrc"] = 0x80, 97, 0x1234
            header["seq"], header["timestamp"] = numbers & 0xFFFF, numbers * 48 & 0xFFFFFFFF
            records["frame"][:, : len(head)] = head
            records["frame"][:, len(head) : len(head) + 12] = header.view(np.uint8).reshape(-1, 12)
            records.tofile(file)
            n_written += len(records)
    return n_written
