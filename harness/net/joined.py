"""What one socket asked for, and which datagrams of a batch are not that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.model.datagrams import DATAGRAM_DTYPE, address_bytes
from harness.model.endpoint import IPAddress
from harness.model.packets import PacketArray

_FOREVER_NS = 2**63 - 1
_WORDS = DATAGRAM_DTYPE.itemsize // 8
_DESTINATION, _SOURCE = slice(2, 4), slice(0, 2)
"""A record as 64-bit words: two of the source, two of the destination, one of both ports and the interface, ..."""

_FLOW = slice(0, 5)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One destination that a socket asked for.

    Attributes:
      destination: the group or own address.
      ifindex: the only interface that it may come in by; 0 for any.
      source: the only source that is wanted, or None.
      until_ns: when the socket left it, kernel's realtime; what arrived before was still asked for.
    """

    destination: IPAddress
    ifindex: int = 0
    source: IPAddress | None = None
    until_ns: int = _FOREVER_NS


class WantedTable:
    """Finds strays in whole batches: datagrams to a destination, or by an interface, that was not asked for.

    The destinations are sorted by a 64-bit mix of their bytes; a row is looked up by bisection and then compared in
    full, once for each entry that shares its mix (the same group on two interfaces, from two sources).

    Args:
      wanted: in any order; empty: everything is wanted.
    """

    def __init__(self, wanted: list[Wanted]) -> None:
        halves = [np.frombuffer(address_bytes(one.destination), np.uint64) for one in wanted]
        destinations = np.array(halves, np.uint64).reshape(len(wanted), 2)
        order = np.argsort(_mix(destinations), kind="stable")
        self._destinations = destinations[order]
        self._keys = _mix(self._destinations)
        self._ifindexes = np.array([one.ifindex for one in wanted], np.uint32)[order]
        sources = [address_bytes(one.source) if one.source else bytes(16) for one in wanted]
        self._sources = np.array([np.frombuffer(one, np.uint64) for one in sources]).reshape(len(wanted), 2)[order]
        self._until_ns = np.array([one.until_ns for one in wanted], np.int64)[order]
        self._has_sources = bool(self._sources.any())
        self._only = _only(wanted)
        self._n_same = int(np.unique(self._keys, return_counts=True)[1].max()) if wanted else 0

    def is_certain(self, meta: PacketArray) -> bool:
        """Return whether all of these were surely asked for, whenever they came; meta: shape (n,), DATAGRAM_DTYPE."""
        if self._only is None:
            return not len(self._keys)
        mask, expected = self._only
        words = meta.view(np.uint64).reshape(len(meta), _WORDS)
        return bool(((words[:, _FLOW] & mask) == expected).all())

    def is_stray(self, meta: PacketArray) -> NDArray[np.bool_]:
        """Return which datagrams were not asked for, shape (n,); an unknown destination or interface is given credit.

        Args:
          meta: shape (n,), DATAGRAM_DTYPE.
        """
        n_rows = len(meta)
        words = meta.view(np.uint64).reshape(n_rows, _WORDS)
        if self.is_certain(meta):  # nearly always
            return np.zeros(n_rows, np.bool_)
        destinations = words[:, _DESTINATION]
        first = np.searchsorted(self._keys, _mix(destinations))
        is_wanted: NDArray[np.bool_] = ~np.any(destinations, axis=1)
        for step in range(self._n_same):
            entry = np.minimum(first + step, len(self._keys) - 1)
            fits = (self._destinations[entry] == destinations).all(axis=1)
            ifindex = self._ifindexes[entry]
            fits &= (ifindex == 0) | (meta["ifindex"] == 0) | (ifindex == meta["ifindex"])
            fits &= meta["rx_ns"] <= self._until_ns[entry]
            if self._has_sources:
                source = self._sources[entry]
                fits &= ~source.any(axis=1) | (source == words[:, _SOURCE]).all(axis=1)
            is_wanted |= fits
        return np.logical_not(is_wanted)


def _only(wanted: list[Wanted]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]] | None:
    """Return mask and value of the first words of a record that is certainly wanted, when one thing alone is."""
    if len(wanted) != 1 or wanted[0].until_ns != _FOREVER_NS:
        return None
    (one,) = wanted
    mask, value = np.zeros((2, 1), DATAGRAM_DTYPE)
    everything = np.uint8(0xFF)
    mask["destination"], value["destination"][0] = everything, np.frombuffer(address_bytes(one.destination), np.uint8)
    if one.ifindex:
        mask["ifindex"], value["ifindex"] = 0xFFFFFFFF, one.ifindex
    if one.source is not None:
        mask["source"], value["source"][0] = everything, np.frombuffer(address_bytes(one.source), np.uint8)
    return mask.view(np.uint64)[_FLOW], value.view(np.uint64)[_FLOW]


def _mix(halves: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64 bits for each pair of halves, shape (n, 2) -> (n,); products wrap."""
    mixed: NDArray[np.uint64] = halves[:, 0] * _MIX + halves[:, 1]
    return mixed
