import socket

import pytest

from harness.net import udp_counters
from harness.run.watch import CounterWatch


@pytest.mark.skipif(udp_counters() is None, reason="the system has no /proc/net/snmp")
def test_overflow_of_any_socket_on_the_host_shows() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tx,
    ):
        deaf.bind(("127.0.0.1", 0))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        watch = CounterWatch(["lo"])
        for _number in range(300):
            tx.sendto(bytes(100), deaf.getsockname())
        risen = watch.risen()
    assert risen["udp4.receive_buffer_errors"] >= 200
    assert risen["lo.packets_sent"] >= 300


def test_interface_that_is_not_there_is_left_out() -> None:
    risen = CounterWatch(["nope0"]).risen()
    assert not any(name.startswith("nope0") for name in risen)
