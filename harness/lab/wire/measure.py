"""What a wire carries on this machine at most: frames queued beforehand, then carried as fast as it goes, alone.

The frames are UDP datagrams that pass a fault without being hit, so that all of the deciding is measured, and that
nobody has asked for at the other end. It takes two network namespaces without names, which end with the process:
run it in a process of its own. A real wire shares the processor with sender and receiver; hence the margins in `cap`.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import time
from typing import Literal

from harness.errors import InterfaceError, UsageError
from harness.lab.wire.cap import Limit
from harness.lab.wire.child import be_prompt
from harness.lab.wire.ends import OpenEnd, open_end
from harness.lab.wire.namespace import leave_all
from harness.lab.wire.plan import plan_of
from harness.lab.wire.pump import Pump
from harness.lab.wire.spec import End, LossFault, WireSpec
from harness.units import NS_PER_S

SIZE = 242
"""Bytes of Ethernet frame: a probe of the default size, 200 bytes, with its headers."""

_MIN_SIZE, _MAX_SIZE = 106, 1_514
_ROUNDS, _A_ROUND = 24, 1_000


def measure(kind: Literal["tap", "packet"] = "tap", size: int = SIZE) -> Limit:
    """Return what a wire carries at most; this process is in another network namespace afterwards.

    The fastest of several rounds counts for half of them: the median, which a busy machine disturbs least.

    Raises:
      InterfaceError: no permission, or no TAP devices here.
      UsageError: a size that is no frame of a probe.
    """
    if not _MIN_SIZE <= size <= _MAX_SIZE:
        raise UsageError(f"a frame of {size} bytes: a probe's has {_MIN_SIZE} to {_MAX_SIZE}")
    with contextlib.ExitStack() as stack:
        ends, host = _tap_ends(stack) if kind == "tap" else _packet_ends(stack)
        be_prompt()
        spec = WireSpec(fault=[LossFault(group="239.255.0.1:5000", ratio="0%")])
        pump = Pump(ends, plan_of(spec), None)
        pump.start()
        frame = _frame(size)
        rates = []
        for _ in range(_ROUNDS):
            for _ in range(_A_ROUND):
                host.send(frame)
            start_ns, n_carried = time.perf_counter_ns(), 0
            while n_read := pump.turn():
                n_carried += n_read
            rates.append(n_carried * NS_PER_S / (time.perf_counter_ns() - start_ns))
        counts = pump.ledger().forward
    if counts.n_out < _ROUNDS * _A_ROUND // 2:
        raise InterfaceError(f"the wire carried {counts.n_out} of {_ROUNDS * _A_ROUND} frames; cannot be measured here")
    return Limit(kind=kind, pps=round(sorted(rates)[_ROUNDS // 2]), size=size, n_frames=counts.n_out)


def _tap_ends(stack: contextlib.ExitStack) -> tuple[tuple[OpenEnd, OpenEnd], socket.socket]:
    leave_all()
    first = open_end(End(None, "first"), 2 * _A_ROUND)
    stack.callback(first.close)
    host = _host("first", stack)
    leave_all()
    second = open_end(End(None, "second"), 2 * _A_ROUND)
    stack.callback(second.close)
    return (first, second), host


def _packet_ends(stack: contextlib.ExitStack) -> tuple[tuple[OpenEnd, OpenEnd], socket.socket]:
    leave_all()
    ends = list[OpenEnd]()
    for name, far in (("first", "host"), ("second", "other")):
        words = ["link", "add", name, "type", "veth", "peer", "name", far]
        for command in (words, ["link", "set", name, "up"], ["link", "set", far, "up"]):
            try:
                subprocess.run(["ip", *command], check=True, capture_output=True, timeout=10)
            except (OSError, subprocess.SubprocessError) as exc:
                raise InterfaceError(f"cannot make a veth pair: ip {' '.join(command)} failed: {exc}") from exc
        ends.append(open_end(End(None, name, "packet"), 2 * _A_ROUND))
        stack.callback(ends[-1].close)
    return (ends[0], ends[1]), _host("host", stack)


def _host(interface: str, stack: contextlib.ExitStack) -> socket.socket:
    """Return a socket that sends frames out of an interface."""
    host = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
    host.bind((interface, 0))
    return host


def _frame(size: int) -> bytes:
    """Return a frame with a UDP datagram that looks like a probe."""
    n_payload = size - 42
    ethernet = bytes.fromhex("01005e7f0001 020000000001 0800")
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size - 14, 0, 0, 1, 17, 0, b"\x0a\0\0\x01", b"\xef\xff\0\x01")
    total = sum(struct.unpack("!10H", ip))
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    ip = ip[:10] + struct.pack("!H", checksum) + ip[12:]
    return ethernet + ip + struct.pack("!HHHH", 5000, 5000, n_payload + 8, 0) + b"MCpr\x01".ljust(n_payload, b"\0")
