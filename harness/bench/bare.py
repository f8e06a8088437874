"""The limit: a bare loop of the same system calls, without decoding, recording or event loop. Run as a child program.

    python -m harness.bench.bare send|receive JSON

It sets the same socket options as the engine and asks for the source address, too; it holds the route as a stream at
full rate does, and keeps the first bytes of each packet as a receiver does that knows the stream: so the kernel does
the same work for each packet. It moves packets by the same recvmmsg and sendmmsg over the same arrays, in the same
batches: as many a call, and the same pauses between two reads. `is_eager` leaves the pauses out, keeps whole packets
and sends smaller batches. `stamps` makes the receiver the witness of a sender's pace: it then keeps the kernel's stamp
of each packet, and reads at once.
"""

from __future__ import annotations

import errno
import json
import signal
import socket
import struct
import sys
import time
from functools import partial
from typing import Any

import numpy as np

from harness.model import Membership, parse_endpoint
from harness.model.datagrams import FRONT_BYTES
from harness.net import PLATFORM, _libc
from harness.net._linux import IP_MULTICAST_IF, SO_RCVBUFFORCE, SO_TIMESTAMPNS, SOL_UDP, UDP_GRO, UDP_SEGMENT
from harness.net._slots import addresses, spaced_rows
from harness.net.batch_reader import AT_ONCE
from harness.net.interfaces import interface_index
from harness.net.offload_reader import GRO_BUFFERS
from harness.net.ready_linux import ReadyBatch, front_bytes
from harness.run import sending
from harness.run.gathering import ENOUGH, ENOUGH_RUNS, Gathering
from harness.run.plan import KEPT_BYTES

IDLE_S = 0.4
"""A receiver ends when nothing has come for so long, after something had."""

CONTROL_BYTES, NAME_BYTES = 192, 16
GRO_WIDTH = 65_535
EAGER_BATCH = 256
SEGMENTS = 64
MSG_WAITFORONE = 0x10000


def main() -> None:
    """Run one end and print its result as one line of JSON."""
    asked = json.loads(sys.argv[2])
    sys.stdout.write(json.dumps(send(asked) if sys.argv[1] == "send" else receive(asked)) + "\n")


def _messages(n: int, width: int) -> tuple[np.ndarray[Any, Any], ...]:
    """Return headers, data, rows of control messages and source address, and vectors, pointing at each other."""
    data = spaced_rows(n, width)
    data[:] = 0
    iov, headers = np.zeros(n, _libc.IOVEC), np.zeros(n, _libc.MMSGHDR)
    iov["base"] = addresses(data)
    iov["length"] = width
    header = headers["header"]
    header["iov"] = addresses(iov)
    header["iov_length"] = 1
    rows = np.zeros((n, NAME_BYTES + CONTROL_BYTES), np.uint8)
    header["name"], header["name_length"] = addresses(rows[:, CONTROL_BYTES:]), NAME_BYTES
    header["control"] = addresses(rows)
    header["control_length"] = CONTROL_BYTES
    return headers, data, rows, iov


def receive(asked: dict[str, Any]) -> dict[str, Any]:
    """Receive until idle or told to by SIGINT; return counts, drops, CPU time, and the stamps' distances if asked."""
    group = parse_endpoint(asked["group"])
    offload, is_eager = asked.get("offload", False), asked.get("is_eager", False)
    width = GRO_WIDTH if offload else KEPT_BYTES if is_eager else FRONT_BYTES
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, asked["buffer"])
        except OSError:  # not privileged
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, asked["buffer"])
        PLATFORM.request_ancillary(sock, 4)
        PLATFORM.isolate(sock, 4)
        if offload:
            sock.setsockopt(SOL_UDP, UDP_GRO, 1)
        sock.bind((str(group.address), group.port))
        PLATFORM.join(sock, Membership(group, asked["interface"]), interface_index(asked["interface"]))
        PLATFORM.imply_arrival(sock, 4, is_implied=True)
        sock.setsockopt(
            socket.SOL_SOCKET,
            socket.SO_RCVTIMEO,
            struct.pack("ll", *divmod(int(asked.get("idle_s", IDLE_S) * 1e6), 1_000_000)),
        )
        n_slots = GRO_BUFFERS if offload else AT_ONCE
        granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        enough = ENOUGH_RUNS if offload else ENOUGH
        gathering = Gathering(granted, partial(PLATFORM.queued_bytes, sock), time.monotonic_ns(), enough=enough)
        has_pauses = not (is_eager or asked.get("stamps"))
        headers, _, control, _buffers = _messages(n_slots, width)
        lengths, control_lengths = headers["length"], headers["header"]["control_length"]
        address, fd = headers.ctypes.data, sock.fileno()
        stamps: list[np.ndarray[Any, Any]] = []
        n_packets = n_bytes = 0
        first_ns = last_ns = 0
        give_up_ns = time.monotonic_ns() + int(asked.get("patience_s", 10) * 1e9)
        is_told: list[int] = []
        signal.signal(signal.SIGINT, lambda number, _: is_told.append(number))
        cpu_ns = time.process_time_ns()
        while not is_told:
            n_read, number = _libc.recvmmsg(fd, address, n_slots, MSG_WAITFORONE | socket.MSG_TRUNC)
            if n_read < 0:
                if number == errno.EINTR:
                    continue
                if n_packets or time.monotonic_ns() > give_up_ns:
                    break
                continue
            last_ns = time.monotonic_ns()
            first_ns = first_ns or last_ns
            n_packets += n_read
            if offload:
                n_bytes += int(lengths[:n_read].sum())
            if asked.get("stamps"):
                stamps.append(_stamps(control, n_read))
            control_lengths[:n_read] = CONTROL_BYTES
            if has_pauses and (pause_ns := gathering.pause_ns(n_read, n_read == n_slots, last_ns)):
                time.sleep(pause_ns / 1e9)
                gathering.before_read(time.monotonic_ns())
        return {
            "received": n_bytes // asked["size"] if offload else n_packets,
            "drops": PLATFORM.drops(sock),
            "cpu_ns": time.process_time_ns() - cpu_ns,
            "lasted_ns": last_ns - first_ns,
            "gaps_ns": np.diff(np.concatenate(stamps)).tolist() if stamps else [],
        }


def _stamps(control: np.ndarray[Any, Any], n_read: int) -> np.ndarray[Any, Any]:
    """Return the kernel's stamps of rows whose first control message is the time, as it is on Linux."""
    words = control[:n_read, :32].copy().view(np.uint64).view(np.int64)
    kind = int(words[0, 1]) >> 32
    if kind != SO_TIMESTAMPNS:
        return np.zeros(0, np.int64)
    stamps: np.ndarray[Any, Any] = words[:, 2] * 1_000_000_000 + words[:, 3]
    return stamps


def send(asked: dict[str, Any]) -> dict[str, Any]:
    """Send for a while, as fast as it goes or in equal batches at a rate; return what left, and CPU time."""
    group, size, offload = parse_endpoint(asked["group"]), asked["size"], asked.get("offload", False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        index = interface_index(asked["interface"])
        sock.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), bytes(4), index))
        sock.connect((str(group.address), group.port))
        run = min(SEGMENTS, (GRO_WIDTH - 48) // size) if offload else 1
        if offload:
            sock.setsockopt(SOL_UDP, UDP_SEGMENT, size)
        batch = sending.batch_capacity(size, offload=offload)
        n_slots = max(1, (EAGER_BATCH if asked.get("is_eager") else batch) // run)
        rows, rest = np.split(np.full((n_slots * run, size), 0x5A, np.uint8), [front_bytes(size, offload=offload)], 1)
        ready = ReadyBatch(sock, None, None, np.ascontiguousarray(rows), rest[0].copy(), run)
        address, fd = ready.address, sock.fileno()
        start_ns, cpu_ns, n_sent = time.monotonic_ns(), time.process_time_ns(), 0
        end_ns = start_ns + int(asked["duration_s"] * 1e9)
        step_ns = n_slots * run * 1e9 / asked["pps"] if asked.get("pps") else 0.0
        n_batches = 0
        while (now_ns := time.monotonic_ns()) < end_ns:
            wait_ns = start_ns + n_batches * step_ns - now_ns
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            sent, number = _libc.sendmmsg(fd, address, n_slots, 0)
            n_batches += 1
            if sent > 0:
                n_sent += sent * run
            elif number not in (errno.EINTR, errno.ENOBUFS):
                raise OSError(number, "sendmmsg")
        return {
            "sent": n_sent,
            "cpu_ns": time.process_time_ns() - cpu_ns,
            "lasted_ns": time.monotonic_ns() - start_ns,
        }


if __name__ == "__main__":
    main()
