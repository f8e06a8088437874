"""A recording's packets as datagrams again, as far as that is honest.

A recording holds who sent what when, not the payloads. Addresses, ports, length, TTL and time are the packet's own. Of
the payload only the header that the records determine is made again, a probe's or an RTP packet's fixed part; the rest
is left out, as by a short snap length, and nothing stands in for it. An RTP packet's type and marker are not recorded
and 0. A corrupt packet's header is not to be trusted, so none is made.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.model import (
    DATAGRAM_DTYPE,
    UNDEFINED_NS,
    Datagrams,
    PacketArray,
    PacketFlag,
    StreamInfo,
    address_bytes,
)
from protocols import probe, rtp

COMMENT = (
    "Made by multicast-harness from a recording, not captured: addresses, ports, lengths, TTL and times are the "
    "packets' own; headers are reconstructed; payloads were not recorded and are left out."
)
SEVERAL_IN_ONE = ("mpegts",)
"""Formats of which a datagram holds several packets, each with a row of its own: the datagrams are not known."""

_WIDTH = probe.HEADER_SIZE


def interface_names(streams: Iterable[StreamInfo]) -> dict[int, str]:
    """Return a name for each pair of receiver and interface, by the number that stands for it in the datagrams."""
    places = sorted({_place(info) for info in streams})
    return {
        number: f"{interface or 'unknown'}{f' at {receiver}' if receiver else ''}"
        for number, (receiver, interface) in enumerate(places, start=1)
    }


def datagrams(chunks: Iterable[PacketArray], streams: Sequence[StreamInfo]) -> Iterator[Datagrams]:
    """Yield packets as datagrams; those of SEVERAL_IN_ONE and misdelivered ones are left out.

    Args:
      chunks: arrays of PACKET_DTYPE.
      streams: what their stream numbers mean, complete.
    """
    places = {place: number for number, place in enumerate(sorted({_place(info) for info in streams}), start=1)}
    by_number = {info.number: info for info in streams}
    ends = {info.number: _ends(info, places[_place(info)]) for info in streams}
    for rows in chunks:
        is_frame = np.ones(len(rows), np.bool_)
        data, kept = np.zeros((len(rows), _WIDTH), np.uint8), np.zeros(len(rows), np.int64)
        meta = np.zeros(len(rows), DATAGRAM_DTYPE)
        for number in np.unique(rows["stream"]).tolist():
            which = np.flatnonzero(rows["stream"] == number)
            info = by_number[number]
            if info.protocol in SEVERAL_IN_ONE:
                is_frame[which] = False
                continue
            meta[which] = ends[number]
            _headers(rows, which, info, data, kept)
        meta["rx_ns"], meta["size"], meta["ttl"] = rows["rx_ns"], rows["size"], rows["ttl"]
        if not is_frame.all():
            data, kept, meta = data[is_frame], kept[is_frame], meta[is_frame]
        yield Datagrams(data, np.minimum(kept, meta["size"]), meta)


def _place(info: StreamInfo) -> tuple[str, str]:
    return info.receiver, info.interface or ""


def _ends(info: StreamInfo, ifindex: int) -> np.void:
    """Return what the datagrams of a stream have in common."""
    one = np.zeros(1, DATAGRAM_DTYPE)
    for name, text in (("source", info.source), ("destination", info.group)):
        host, _, port = text.rpartition(":")
        try:
            address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
            one[name], one[f"{name}_port"] = np.frombuffer(address_bytes(address), np.uint8), int(port)
        except (ValueError, OverflowError):  # not known: zeros
            continue
    one["ifindex"] = ifindex
    row: np.void = one[0]
    return row


def _headers(
    rows: PacketArray, which: NDArray[np.intp], info: StreamInfo, data: NDArray[np.uint8], kept: NDArray[np.int64]
) -> None:
    """Write the headers that are known."""
    seq, tx, flags = rows["seq"], rows["tx_ns"], rows["flags"]
    which = which[(flags[which] & PacketFlag.CORRUPT == 0) & (seq[which] >= 0) & (tx[which] != UNDEFINED_NS)]
    if info.protocol == "probe" and info.stream_id is not None and info.epoch is not None:
        for is_end in (False, True):
            mine = which[(flags[which] & PacketFlag.END != 0) == is_end]
            header = np.zeros((len(mine), probe.HEADER_SIZE), np.uint8)
            if not len(mine):
                continue
            probe.fill_probes(
                header,
                stream_id=info.stream_id,
                epoch=info.epoch,
                seq=seq[mine],
                tx_ns=tx[mine],
                schedule_start_ns=info.first_due_ns or 0,
                interval_ns=info.interval_ns or 0,
                flags=probe.FLAG_END if is_end else 0,
                count=(info.sent or 0) if is_end else 0,
            )
            data[mine, : probe.HEADER_SIZE], kept[mine] = header, probe.HEADER_SIZE
    elif info.protocol == "rtp" and info.clock_rate is not None and "ssrc" in info.key:
        head = np.zeros((len(which), rtp.HEADER_SIZE), np.uint8)
        head[:, 0] = rtp.VERSION << 6
        head[:, 2:4] = (seq[which] & 0xFFFF).astype(">u2").view(np.uint8).reshape(-1, 2)
        head[:, 4:8] = (tx[which] & 0xFFFFFFFF).astype(">u4").view(np.uint8).reshape(-1, 4)
        head[:, 8:12] = np.frombuffer(int(info.key["ssrc"], 16).to_bytes(4), np.uint8)
        data[which, : rtp.HEADER_SIZE], kept[which] = head, rtp.HEADER_SIZE
