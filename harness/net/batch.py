"""The way datagrams are moved, chosen once: many a system call where the system can, else one.

Both ways have the same methods and give the same records for the same traffic.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.model.datagrams import Batch
from harness.net._options import Arrival
from harness.net.batch_portable import PortableReader, PortableWriter
from harness.net.platform import PLATFORM, RxSource
from harness.net.ready import ReadyRows

if PLATFORM.has_batch:
    from harness.net.batch_linux import BatchWriter
    from harness.net.batch_reader import BatchReader
    from harness.net.offload_reader import OffloadReader
    from harness.net.tx_stamps import TxStamps

PathChoice = Literal["auto", "batch", "portable"]
Path = Literal["batch", "portable"]


class Reader(Protocol):
    """Reads datagrams from one socket into buffers of its own."""

    @property
    def path(self) -> str:
        """Which way this is: "batch" or "portable"."""

    @property
    def offload(self) -> bool:
        """Whether runs of datagrams move as one buffer."""

    @property
    def last_drops(self) -> int | None:
        """The socket's drop counter as of the last datagram read; None when none told it."""

    @property
    def is_full(self) -> bool:
        """Whether the last read took as much as one can, so that more may wait."""

    @property
    def hardware_ns(self) -> NDArray[np.int64]:
        """When the datagrams last read came by the card's own clock, 0 where it says nothing; not with offload."""

    @property
    def can_gather(self) -> bool:
        """Whether `gather` would keep what waits; never where that gains nothing."""

    @property
    def n_gathered(self) -> int:
        """Datagrams kept for the next `read`."""

    def imply(self, arrival: Arrival, /) -> None:
        """Take it for what datagrams read from now on do not tell of destination and interface."""

    def keep_fronts(self, is_enough: bool, /) -> None:
        """Keep, from the next read on, only the first bytes of each datagram, where that gains something, or again all.

        Heeded while nothing is gathered.
        """

    def gather(self) -> int:
        """Take what waits in the socket out of it, for the next `read`, and return how many datagrams that was."""

    def read(self) -> Batch | None:
        """Return what was gathered and what waits, with offload as runs, until the next read; None for nothing."""


class Writer(Protocol):
    """Sends datagrams through one socket."""

    @property
    def path(self) -> str:
        """Which way this is: "batch" or "portable"."""

    @property
    def offload(self) -> bool:
        """Whether runs of datagrams move as one buffer."""

    @property
    def next_number(self) -> int:
        """With stamps, number of the first datagram of the next `send`; each has one, whatever becomes of it."""

    def one(self, row: NDArray[np.uint8]) -> Callable[[], int]:
        """Return what sends this row as it then stands, shape (1, size), without further ado, and returns the errno.

        It bypasses the numbering of transmit stamps.
        """

    def front_bytes(self, size: int, /) -> int:
        """Return how many bytes of rows of a size `ready` wants of each, where the rest of all of them is the same."""

    def ready(
        self, fronts: NDArray[np.uint8], rest: NDArray[np.uint8], find_source: Callable[[], str | None], /
    ) -> ReadyRows:
        """Return what sends rows as they then stand: each of the fronts, and the same rest behind it.

        It bypasses the numbering of transmit stamps. `find_source` returns the route's source address.
        """

    def rehearsal(self, open_scratch: Callable[[], socket.socket], size: int, /) -> Callable[[], bool]:
        """Return what goes the way of `one` as far as that can be without sending, and returns whether it is refused.

        It goes it on a socket like this one, if there is such a way; OSError when that cannot be.
        """

    def run_length(self, size: int, /) -> int:
        """Return how many rows of a size go out as one buffer, 1 without offload."""

    def send(self, data: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Send each row; return the errno of each, 0 where it went out."""


def choose_path(path: PathChoice, offload: bool, tx_stamps: bool = False) -> Path:
    """Return the way to take.

    Raises:
      UsageError: this system has no batch path, or offload or transmit stamps were asked for without it, or both at
        once.
    """
    chosen: Path = "batch" if path == "batch" or (path == "auto" and PLATFORM.has_batch) else "portable"
    if chosen == "batch" and not PLATFORM.has_batch:
        raise UsageError(f"the batch path needs recvmmsg, which {PLATFORM.name} does not have; use the portable path")
    if offload and chosen == "portable":
        raise UsageError(f"--offload needs the batch path, which is Linux's; this is {PLATFORM.name}, path {path}")
    if tx_stamps and chosen == "portable":
        raise UsageError(f"--tx-stamps needs the batch path, which is Linux's; this is {PLATFORM.name}, path {path}")
    if tx_stamps and offload:
        raise UsageError("--tx-stamps with --offload: datagrams of one buffer share a stamp; leave one of them out")
    return chosen


def make_reader(
    sock: socket.socket, path: Path, *, width: int, capacity: int, offload: bool, stamps: RxSource
) -> Reader:
    """Return a reader for a bound, non-blocking socket; `stamps`: whose it asked for."""
    if path == "batch" and offload:
        return OffloadReader(sock, width=width, capacity=capacity)
    if path == "batch":
        return BatchReader(sock, width=width, capacity=capacity, stamps=stamps)
    return PortableReader(sock, width=width, capacity=capacity)


def make_writer(
    sock: socket.socket,
    path: Path,
    destination: tuple[str | int, ...] | None,
    packed: bytes | None,
    *,
    offload: bool,
    stamps: TxStamps | None = None,
) -> Writer:
    """Return a writer for a non-blocking socket; the destination, in both its forms, is None for a connected one."""
    if path == "batch":
        return BatchWriter(sock, packed, offload=offload, stamps=stamps)
    return PortableWriter(sock, destination)


def make_tx_stamps(sock: socket.socket) -> TxStamps:
    """Ask the kernel to stamp what this socket will send; only for the batch path, which `choose_path` has made sure.

    Raises:
      SocketOptionError: the kernel gives no transmit stamps.
    """
    return TxStamps(sock)
