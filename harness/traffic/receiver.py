"""Received datagrams -> packet records: decode, tell streams apart, count what is no packet of the protocol.

One batch at a time, as arrays. The usual batch is one stream: then telling streams apart is one comparison of arrays.
Nothing that the network sends raises here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from harness.model import (
    FLOW_BYTES,
    PACKET_DTYPE,
    UNDEFINED_NS,
    Batch,
    Datagrams,
    PacketArray,
    PacketFlag,
    Runs,
    TrainArray,
    address_text,
)
from harness.model.datagrams import FRONT_BYTES
from harness.traffic.following import KnownStream, flow_of, known_stream, split
from harness.traffic.media_clock import media_clock_rate
from harness.traffic.registry import MAX_STREAMS, StreamRegistry
from protocols.decoded import Decoded
from protocols.schema import Protocol

TOO_MANY = "too many streams"
CORRUPT_UNKNOWN = "corrupt, of no known stream"
NO_STREAM = -1
MAX_KNOWN = 4096
"""Flows whose stream is remembered for the quick way; about a kilobyte each."""
_IFINDEX = slice(36, FLOW_BYTES)
"""Where a flow, and so a stream's key, holds the interface's index."""
_FIRST = 128
"""Of a flow that is new, so many datagrams are looked at the long way first; it may show that no more need be."""
MAX_STRAY_FLOWS = 20
"""How many misdelivered flows are named; the rest is only counted."""


class Demultiplexer:
    """Turns the datagrams of one receiver into packet records of numbered streams.

    Args:
      protocol: how payloads are decoded.
      registry: numbers the streams; shared by all receivers of a run.
      receiver: the receiver's name.
      interfaces: interface names by index, for the stream's entry.

    Attributes:
      rejected: datagrams that are no packet of the protocol, by reason.
      unchecked: packets whose payload has a check of its own, and was not at hand as a whole.
      misdelivered: datagrams that came to where this receiver did not ask for them; they are counted, not recorded.
      clock_rates: by stream number, the rate of its media clock and how it is known; only where the format leaves it
        open. Without a rate the clock's stamps mean nothing, and the records have no send time.
      is_following: the last batch was read by the first FRONT_BYTES of its packets alone, and so may the next be, for
        all that the protocol looks at; what it would have looked at behind them is flagged.
      misdelivered_flows: "source > destination" of the first few of them, with counts.
    """

    def __init__(
        self,
        protocol: Protocol,
        registry: StreamRegistry,
        receiver: str = "",
        interfaces: dict[int, str] | None = None,
    ) -> None:
        self.protocol, self.registry, self.receiver = protocol, registry, receiver
        self.interfaces = {} if interfaces is None else interfaces
        self.rejected: Counter[str] = Counter()
        self.misdelivered = self.unchecked = 0
        self.misdelivered_flows: Counter[str] = Counter()
        self.clock_rates: dict[int, tuple[int | None, str]] = {}
        self._has_clock = np.zeros(MAX_STREAMS, np.bool_)
        self._numbers: dict[bytes, int] = {}
        self._last_of_flow: dict[bytes, int] = {}
        self._known: dict[bytes, KnownStream] = {}
        self._latest: tuple[PacketArray | None, KnownStream | None] = None, None
        self._first_index: dict[int, int] = {}
        self._fronts_tell = protocol.looks_behind is not None and protocol.layout.size <= FRONT_BYTES
        self.is_following = False

    def refresh_interfaces(self, names: Mapping[int, str]) -> None:
        """Take the interfaces of this machine as they are now, names by index, beside those known before.

        One that was removed and made again under its name has another index; what comes by it continues the streams
        that came by the one before.
        """
        last = {name: index for index, name in self.interfaces.items()}
        for index, name in names.items():
            before = last.get(name)
            if index not in self.interfaces and before is not None and before not in names:
                self._first_index[index] = self._first_index.get(before, before)
        self.interfaces |= names

    def receive(self, batch: Batch) -> PacketArray:
        """Return the records of a batch, shape (m,), PACKET_DTYPE, in order of arrival; empty when none was valid.

        The array is the caller's. A batch that continues a stream of one seen before is read as such, to the same
        records.
        """
        if not len(batch):
            return np.empty(0, dtype=PACKET_DTYPE)
        records = self._quick(batch)
        self.is_following = records is not None and self._fronts_tell
        if records is not None:  # nearly always
            return records
        first, *others = self._parts(batch)
        records = self._long(first)
        for rest in others:
            found = self._quick(rest)
            records = np.concatenate([records, self._long(rest) if found is None else found])
        return records

    def take(self, batch: Batch) -> Iterator[PacketArray | TrainArray]:
        """Give the records of a batch in their order: TRAIN_DTYPE where runs are trains, else as `receive` does."""
        for part in self._parts(batch) if isinstance(batch, Runs) else (batch,):
            trains = self.trains(part) if isinstance(part, Runs) else None
            yield self.receive(part) if trains is None else trains

    def _parts(self, batch: Batch) -> tuple[Batch, ...]:
        """Return a batch of a flow that is new as two: the first may show that the rest continues one stream."""
        if self.protocol.follow is None or len(batch) <= _FIRST or flow_of(batch) in self._known:
            return (batch,)
        return split(batch, _FIRST)

    def _quick(self, batch: Batch) -> PacketArray | None:
        """Return the records of a batch that continues a known stream; None when it does not, or may not."""
        known = self._find(batch)
        records = None if known is None else known.records(batch)
        if known is not None and records is not None:
            self._note(batch, known)
        return records

    def _find(self, batch: Batch) -> KnownStream | None:
        """Return the stream that a batch continues, by its first datagram."""
        shared, known = self._latest
        return known if shared is not None and batch.shared is shared else self._known.get(flow_of(batch))

    def _note(self, batch: Batch, known: KnownStream) -> None:
        """Note that a batch was all of a stream."""
        if batch.shared is None or batch.shared is not self._latest[0]:
            self._last_of_flow[known.flow] = known.number
            self._latest = batch.shared, known

    def _long(self, batch: Batch) -> PacketArray:
        """Return the records of a batch, looked at packet by packet, and remember its stream if it is one alone."""
        self._latest = None, None
        flow = flow_of(batch)
        records = self._receive(
            batch if isinstance(batch, Datagrams) else Datagrams(batch.data, batch.kept, batch.meta)
        )
        learned = known_stream(self.protocol, batch, records)
        if learned is not None and (flow in self._known or len(self._known) < MAX_KNOWN):
            self._known[flow] = learned
        return records

    def trains(self, runs: Runs) -> TrainArray | None:
        """Return the records of a batch as trains, TRAIN_DTYPE, shape (k,); None: it takes `receive` to tell them."""
        known = self._find(runs)
        found = None if known is None else known.trains(runs)
        if known is not None and found is not None:
            self._note(runs, known)
        return found

    def _receive(self, datagrams: Datagrams) -> PacketArray:
        datagrams = self._without_misdelivered(datagrams)
        meta = datagrams.meta
        if not len(meta):
            return np.empty(0, dtype=PACKET_DTYPE)
        decoded = self.protocol.decode(datagrams.data, datagrams.kept, meta["size"].astype(np.int64))
        for code, n in enumerate(np.bincount(decoded.reject).tolist()):
            if code and n:
                self.rejected[self.protocol.reject_reasons[code]] += n
        if not len(decoded):
            return np.empty(0, dtype=PACKET_DTYPE)
        is_one_each = self.protocol.records is None and len(decoded) == len(meta)
        of_record = meta if is_one_each else meta[decoded.row]
        records = np.zeros(len(decoded), dtype=PACKET_DTYPE)
        records["seq"], records["tx_ns"] = decoded.seq, decoded.tx
        records["rx_ns"], records["ttl"] = of_record["rx_ns"], of_record["ttl"]
        records["size"] = np.minimum(of_record["size"], 0xFFFF)
        records["flags"] = decoded.flags | of_record["flags"]
        self.unchecked += int(np.count_nonzero(decoded.flags & np.uint8(PacketFlag.TRUNCATED)))
        number = self._stream_numbers(decoded, meta)
        records["stream"] = np.maximum(number, 0)
        if self.protocol.clock is not None and self.protocol.clock_rate is None:
            self._settle_clocks(decoded, records, number)
        self._note_ends(decoded, records, number)
        is_known = number != NO_STREAM
        return records if is_known.all() else records[is_known]

    def _without_misdelivered(self, datagrams: Datagrams) -> Datagrams:
        is_stray = (datagrams.meta["flags"] & PacketFlag.MISDELIVERED) != 0
        n_stray = int(np.count_nonzero(is_stray))
        if not n_stray:
            return datagrams
        self.misdelivered += n_stray
        flows = datagrams.meta[is_stray][["source", "destination", "destination_port"]]
        for flow, n in zip(*np.unique(flows, return_counts=True), strict=True):
            source, destination = address_text(flow["source"].tobytes()), address_text(flow["destination"].tobytes())
            name = f"{source} > {destination}:{flow['destination_port']}"
            if name in self.misdelivered_flows or len(self.misdelivered_flows) < MAX_STRAY_FLOWS:
                self.misdelivered_flows[name] += int(n)
        keep = ~is_stray
        return Datagrams(datagrams.data[keep], datagrams.kept[keep], datagrams.meta[keep])

    def _stream_numbers(self, decoded: Decoded, meta: PacketArray) -> NDArray[np.int64]:
        """Return the stream number of each record, NO_STREAM where it has none."""
        if _is_one_stream(decoded, meta):
            key = meta[:1].view(np.uint8)[:FLOW_BYTES].tobytes() + decoded.key[0].tobytes()
            return np.full(len(decoded), self._number_of(key, decoded, meta, 0, len(decoded)))
        flows = np.ascontiguousarray(meta).view(np.uint8).reshape(len(meta), -1)[decoded.row, :FLOW_BYTES]
        is_untrusted = ~decoded.is_keyed
        keys = np.concatenate([flows, decoded.key], axis=1) if decoded.key.shape[1] else flows
        if is_untrusted.any():
            # a damaged header cannot say whose it is: count it with the last stream heard on the same flow
            number = np.full(len(keys), NO_STREAM, dtype=np.int64)
            trusted = np.flatnonzero(~is_untrusted)
            number[trusted] = self._numbers_of(keys[trusted], decoded, meta, trusted)
            for place in np.flatnonzero(is_untrusted).tolist():
                number[place] = self._last_of_flow.get(flows[place].tobytes(), NO_STREAM)
            self.rejected[CORRUPT_UNKNOWN] += int(np.count_nonzero(is_untrusted & (number == NO_STREAM)))
            self.rejected += Counter()  # drops the zero
            return number
        return self._numbers_of(keys, decoded, meta, np.arange(len(keys)))

    def _numbers_of(
        self, keys: NDArray[np.uint8], decoded: Decoded, meta: PacketArray, places: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the stream numbers of records with trusted keys; `places` are their rows in `decoded`."""
        if not len(keys):
            return np.empty(0, dtype=np.int64)
        if (keys == keys[0]).all():
            return np.full(len(keys), self._number_of(keys[0].tobytes(), decoded, meta, int(places[0]), len(keys)))
        as_items = np.ascontiguousarray(keys).view(np.dtype((np.void, keys.shape[1]))).ravel()
        unique, first, inverse, n_each = np.unique(as_items, return_index=True, return_inverse=True, return_counts=True)
        by_unique = np.empty(len(unique), dtype=np.int64)
        for place in np.argsort(first).tolist():  # numbered in the order of arrival
            at = int(places[first[place]])
            by_unique[place] = self._number_of(unique[place].tobytes(), decoded, meta, at, int(n_each[place]))
        return by_unique[inverse]

    def _number_of(self, key: bytes, decoded: Decoded, meta: PacketArray, place: int, n_packets: int) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers.get(self._by_first_index(key))
            if number is None:
                number = self._add(decoded, meta[decoded.row[place]], place)
            if number == NO_STREAM:
                self.rejected[TOO_MANY] += n_packets
                return NO_STREAM
            self._numbers[key] = number
        self._last_of_flow[key[:FLOW_BYTES]] = number
        return number

    def _by_first_index(self, key: bytes) -> bytes:
        """Return a key with the index that its interface had when it was first known."""
        first = self._first_index.get(int.from_bytes(key[_IFINDEX], "little"))
        return key if first is None else key[: _IFINDEX.start] + first.to_bytes(4, "little") + key[_IFINDEX.stop :]

    def _add(self, decoded: Decoded, meta: np.void, place: int) -> int:
        """Register the stream of one record; return its number."""
        protocol = self.protocol
        interval_ns = _at(decoded.interval_ns, place)
        info = self.registry.add(
            receiver=self.receiver,
            source=_endpoint(meta["source"], meta["source_port"]),
            group=_endpoint(meta["destination"], meta["destination_port"]),
            interface=self.interfaces.get(int(meta["ifindex"])),
            protocol=protocol.name,
            stream_id=_at(decoded.stream_id, place),
            epoch=_at(decoded.epoch, place),
            key=decoded.key_text(place),
            sequence_bits=protocol.sequence_bits,
            sequence_first=protocol.sequence_first,
            sequence_modulus=protocol.sequence_modulus,
            clock_rate=protocol.clock_rate,
            clock_bits=protocol.clock_bits,
            first_due_ns=_at(decoded.schedule_start_ns, place),
            interval_ns=protocol.interval_ns if interval_ns is None else interval_ns,
        )
        return NO_STREAM if info is None else info.number

    def _settle_clocks(self, decoded: Decoded, records: PacketArray, number: NDArray[np.int64]) -> None:
        """Find out the clock rates of new streams; leave no send time in records of those that have none."""
        present = number[:1] if (number == number[0]).all() else np.unique(number)
        for new in present.tolist():
            if new == NO_STREAM or new in self.clock_rates:
                continue
            places = np.flatnonzero((number == new) & decoded.is_keyed)
            self.clock_rates[new] = found = media_clock_rate(self.protocol, decoded, places, records["rx_ns"][places])
            if found[0] is not None:
                self.registry.update(new, clock_rate=found[0])
                self._has_clock[new] = True
        if not self._has_clock[np.maximum(present, 0)].all():
            records["tx_ns"][~self._has_clock[records["stream"]]] = UNDEFINED_NS

    def _note_ends(self, decoded: Decoded, records: PacketArray, number: NDArray[np.int64]) -> None:
        is_end = ((records["flags"] & PacketFlag.END) != 0) & (number != NO_STREAM)
        if not is_end.any() or decoded.count is None:
            return
        for place in np.flatnonzero(is_end).tolist():
            self.registry.end(int(number[place]), int(decoded.count[place]))


def _is_one_stream(decoded: Decoded, meta: PacketArray) -> bool:
    """Whether all records are of one stream, which is the usual case and needs no sorting."""
    words = np.ascontiguousarray(meta).view(np.uint64).reshape(len(meta), -1)[:, : FLOW_BYTES // 8]
    is_one_flow = bool((words == words[0]).all())
    return is_one_flow and bool((decoded.key == decoded.key[0]).all()) and bool(decoded.is_keyed.all())


def _at(column: NDArray[np.int64] | None, place: int) -> int | None:
    return None if column is None else int(column[place])


def _endpoint(address: NDArray[np.uint8], port: int) -> str:
    text = address_text(address.tobytes())
    if not text:
        return ""
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"
