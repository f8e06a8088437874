"""Batches of datagrams as a pcapng file, so that a run opens in Wireshark.

What a socket hands over has no headers any more. They are made up here again over the raw IP link type: addresses,
ports, TTL and lengths are the datagram's, lengths and checksums right; identification and DSCP are not known and 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.capture.blocks import PcapngFile, copy_rows, packet_blocks
from harness.capture.frames import Ints
from harness.capture.interface import Interface
from harness.errors import UsageError
from harness.model import Datagrams, PacketArray

_RAW_IP = 101
_UDP = 17
_DONT_FRAGMENT = 0x4000
_MAX_SIZE = 65_507
"""Largest UDP payload over IPv4; jumbograms are not made."""

_V4_HEADER = np.dtype(
    [("first", "u1"), ("tos", "u1"), ("total", ">u2"), ("ident", ">u2"), ("fragment", ">u2"), ("ttl", "u1"),
     ("protocol", "u1"), ("checksum", ">u2"), ("source", "u1", 4), ("destination", "u1", 4)]
)  # fmt: skip
_V6_HEADER = np.dtype(
    [("first", ">u4"), ("length", ">u2"), ("next", "u1"), ("limit", "u1"), ("source", "u1", 16),
     ("destination", "u1", 16)]
)  # fmt: skip
_UDP_HEADER = np.dtype([("source", ">u2"), ("destination", ">u2"), ("length", ">u2"), ("checksum", ">u2")])


def write_pcapng(
    path: str | Path, batches: Iterable[Datagrams], names: Mapping[int, str] | None = None, comment: str = ""
) -> int:
    """Write datagrams to a pcapng file and return how many there were.

    A datagram that was kept in part has no checksum (0), since that of the rest is not known. A time that is not known
    is written as 0. An address that is not known is written as zeros.

    Args:
      path: the file; what is there is replaced once the new one is whole.
      batches: the datagrams.
      names: of the interfaces by ifindex; others are called "ifindex 3".
      comment: on the whole file, for its readers.

    Raises:
      StorageError: the file cannot be written.
      UsageError: a datagram larger than 65507 bytes.
    """
    known: dict[int, int] = {}
    n_written = 0
    with PcapngFile(Path(path), comment) as file:
        for batch in batches:
            if not len(batch):
                continue
            ifindex, inverse = np.unique(batch.meta["ifindex"], return_inverse=True)
            for number in ifindex.tolist():
                if number not in known:
                    known[number] = len(known)
                    file.add_interface(Interface((names or {}).get(number, f"ifindex {number}"), _RAW_IP, 0))
            interface = np.array([known[number] for number in ifindex.tolist()], np.int64)[inverse]
            file.write(_packets(batch, interface))
            n_written += len(batch)
    return n_written


def _packets(batch: Datagrams, interface: Ints) -> NDArray[np.uint8]:
    """Return the packet blocks of a batch."""
    meta, size = batch.meta, batch.meta["size"].astype(np.int64)
    if int(size.max()) > _MAX_SIZE:
        raise UsageError(f"a datagram of {int(size.max())} bytes fits into no UDP header; {_MAX_SIZE} is the limit")
    is_v4 = _is_v4(meta["source"]) & _is_v4(meta["destination"])
    header = np.where(is_v4, 28, 48)
    out, at = packet_blocks(meta["rx_ns"].astype(np.int64), interface, header + batch.kept, header + size)
    data = np.ascontiguousarray(batch.data).reshape(-1)
    row_at = np.arange(len(meta), dtype=np.int64) * batch.data.shape[1]
    copy_rows(out, at + header, data, row_at, batch.kept)
    udp = np.zeros(len(meta), _UDP_HEADER)
    udp["source"], udp["destination"], udp["length"] = meta["source_port"], meta["destination_port"], size + 8
    udp["checksum"] = _checksums(batch, udp)
    _scatter(out, at + header - 8, udp)
    for rows, make in ((is_v4, _v4_headers), (~is_v4, _v6_headers)):
        _scatter(out, at[rows], make(meta[rows], size[rows]))
    return out


def _is_v4(address: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which addresses are mapped IPv4 ones, or not known, which fits either version."""
    words = np.ascontiguousarray(address).view(">u4").reshape(-1, 4)
    is_v4: NDArray[np.bool_] = (words[:, 2] == 0xFFFF) | (words[:, 2] | words[:, 3] == 0)
    is_v4 &= words[:, 0] | words[:, 1] == 0
    return is_v4


def _v4_headers(meta: PacketArray, size: Ints) -> NDArray[np.void]:
    head = np.zeros(len(meta), _V4_HEADER)
    head["first"], head["total"], head["fragment"] = 0x45, size + 28, _DONT_FRAGMENT
    head["ttl"], head["protocol"] = meta["ttl"], _UDP
    head["source"], head["destination"] = meta["source"][:, 12:], meta["destination"][:, 12:]
    total = head.view(">u2").reshape(-1, 10).sum(axis=1, dtype=np.int64)
    head["checksum"] = 0xFFFF - _fold(total)
    return head


def _v6_headers(meta: PacketArray, size: Ints) -> NDArray[np.void]:
    head = np.zeros(len(meta), _V6_HEADER)
    head["first"], head["length"], head["next"], head["limit"] = 0x60000000, size + 8, _UDP, meta["ttl"]
    head["source"], head["destination"] = meta["source"], meta["destination"]
    return head


def _checksums(batch: Datagrams, udp: NDArray[np.void]) -> Ints:
    """Return UDP checksums (RFC 768), 0 for datagrams that are not there in full."""
    total = udp.view(">u2").reshape(-1, 4).sum(axis=1, dtype=np.int64) + udp["length"] + _UDP
    for name in ("source", "destination"):
        # the prefix of a mapped address adds 0xffff, which is nothing modulo 0xffff
        total += np.ascontiguousarray(batch.meta[name]).view(">u2").reshape(-1, 8).sum(axis=1, dtype=np.int64)
    for size in np.unique(batch.kept).tolist():
        rows = batch.kept == size
        padded = np.zeros((int(np.count_nonzero(rows)), size + size % 2), np.uint8)
        padded[:, :size] = batch.data[rows, :size]
        total[rows] += padded.view(">u2").sum(axis=1, dtype=np.int64)
    checksum = 0xFFFF - _fold(total)
    # 0 means "none": the other zero of ones' complement is sent for it
    return np.where(batch.kept == batch.meta["size"], np.where(checksum == 0, 0xFFFF, checksum), 0)


def _fold(total: Ints) -> Ints:
    """Return the ones' complement sum in 16 bits; 0xffff for a sum that is a multiple of it, never 0 but for 0."""
    return np.where(total == 0, 0, (total - 1) % 0xFFFF + 1)


def _scatter(out: NDArray[np.uint8], at: Ints, records: NDArray[np.void]) -> None:
    size = records.dtype.itemsize
    into: NDArray[np.void] = np.ndarray((len(out) - size + 1,), f"V{size}", out, strides=(1,))
    into[at] = records.view(f"V{size}")
