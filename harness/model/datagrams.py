"""A batch of received datagrams as arrays: what `net` reads from a socket and `capture` from a file.

There is no Python object per packet: one 2-D array of payload bytes and one structured array beside it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.model.endpoint import IPAddress
from harness.model.packets import PacketArray, PacketFlag

DATAGRAM_DTYPE = np.dtype(
    [
        ("source", "u1", 16),
        ("destination", "u1", 16),
        ("source_port", ">u2"),
        ("destination_port", ">u2"),
        ("ifindex", "<u4"),
        ("rx_ns", "<i8"),
        ("size", "<u4"),
        ("ttl", "u1"),
        ("flags", "u1"),
        ("reserved", "<u2"),
    ]
)
"""What is known of one datagram beside its payload.

`source` and `destination` are IPv6 addresses in network order, an IPv4 address in its mapped form ::ffff:a.b.c.d (all
zero: not known). The first FLOW_BYTES bytes, addresses, ports and interface index, tell flows apart. `size` is the UDP
payload's length on the wire, also where fewer bytes were kept. `flags` are PacketFlag bits (TRUNCATED, USER_STAMP,
MISDELIVERED). `ttl` is 0 when not known.
"""

FLOW_BYTES = 40
"""Leading bytes of a DATAGRAM_DTYPE record that name its flow."""

FRONT_BYTES = 64
"""Leading bytes of a payload that a reader may keep apart from the rest: the header of nearly every protocol."""

RUN_DATAGRAMS = 64
"""Datagrams of a run at most (UDP_GRO); the kernel counts a run that a receive buffer drops as one."""

_MAPPED_PREFIX = bytes(10) + b"\xff\xff"


@dataclass(slots=True)
class Datagrams:
    """A batch of n datagrams.

    Attributes:
      data: payload bytes, shape (n, width), uint8; bytes of a row beyond the kept length are undefined.
      kept: how many bytes of each row are payload, shape (n,), <= width and <= meta["size"].
      meta: shape (n,), DATAGRAM_DTYPE.

    The arrays may be views of buffers that the next read overwrites: copy what must outlive the batch.
    """

    data: NDArray[np.uint8]
    kept: NDArray[np.int64]
    meta: PacketArray

    def __len__(self) -> int:
        return len(self.meta)

    @property
    def shared(self) -> PacketArray | None:
        """The one record that tells of all of them, but for the time: none is known."""
        return None

    @property
    def heads(self) -> PacketArray:
        """The records that there are: one for each datagram."""
        return self.meta

    @property
    def arrivals_ns(self) -> NDArray[np.int64]:
        """When what each record is of arrived, shape of `heads`; to be written, too."""
        return self.meta["rx_ns"]


@dataclass(slots=True)
class Alike:
    """A batch of n datagrams that differ in payload and time of arrival alone, as nearly all batches of a stream do.

    It reads like `Datagrams`, but what they share is there once. `data`, `kept` and `meta` are made anew each time that
    they are asked for.

    Attributes:
      front: the first bytes of each payload, side by side, shape (n, FRONT_BYTES or less), uint8.
      rows: the payloads but for those bytes, shape (n, width), uint8.
      heads: the one record, shape (1,), DATAGRAM_DTYPE, to be read only; its `rx_ns` says nothing. Batches with the
        same array are alike with each other, too.
      arrivals_ns: when each arrived, shape (n,); to be written, too.
      n_kept: bytes of each payload that are at hand at most.
    """

    front: NDArray[np.uint8]
    rows: NDArray[np.uint8]
    heads: PacketArray
    arrivals_ns: NDArray[np.int64]
    n_kept: int

    def __len__(self) -> int:
        return len(self.arrivals_ns)

    @property
    def shared(self) -> PacketArray | None:
        """The one record that tells of all of them, but for the time."""
        return self.heads

    @property
    def data(self) -> NDArray[np.uint8]:
        """The payload bytes, shape (n, width), uint8: `rows`, with what they lack filled in."""
        self.rows[:, : self.front.shape[1]] = self.front
        return self.rows

    @property
    def kept(self) -> NDArray[np.int64]:
        """How many bytes of each row are payload, shape (n,)."""
        return np.full(len(self), min(int(self.heads["size"][0]), self.n_kept), np.int64)

    @property
    def meta(self) -> PacketArray:
        """A record for each datagram, shape (n,), DATAGRAM_DTYPE; a copy."""
        meta = np.repeat(self.heads, len(self))
        meta["rx_ns"] = self.arrivals_ns
        return meta


@dataclass(slots=True)
class Runs:
    """A batch of n datagrams that came as k runs: equal datagrams of one flow, in one buffer with one time stamp.

    It reads like `Datagrams`, but what the datagrams of a run share is there once, so that a consumer who knows runs
    need not look at every datagram for it. `kept` and `meta` are made anew each time that they are asked for.

    Attributes:
      data: payload bytes, shape (n, width), uint8, the runs one after the other.
      heads: one record for each run, shape (k,), DATAGRAM_DTYPE; `size` is that of all its datagrams but the last.
      counts: datagrams of each run, shape (k,), 1 at least.
      tails: size of the last datagram of each run, shape (k,).
      shared: one record that tells of all buffers, but for the time, where all of them are alike; batches with the
        same array are alike with each other, too.
    """

    data: NDArray[np.uint8]
    heads: PacketArray
    counts: NDArray[np.int64]
    tails: NDArray[np.int64]
    shared: PacketArray | None = None

    def __len__(self) -> int:
        return len(self.data)

    @property
    def arrivals_ns(self) -> NDArray[np.int64]:
        """When each run arrived, shape (k,); to be written, too."""
        return self.heads["rx_ns"]

    def _sizes(self) -> NDArray[np.int64]:
        sizes = np.repeat(self.heads["size"].astype(np.int64), self.counts)
        sizes[np.cumsum(self.counts) - 1] = self.tails
        return sizes

    @property
    def kept(self) -> NDArray[np.int64]:
        """How many bytes of each row are payload, shape (n,)."""
        return np.minimum(self._sizes(), self.data.shape[1])

    @property
    def meta(self) -> PacketArray:
        """A record for each datagram, shape (n,), DATAGRAM_DTYPE; a copy."""
        meta = np.repeat(self.heads, self.counts)
        sizes = self._sizes()
        meta["size"] = sizes
        meta["flags"] |= (sizes > self.data.shape[1]) * np.uint8(PacketFlag.TRUNCATED)
        return meta


Batch = Datagrams | Alike | Runs
"""What one read of a socket gives."""


def most_dropped(n_drops: int, *, offload: bool) -> int:
    """Return how many datagrams a socket's buffer dropped at most, by the kernel's count of drops."""
    return n_drops * RUN_DATAGRAMS if offload else n_drops


def address_bytes(address: IPAddress) -> bytes:
    """Return an address as the 16 bytes of DATAGRAM_DTYPE.

    >>> address_bytes(ipaddress.ip_address("10.0.0.1")).hex()
    '00000000000000000000ffff0a000001'
    """
    return _MAPPED_PREFIX + address.packed if address.version == 4 else address.packed


def address_text(packed: bytes) -> str:
    """Return the address in 16 bytes of DATAGRAM_DTYPE as text; "" when it is not known.

    >>> address_text(address_bytes(ipaddress.ip_address("10.0.0.1"))), address_text(bytes(16))
    ('10.0.0.1', '')
    """
    if packed == bytes(16):
        return ""
    if packed.startswith(_MAPPED_PREFIX):
        return str(ipaddress.IPv4Address(packed[12:]))
    return str(ipaddress.IPv6Address(packed))
