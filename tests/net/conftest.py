"""Fixtures of the socket tests."""

import socket
import time
from collections.abc import Iterator

import pytest

from harness.net.platform import PLATFORM


@pytest.fixture(scope="module")
def kernel_stamps_are_on() -> Iterator[None]:
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
