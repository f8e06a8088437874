"""Datagrams of many flows and formats, as a capture holds them -> packet records of numbered streams.

Each destination gets its format: the one that the user names, or a guess from its first datagrams, which is said.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from harness.model import PACKET_DTYPE, Datagrams, PacketArray, address_text
from harness.traffic.receiver import Demultiplexer
from harness.traffic.registry import StreamRegistry
from protocols.registry import guess
from protocols.schema import Protocol

_DESTINATION = slice(16, 36)
"""Where DATAGRAM_DTYPE holds destination address, source port and destination port."""
_SOURCE_PORT = slice(16, 18)
"""Within those 20 bytes; it is no part of what names a destination."""


class Router:
    """Sends each datagram to the demultiplexer of its destination's format.

    Args:
      registry: numbers the streams.
      protocol: the format of everything; None guesses for each destination.
      interfaces: interface names by index.
      clock_rate: of the media clock of formats that leave it open, where the user knows it.

    Attributes:
      guesses: "239.1.2.3:5004" -> (format, why), in the order in which destinations appeared; empty without guessing.
    """

    def __init__(
        self,
        registry: StreamRegistry,
        protocol: Protocol | None = None,
        interfaces: dict[int, str] | None = None,
        clock_rate: int | None = None,
    ) -> None:
        self.registry, self.protocol, self._clock_rate = registry, protocol, clock_rate
        self.guesses: dict[str, tuple[str, str]] = {}
        self._interfaces = {} if interfaces is None else interfaces  # may be filled later
        self._demultiplexers: dict[str, Demultiplexer] = {}
        self._by_destination: dict[bytes, Demultiplexer] = {}

    @property
    def rejected(self) -> Counter[str]:
        """Datagrams that are no packet of their format, by reason, over all destinations."""
        return sum((demultiplexer.rejected for demultiplexer in self._demultiplexers.values()), Counter())

    @property
    def clock_rates(self) -> dict[int, tuple[int | None, str]]:
        """By stream number, the rate of its media clock and how it is known; only where the format leaves it open."""
        return {number: found for each in self._demultiplexers.values() for number, found in each.clock_rates.items()}

    def receive(self, datagrams: Datagrams) -> PacketArray:
        """Return the records of a batch; in order of arrival for each format, and so for each stream."""
        if not len(datagrams):
            return np.empty(0, dtype=PACKET_DTYPE)
        if self.protocol is not None:
            return self._demultiplexer(self.protocol).receive(datagrams)
        raw = np.ascontiguousarray(datagrams.meta).view(np.uint8).reshape(len(datagrams), -1)
        keys = raw[:, _DESTINATION].copy()
        keys[:, _SOURCE_PORT] = 0
        if (keys == keys[0]).all():
            return self._of_destination(keys[0].tobytes(), datagrams).receive(datagrams)
        items = keys.view(np.dtype((np.void, keys.shape[1]))).ravel()
        unique, first, inverse = np.unique(items, return_index=True, return_inverse=True)
        places: dict[int, list[int]] = {}
        chosen: dict[int, Demultiplexer] = {}
        for place in np.argsort(first).tolist():
            is_mine = inverse == place if unique[place].tobytes() not in self._by_destination else None
            demultiplexer = self._of_destination(
                unique[place].tobytes(), datagrams if is_mine is None else _select(datagrams, np.flatnonzero(is_mine))
            )
            chosen[id(demultiplexer)] = demultiplexer
            places.setdefault(id(demultiplexer), []).append(place)
        records = [
            chosen[which].receive(_select(datagrams, np.flatnonzero(np.isin(inverse, mine))))
            for which, mine in places.items()
        ]
        return np.concatenate(records)

    def _of_destination(self, key: bytes, sample: Datagrams) -> Demultiplexer:
        """Return the demultiplexer of a destination, guessing its format from a sample when it is new."""
        if key not in self._by_destination:
            port = int.from_bytes(key[18:20], "big")
            protocol, why = guess(sample.data, sample.kept, sample.meta["size"].astype(np.int64), {port})
            address = address_text(key[:16])
            self.guesses[f"[{address}]:{port}" if ":" in address else f"{address}:{port}"] = (protocol.name, why)
            self._by_destination[key] = self._demultiplexer(protocol)
        return self._by_destination[key]

    def _demultiplexer(self, protocol: Protocol) -> Demultiplexer:
        if protocol.name not in self._demultiplexers:
            if protocol.clock is not None and protocol.clock_rate is None and self._clock_rate is not None:
                protocol = protocol.with_options(clock_rate=self._clock_rate)
            self._demultiplexers[protocol.name] = Demultiplexer(protocol, self.registry, interfaces=self._interfaces)
        return self._demultiplexers[protocol.name]


def _select(datagrams: Datagrams, places: NDArray[np.intp]) -> Datagrams:
    return Datagrams(datagrams.data[places], datagrams.kept[places], datagrams.meta[places])
