"""The tap on Linux: two packet sockets of all interfaces.

One counts. Its ring of slots (TPACKET_V2) lies in memory that the kernel and this program share: the kernel copies the
headers of a packet into a slot and marks it, the reader looks at the marks now and then and takes all that came at
once, without a system call. The other one takes membership messages whole; it has a queue of its own, so that no flood
of UDP pushes them out.
"""

from __future__ import annotations

import errno
import mmap
import socket
import struct
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.errors import InterfaceError, errno_text
from harness.model.datagrams import DATAGRAM_DTYPE
from harness.model.endpoint import Endpoint
from harness.net import _libc
from harness.net._linux import SO_ATTACH_FILTER, SO_TIMESTAMPNS, SOL_SOCKET, Instruction, attached_program
from harness.net.tap import TapBatch, TapFrame
from harness.net.tap_filter import membership_program, udp_program

AF_PACKET, ETH_P_ALL = 17, 0x0003
_ALL_INTERFACES = struct.pack("=HHiHBB8x", AF_PACKET, socket.htons(ETH_P_ALL), 0, 0, 0, 0)
"""A `sockaddr_ll` that names none; Python's own bind wants a name."""

SOL_PACKET = 263
PACKET_RX_RING, PACKET_STATISTICS, PACKET_AUXDATA, PACKET_VERSION = 5, 6, 8, 10
TPACKET_V2 = 1
PACKET_OUTGOING = 4
TP_STATUS_USER = np.uint32(1)
ARPHRD_ETHER, ARPHRD_LOOPBACK = 1, 772
LINK_ETHERNET, LINK_RAW_IP = 1, 101

SLOT_BYTES, N_SLOTS = 256, 8192
"""2 MiB: what comes in 50 ms at 160 kpps."""
_BLOCK_BYTES = 65_536

SLOT = np.dtype(
    {
        "names": ["status", "net", "sec", "nsec", "protocol", "ifindex", "kind", "bytes"],
        "formats": ["<u4", "<u2", "<u4", "<u4", ">u2", "<u4", "u1", ("u1", SLOT_BYTES)],
        "offsets": [0, 14, 16, 20, 34, 36, 42, 0],
        "itemsize": SLOT_BYTES,
    }
)
"""`struct tpacket2_hdr`, behind it the `sockaddr_ll`; the IP header begins at `net`."""

_MOST_FRAMES = 512
_FRAME_BYTES = 65_600
_QUEUE_BYTES = 1 << 20
_RETURN = 0x06
_NO_CAPABILITY = "it needs root or the capability CAP_NET_RAW"


class LinuxTap:
    """See `Tap` for what each method promises.

    Args:
      flows: addresses and ports to count.

    Raises:
      InterfaceError: the kernel refuses.
    """

    def __init__(self, flows: Sequence[Endpoint]) -> None:
        self._head = 0
        self._is_stopped = False
        self._counting: socket.socket | None = None
        try:
            self._frames = _packet_socket(socket.SOCK_RAW, membership_program())
            try:
                self._frames.setsockopt(SOL_SOCKET, SO_TIMESTAMPNS, 1)
                self._frames.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
                self._frames.setsockopt(SOL_SOCKET, socket.SO_RCVBUF, _QUEUE_BYTES)
                self._counting = _packet_socket(socket.SOCK_DGRAM, udp_program(flows))
                self._memory = _ring_of(self._counting)
                self._slots = np.frombuffer(self._memory, SLOT)
                self._status = self._slots["status"]
                for sock in (self._frames, self._counting):
                    _libc.bind(sock.fileno(), _ALL_INTERFACES)
            except BaseException:
                self._frames.close()
                if self._counting is not None:
                    self._counting.close()
                raise
        except OSError as exc:
            number = exc.errno or 0
            remedy = f"; {_NO_CAPABILITY}" if number in (errno.EPERM, errno.EACCES) else ""
            raise InterfaceError(f"cannot listen to frames: {errno_text(number)}{remedy}") from exc

    def read(self) -> TapBatch | None:
        """Take the slots that the kernel has marked, and give them back."""
        if self._counting is None or self._is_stopped or not (n_ready := self._n_ready()):
            return None
        places = (self._head + np.arange(n_ready)) % N_SLOTS
        rows = self._slots[places]
        self._status[places] = 0
        self._head = (self._head + n_ready) % N_SLOTS
        return decode_slots(rows)

    def _n_ready(self) -> int:
        """Return how many slots in a row, from the next one on, are marked."""
        n_known, step = 0, 64
        while n_known < N_SLOTS:
            places = (self._head + np.arange(n_known, min(n_known + step, N_SLOTS))) % N_SLOTS
            is_ready = self._status[places] & TP_STATUS_USER != 0
            if not is_ready.all():
                return n_known + int(is_ready.argmin())
            n_known, step = n_known + len(places), step * 4
        return n_known

    def read_frames(self) -> list[TapFrame]:
        """Read what waits, one by one: they are few."""
        frames: list[TapFrame] = []
        while len(frames) < _MOST_FRAMES and self._frames.fileno() != -1:
            try:
                data, messages, _, address = self._frames.recvmsg(_FRAME_BYTES, 256)
            except BlockingIOError:
                break
            except OSError:  # an interface went down: told once, and the socket goes on
                continue
            frames.append(_frame(data, messages, address))
        return frames

    def drops(self) -> int:
        """Read both sockets' statistics, which starts them anew."""
        lost = 0
        for sock in (self._frames, self._counting):
            if sock is not None and sock.fileno() != -1:
                _, n_drops = struct.unpack("=II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
                lost += n_drops
        return lost

    def stop_counting(self) -> None:
        """Have the counting socket take nothing more; closing it would wait for all of the kernel's readers."""
        if self._counting is not None and not self._is_stopped:
            self._is_stopped = True
            with attached_program([(_RETURN, 0, 0, 0)]) as nothing:
                self._counting.setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, nothing)

    def close(self) -> None:
        """Close both."""
        if self._counting is not None:
            self._counting.close()
            self._counting = None
        self._frames.close()


def _packet_socket(kind: int, program: list[Instruction]) -> socket.socket:
    """Return a packet socket that hears nothing until it is bound, so that its filter is never late."""
    sock = socket.socket(AF_PACKET, kind, 0)
    try:
        sock.setblocking(False)
        with attached_program(program) as attached:
            sock.setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, attached)
    except BaseException:
        sock.close()
        raise
    return sock


def _ring_of(sock: socket.socket) -> mmap.mmap:
    size = N_SLOTS * SLOT_BYTES
    sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
    request = struct.pack("=IIII", _BLOCK_BYTES, size // _BLOCK_BYTES, SLOT_BYTES, N_SLOTS)
    sock.setsockopt(SOL_PACKET, PACKET_RX_RING, request)
    return mmap.mmap(sock.fileno(), size)


def decode_slots(rows: NDArray[np.void]) -> TapBatch:
    """Return the UDP packets in slots, shape (n,) of SLOT; others, and headers that are cut off, are left out."""
    n_rows = len(rows)
    meta = np.zeros(n_rows, DATAGRAM_DTYPE)
    meta["ifindex"] = rows["ifindex"]
    meta["rx_ns"] = rows["sec"].astype(np.int64) * 1_000_000_000 + rows["nsec"]
    data, net = rows["bytes"], rows["net"].astype(np.int64)
    is_known = np.zeros(n_rows, np.bool_)
    for version, ether_type in ((4, 0x0800), (6, 0x86DD)):
        places = np.flatnonzero((rows["protocol"] == ether_type) & (net <= SLOT_BYTES - 48))
        if not len(places):
            continue
        at = net[places]
        if version == 4:
            udp_at = at + (data[places, at] & 0x0F).astype(np.int64) * 4
            meta["source"][places, 10:12] = meta["destination"][places, 10:12] = 0xFF
            meta["source"][places, 12:] = _cut(data, places, at + 12, 4)
            meta["destination"][places, 12:] = _cut(data, places, at + 16, 4)
        else:
            udp_at = at + np.where(data[places, at + 6] == 44, 48, 40)
            meta["source"][places] = _cut(data, places, at + 8, 16)
            meta["destination"][places] = _cut(data, places, at + 24, 16)
        udp_at = np.minimum(udp_at, SLOT_BYTES - 4)
        ports = np.ascontiguousarray(_cut(data, places, udp_at, 4)).view(">u2")
        meta["source_port"][places], meta["destination_port"][places] = ports[:, 0], ports[:, 1]
        is_known[places] = True
    is_outgoing = rows["kind"] == PACKET_OUTGOING
    return TapBatch(meta[is_known], is_outgoing[is_known])


def _cut(data: NDArray[np.uint8], places: NDArray[np.intp], at: NDArray[np.int64], n_bytes: int) -> NDArray[np.uint8]:
    """Return `n_bytes` of each row at its own offset, shape (n, n_bytes); one slice where all offsets agree."""
    first = int(at[0])
    if (at == first).all():
        alike: NDArray[np.uint8] = data[places, first : first + n_bytes]
        return alike
    scattered: NDArray[np.uint8] = data[places[:, None], at[:, None] + np.arange(n_bytes)]
    return scattered


def _frame(data: bytes, messages: list[tuple[int, int, bytes]], address: tuple[str, int, int, int, bytes]) -> TapFrame:
    """Return a frame as read; a link without an Ethernet header is cut down to its IP packet."""
    rx_ns, net = time.time_ns(), 0
    for level, kind, value in messages:
        if (level, kind) == (SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("=qq", value[:16])
            rx_ns = seconds * 1_000_000_000 + nanoseconds
        elif (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            net = struct.unpack("=IIIHH", value[:16])[4]
    interface, _, packet_kind, hardware, _ = address
    is_ethernet = hardware in (ARPHRD_ETHER, ARPHRD_LOOPBACK)
    link_type = LINK_ETHERNET if is_ethernet else LINK_RAW_IP
    return TapFrame(interface, packet_kind == PACKET_OUTGOING, rx_ns, link_type, data if is_ethernet else data[net:])
