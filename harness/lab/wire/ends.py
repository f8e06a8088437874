"""The ends of a wire: a TAP device of its own, or a packet socket on an existing interface (Linux).

A TAP device lives as long as its descriptor: when the process ends, in whatever way, it is gone. Its queue to the wire
is a ring of `txqueuelen` frames; what finds it full is dropped and counted as the interface's tx_dropped.
Constants from linux/if_tun.h, linux/sockios.h, linux/if_packet.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import subprocess
from abc import ABC, abstractmethod

from harness.errors import InterfaceError, errno_text
from harness.lab.wire.frames import complete_checksum
from harness.lab.wire.namespace import inside
from harness.lab.wire.spec import End

TUN = "/dev/net/tun"
_TUNSETIFF, _IFF_TAP, _IFF_NO_PI, _IFF_TUN_EXCL = 0x400454CA, 0x0002, 0x1000, 0x8000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFTXQLEN, _IFF_UP = 0x8913, 0x8914, 0x8943, 0x1
_NAME_BYTES = 16
_IP_S = 10

_SOL_PACKET, _PACKET_STATISTICS, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 6, 15, 23
_PACKET_ADD_MEMBERSHIP, _PACKET_MR_PROMISC = 1, 1
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_ETH_P_ALL = 0x0003
_VNET = struct.Struct("=BBHHHH")
"""struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset."""
_VNET_NEEDS_CSUM = 1
_BYTES_A_FRAME = 2_304
"""What the kernel charges a socket for a queued frame of up to 1500 bytes, generously."""

READ_BYTES = 65_536


class OpenEnd(ABC):
    """One end, open.

    Args:
      end: which one.
      queue: frames that may wait before the wire reads them.

    Attributes:
      fd: for select.
      n_completed: checksums written that the sending kernel had left to the network card.
    """

    def __init__(self, end: End) -> None:
        self.end = end
        self.fd = -1
        self.n_completed = 0
        self._counters = os.open("/proc/thread-self/net/dev", os.O_RDONLY | os.O_CLOEXEC)
        self._rx_drops, self._tx_drops = 0, 0
        self._rx_drops, self._tx_drops = self._drops()

    @abstractmethod
    def read(self) -> bytes | None:
        """Return the next frame, or None when none waits.

        Raises:
          OSError: the interface is gone.
        """

    @abstractmethod
    def write(self, frame: bytes) -> int:
        """Send a frame; return 0, or the number of the error with which the kernel refused it."""

    @abstractmethod
    def queue_drops(self) -> int:
        """Return how many frames were lost before the wire could read them."""

    @abstractmethod
    def far_drops(self) -> int:
        """Return how many frames the interface has dropped that the wire had written."""

    def close(self) -> None:
        """Close it; a TAP device is gone with that."""
        os.close(self._counters)

    def _drops(self) -> tuple[int, int]:
        """Return the interface's drop counters, received and transmitted; as last known when it is gone."""
        text = os.pread(self._counters, 1 << 20, 0).decode(errors="replace")
        for line in text.splitlines():
            name, colon, values = line.partition(":")
            if colon and name.strip() == self.end.interface:
                fields = values.split()
                return int(fields[3]), int(fields[11])
        return self._rx_drops, self._tx_drops


class TapEnd(OpenEnd):
    """A TAP device that this process makes, up."""

    def __init__(self, end: End, queue: int) -> None:
        device = -1
        try:
            device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            name = end.interface.encode().ljust(_NAME_BYTES, b"\0")
            fcntl.ioctl(device, _TUNSETIFF, name + struct.pack("=H22x", _IFF_TAP | _IFF_NO_PI | _IFF_TUN_EXCL))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
                try:
                    fcntl.ioctl(control, _SIOCSIFTXQLEN, name + struct.pack("=i20x", queue))
                except PermissionError:  # this call wants the real root; netlink takes a user namespace's
                    words = ["ip", "link", "set", "dev", end.interface, "txqueuelen", str(queue)]
                    subprocess.run(words, check=False, capture_output=True, timeout=_IP_S)
                (flags,) = struct.unpack_from("=h", fcntl.ioctl(control, _SIOCGIFFLAGS, name + bytes(24)), _NAME_BYTES)
                fcntl.ioctl(control, _SIOCSIFFLAGS, name + struct.pack("=h22x", flags | _IFF_UP))
        except OSError as exc:
            if device >= 0:
                os.close(device)
            raise InterfaceError(f"cannot make TAP device {_text(end)}: {_why_no_tap(exc)}") from exc
        super().__init__(end)
        self.fd = device

    def read(self) -> bytes | None:
        """Return the next frame."""
        try:
            return os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return None

    def write(self, frame: bytes) -> int:
        """Send a frame to the host."""
        try:
            os.write(self.fd, frame)
        except OSError as exc:
            return exc.errno or errno.EIO
        return 0

    def queue_drops(self) -> int:
        """Return what found the device's ring full."""
        return self._drops()[1] - self._tx_drops

    def far_drops(self) -> int:
        """Return what the host's stack dropped on the device's way in."""
        return self._drops()[0] - self._rx_drops

    def close(self) -> None:
        """Remove the device."""
        super().close()
        os.close(self.fd)


class PacketEnd(OpenEnd):
    """A packet socket on an existing interface, which is up.

    A sending kernel leaves checksums to a network card that is none: the header with which virtual machines hand
    frames over (PACKET_VNET_HDR) says so, and the wire completes them. Segmentation has to be off at the sending host
    (`ethtool -K IF tso off gso off`): a frame above the MTU is refused on its way out, and logged. The interface has no
    address and is in no bridge, or its own kernel carries frames, too. 802.1Q tags are lost: the kernel takes them off.
    """

    def __init__(self, end: End, queue: int) -> None:
        try:
            self._in = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        except OSError as exc:
            raise InterfaceError(f"cannot open a packet socket on {_text(end)}: {_why(exc)}") from exc
        try:
            self._out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        except OSError as exc:
            self._in.close()
            raise InterfaceError(f"cannot open a packet socket on {_text(end)}: {_why(exc)}") from exc
        try:
            self._open(end, queue)
            super().__init__(end)
        except OSError as exc:
            self._in.close()
            self._out.close()
            raise InterfaceError(f"cannot open a packet socket on {_text(end)}: {_why(exc)}") from exc
        self.fd = self._in.fileno()
        self._n_lost = 0

    def _open(self, end: End, queue: int) -> None:
        index = socket.if_nametoindex(end.interface)
        self._in.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        self._in.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        promiscuous = struct.pack("=iHH8s", index, _PACKET_MR_PROMISC, 0, b"")
        self._in.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, promiscuous)
        for sock, option, plain in (
            (self._in, _SO_RCVBUFFORCE, socket.SO_RCVBUF),
            (self._out, _SO_SNDBUFFORCE, socket.SO_SNDBUF),
        ):
            size = min(queue * _BYTES_A_FRAME, 2**30 - 1)
            try:
                sock.setsockopt(socket.SOL_SOCKET, option, size)
            except PermissionError:  # in a user namespace; the system's own limit has to do
                sock.setsockopt(socket.SOL_SOCKET, plain, size)
        # bound first, and only then to a protocol, so that no frame of another interface comes
        self._out.bind((end.interface, 0))
        self._in.bind((end.interface, _ETH_P_ALL))
        self._in.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)

    def read(self) -> bytes | None:
        """Return the next frame, its checksum complete."""
        try:
            data = os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return None
        except OSError as exc:
            if exc.errno == errno.ENETDOWN:  # told once; frames come again when the link is up
                return None
            raise
        if data[0] & _VNET_NEEDS_CSUM:
            self.n_completed += 1
            start, offset = _VNET.unpack_from(data)[4:]
            return complete_checksum(data[_VNET.size :], start, offset)
        return data[_VNET.size :]

    def write(self, frame: bytes) -> int:
        """Send a frame to the interface's far end."""
        try:
            self._out.send(frame)
        except OSError as exc:
            return exc.errno or errno.EIO
        return 0

    def queue_drops(self) -> int:
        """Return what found the socket's buffer full; the kernel's counter is reset by reading it."""
        self._n_lost += struct.unpack("=II", self._in.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))[1]
        return self._n_lost

    def far_drops(self) -> int:
        """Return what the interface dropped on its way to the host."""
        return self._drops()[1] - self._tx_drops

    def close(self) -> None:
        """Close both sockets."""
        super().close()
        self._in.close()
        self._out.close()


def open_end(end: End, queue: int) -> OpenEnd:
    """Return an end, open in its namespace.

    Raises:
      InterfaceError: no such namespace or interface, a name that is taken, or no permission.
    """
    if not 0 < len(end.interface.encode()) < _NAME_BYTES:
        raise InterfaceError(f"interface {end.interface!r}: a name has 1 to {_NAME_BYTES - 1} bytes")
    with inside(end.namespace):
        return TapEnd(end, queue) if end.kind == "tap" else PacketEnd(end, queue)


def _text(end: End) -> str:
    return end.interface if end.namespace is None else f"{end.interface} in {end.namespace}"


def _why(exc: OSError) -> str:
    text = errno_text(exc.errno) if exc.errno else str(exc)
    if exc.errno == errno.EPERM:
        return f"{text}; it takes root, or a user namespace of one's own"
    return f"{text}; see: ip link" if exc.errno in (None, errno.ENODEV, errno.ENXIO) else text


def _why_no_tap(exc: OSError) -> str:
    if exc.errno == errno.EBUSY:
        return f"{errno_text(errno.EBUSY)}; an interface of this name is there already, see: ip link"
    if exc.filename == TUN:
        text = errno_text(exc.errno or errno.ENOENT)
        return f"{TUN}: {text}; take existing interfaces with kind packet where it is closed"
    return _why(exc)
