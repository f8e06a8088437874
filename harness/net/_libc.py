"""The C library's calls that Python does not offer, and the layout of their structures (Linux)."""

from __future__ import annotations

import ctypes
import errno
import os

import numpy as np

IOVEC = np.dtype([("base", np.uintp), ("length", np.uintp)], align=True)
MSGHDR = np.dtype(
    [
        ("name", np.uintp),
        ("name_length", np.uint32),
        ("iov", np.uintp),
        ("iov_length", np.uintp),
        ("control", np.uintp),
        ("control_length", np.uintp),
        ("flags", np.int32),
    ],
    align=True,
)
MMSGHDR = np.dtype([("header", MSGHDR), ("length", np.uint32)], align=True)
"""`struct mmsghdr`: 64 bytes on a 64-bit machine, 32 on a 32-bit one."""

WORD_BYTES = ctypes.sizeof(ctypes.c_size_t)
CMSG_HEADER_BYTES = WORD_BYTES + 8
"""`struct cmsghdr`: length (one word), level, type; data follow at once, the next header at a word's boundary."""

_libc = ctypes.CDLL(None, use_errno=True)


_recvmmsg, _sendmmsg = _libc.recvmmsg, _libc.sendmmsg
_recvmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p]
_sendmmsg.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int]

_sendto = ctypes.PyDLL(None, use_errno=True).sendto
"""With the interpreter's lock held: this call never waits, and who gives the lock up may wait for it for 100 us."""
_sendto.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint]
_sendto.restype = ctypes.c_ssize_t


_memcmp = _libc.memcmp
_memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]

_bind, _connect = _libc.bind, _libc.connect
_bind.argtypes = _connect.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]


def bind(fd: int, name: bytes) -> None:
    """Bind to a packed sockaddr, of a kind that Python's own call cannot express.

    Raises:
      OSError: the kernel refuses.
    """
    if _bind(fd, name, len(name)):
        number = ctypes.get_errno() or errno.EIO
        raise OSError(number, os.strerror(number))


def connect(fd: int, name: bytes) -> int:
    """Connect to a packed sockaddr, of family AF_UNSPEC to nobody; return 0 or the errno."""
    return 0 if not _connect(fd, name, len(name)) else ctypes.get_errno() or errno.EIO


def is_same(address: int, other: int, n_bytes: int) -> bool:
    """Return whether two stretches of memory hold the same bytes."""
    return not _memcmp(address, other, n_bytes)


def recvmmsg(fd: int, headers: int, n_headers: int, flags: int) -> tuple[int, int]:
    """Receive into `n_headers` mmsghdr at the address `headers`; return (messages read, 0) or (-1, errno)."""
    n_read = int(_recvmmsg(fd, headers, n_headers, flags, None))
    return (n_read, 0) if n_read >= 0 else (-1, ctypes.get_errno() or errno.EIO)


def sendmmsg(fd: int, headers: int, n_headers: int, flags: int) -> tuple[int, int]:
    """Send `n_headers` mmsghdr at the address `headers`; return (messages sent, 0) or (-1, errno) for the first."""
    n_sent = int(_sendmmsg(fd, headers, n_headers, flags))
    return (n_sent, 0) if n_sent >= 0 else (-1, ctypes.get_errno() or errno.EIO)


Datagram = tuple[ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint]
"""All arguments of sendto but the descriptor, as ctypes hands them on: converting them at each call takes 0.5 us."""


def datagram(data: int | None, size: int, flags: int, name: int | None, name_length: int) -> Datagram:
    """Return a datagram of the bytes at the address `data` to the sockaddr at `name`, for `sendto`."""
    destination = ctypes.c_void_p(name), ctypes.c_uint(name_length)
    return (ctypes.c_void_p(data), ctypes.c_size_t(size), ctypes.c_int(flags), *destination)


def sendto(fd: int, one: Datagram) -> int:
    """Send one datagram; return 0 or the errno."""
    return 0 if _sendto(fd, *one) >= 0 else ctypes.get_errno() or errno.EIO
