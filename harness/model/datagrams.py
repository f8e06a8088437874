"""A batch of received datagrams as arrays: what `net` reads from a socket and `capture` from a file.

There is no Python object per packet: one 2-D array of payload bytes and one structured array beside it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.model.endpoint import IPAddress
from harness.model.packets import PacketArray

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
