"""What several socket tests share: free ports, payloads, and reading until everything is there."""

import itertools
import os
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from harness.model import DATAGRAM_DTYPE, PacketArray
from harness.net.platform import PLATFORM
from harness.net.receiver import ReceiverSocket

_PORTS = itertools.count(20_000 + os.getpid() % 1000 * 10)


def next_port() -> int:
    """Return a port below the ephemeral range that no other test of this process uses."""
    return next(_PORTS)


def payloads(n: int, size: int) -> NDArray[np.uint8]:
    """Return n different payloads; those of 4 bytes and more begin with their number."""
    rows = np.random.default_rng(7).integers(0, 256, (n, size), np.uint8)
    if size >= 4:
        rows[:, :4] = np.arange(n, dtype="<u4").view(np.uint8).reshape(n, 4)
    return rows


def read_all(
    receiver: ReceiverSocket, n_expected: int, timeout_s: float = 2.0
) -> tuple[list[bytes], NDArray[np.int64], PacketArray]:
    """Return payloads, kept lengths and records of what comes until n_expected are there, or until the time is up."""
    rows: list[bytes] = []
    kept: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    metas: list[PacketArray] = [np.zeros(0, DATAGRAM_DTYPE)]
    deadline = time.monotonic() + timeout_s
    while len(rows) < n_expected and time.monotonic() < deadline:
        batch = receiver.receive_nowait()
        if batch is None:
            time.sleep(0.001)
            continue
        rows += [bytes(row[:length]) for row, length in zip(batch.data, batch.kept, strict=True)]
        kept.append(batch.kept.copy())
        metas.append(batch.meta.copy())
    return rows, np.concatenate(kept), np.concatenate(metas)


def close_all(sockets: Sequence[ReceiverSocket]) -> None:
    for receiver in sockets:
        receiver.close()


@contextmanager
def kernel_stamps() -> Iterator[None]:
    """Keep a socket that asks for stamps, and wait until the kernel gives them on arrival: it begins with a delay."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stamped,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        stamped.bind(("127.0.0.1", 0))
        PLATFORM.request_ancillary(stamped, 4)
        for _ in range(200):
            sender.sendto(b"x", stamped.getsockname())
            time.sleep(0.003)
            stamp_ns = PLATFORM.decode(stamped.recvmsg(1, 256)[1]).rx_ns
            if stamp_ns is not None and time.time_ns() - stamp_ns > 2_000_000:
                break
        yield
