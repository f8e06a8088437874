"""Datagrams counted in equal bins, flow by flow, a whole batch at a time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.model import PacketArray
from harness.model.datagrams import DATAGRAM_DTYPE, FLOW_BYTES, address_text

BIN_NS = 50_000_000
MAX_BINS = 36_000
"""Half an hour of bins; a longer run has longer ones."""

MAX_FLOWS = 64
"""Flows that are told apart; a flood from forged addresses must not eat the memory."""

_WORDS = DATAGRAM_DTYPE.itemsize // 8
_FLOW_WORDS = FLOW_BYTES // 8
_MIX, _HALF = np.uint64(0x9E3779B97F4A7C15), np.uint64(32)


class BinCounts:
    """Counts in equal bins from `start_ns` on; the bins double when there would be too many.

    >>> counts = BinCounts(0, 10)
    >>> counts.add(np.array([3, 12, 15], np.int64))
    >>> counts.until(35)
    [1, 2, 0, 0]
    """

    def __init__(self, start_ns: int, bin_ns: int = BIN_NS, max_bins: int = MAX_BINS) -> None:
        self.start_ns, self.bin_ns, self._max_bins = start_ns, bin_ns, max_bins
        self._counts = np.zeros(256, np.int64)

    def add(self, times_ns: NDArray[np.int64]) -> None:
        """Count moments, shape (n,); those before the start go into the first bin."""
        if not len(times_ns):
            return
        self._make_room(int(times_ns.max()))
        bins = np.maximum((times_ns - self.start_ns) // self.bin_ns, 0)
        first = int(bins.min())
        found = np.bincount(bins - first)
        self._counts[first : first + len(found)] += found

    def _make_room(self, last_ns: int) -> None:
        while (last_ns - self.start_ns) // self.bin_ns >= self._max_bins:
            self._counts = np.append(self._counts, np.zeros(len(self._counts) % 2, np.int64)).reshape(-1, 2).sum(axis=1)
            self.bin_ns *= 2
        n_bins = (last_ns - self.start_ns) // self.bin_ns + 1
        if n_bins > len(self._counts):
            self._counts = np.append(self._counts, np.zeros(max(n_bins, len(self._counts)), np.int64))

    def until(self, end_ns: int) -> list[int]:
        """Return the counts of all bins up to the one that holds `end_ns`."""
        self._make_room(max(end_ns, self.start_ns))
        n_bins = max(0, (end_ns - self.start_ns) // self.bin_ns + 1)
        counts: list[int] = self._counts[:n_bins].tolist()
        return counts


@dataclass(frozen=True, slots=True)
class Flow:
    """Who sent, to whom, and where it was heard: addresses with ports as text, the interface's index."""

    source: str
    destination: str
    port: int
    ifindex: int


@dataclass
class FlowCounts:
    """Counts of many flows.

    Attributes:
      n_total: datagrams counted.
      n_untold: datagrams of flows beyond the MAX_FLOWS that are told apart.
    """

    start_ns: int
    n_total: int = 0
    n_untold: int = 0
    _known: dict[bytes, BinCounts] = field(default_factory=dict)

    def add(self, meta: PacketArray) -> None:
        """Count datagrams, shape (n,) of DATAGRAM_DTYPE, `rx_ns` on the run's time line."""
        if not len(meta):
            return
        self.n_total += len(meta)
        words = np.ascontiguousarray(meta).view(np.uint64).reshape(len(meta), _WORDS)[:, :_FLOW_WORDS]
        if (words == words[0]).all():  # nearly always
            self._count(words[0], meta["rx_ns"])
            return
        mixed = np.zeros(len(words), np.uint64)
        for column in range(_FLOW_WORDS):
            mixed = (mixed ^ words[:, column]) * _MIX
            mixed ^= mixed >> _HALF
        _, first, of = np.unique(mixed, return_index=True, return_inverse=True)
        for number, place in enumerate(first.tolist()):
            self._count(words[place], meta["rx_ns"][of == number])

    def _count(self, flow: NDArray[np.uint64], times_ns: NDArray[np.int64]) -> None:
        key = flow.tobytes()
        if key not in self._known:
            if len(self._known) >= MAX_FLOWS:
                self.n_untold += len(times_ns)
                return
            self._known[key] = BinCounts(self.start_ns)
        self._known[key].add(times_ns)

    def flows(self) -> list[tuple[Flow, BinCounts]]:
        """Return what was heard, in the order in which it was first heard."""
        return [(_flow_of(key), counts) for key, counts in self._known.items()]


def _flow_of(key: bytes) -> Flow:
    (row,) = np.frombuffer(key.ljust(DATAGRAM_DTYPE.itemsize, b"\0"), DATAGRAM_DTYPE)
    return Flow(
        source=endpoint_text(row["source"].tobytes(), int(row["source_port"])),
        destination=address_text(row["destination"].tobytes()),
        port=int(row["destination_port"]),
        ifindex=int(row["ifindex"]),
    )


def endpoint_text(packed: bytes, port: int) -> str:
    r"""Return address and port as everywhere: "10.0.0.1:5000", "[fd77::1]:5000".

    >>> endpoint_text(bytes(10) + b"\xff\xff\x0a\x00\x00\x01", 5000)
    '10.0.0.1:5000'
    """
    text = address_text(packed)
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
