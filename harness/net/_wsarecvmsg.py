"""WSARecvMsg, Windows' recvmsg, which Python does not offer: a function that each socket has to be asked for.

WSAMSG:  name, namelen | buffers, count | control buffer | flags
control: as on other systems, header (length: one word, level, type), data, next header at a word's boundary
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Callable
from typing import Any

from harness.net._options import Cmsg

SIO_GET_EXTENSION_FUNCTION_POINTER = 0xC8000006
WSAID_WSARECVMSG = bytes.fromhex("c8d789f61f6f6b438a53e54fe351c322")
"""{f689d7c8-6f1f-436b-8a53-e54fe351c322}, as it lies in memory."""

WSAEWOULDBLOCK = 10035
CONTROL_BYTES = 192

_WORD_BYTES = ctypes.sizeof(ctypes.c_size_t)
_CMSG_HEADER = struct.Struct("=QII" if _WORD_BYTES == 8 else "=III")


class WsaBuf(ctypes.Structure):
    """WSABUF: where to write, and how much."""

    _fields_ = (("length", ctypes.c_uint32), ("start", ctypes.c_void_p))


class WsaMsg(ctypes.Structure):
    """WSAMSG: what WSARecvMsg reads and writes."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_int32),
        ("buffers", ctypes.POINTER(WsaBuf)),
        ("n_buffers", ctypes.c_uint32),
        ("control", WsaBuf),
        ("flags", ctypes.c_uint32),
    )


Function = Callable[..., int]
"""(socket, WSAMSG by reference, bytes read by reference, None, None) -> 0, or -1 with the error in last_error()."""


def find_function(sock: socket.socket) -> Function:
    """Return the WSARecvMsg of this socket's provider.

    Raises:
      OSError: the provider has none.
      AttributeError: this is not Windows.
    """
    library: Any = getattr(ctypes, "WinDLL")("ws2_32", use_last_error=True)  # noqa: B009 (absent where not Windows)
    make_type: Any = getattr(ctypes, "WINFUNCTYPE")  # noqa: B009 (absent where not Windows)
    kind = make_type(
        ctypes.c_int,
        ctypes.c_size_t,
        ctypes.POINTER(WsaMsg),
        ctypes.POINTER(ctypes.c_uint32),
        ctypes.c_void_p,
        ctypes.c_void_p,
        use_last_error=True,
    )
    library.WSAIoctl.argtypes = [ctypes.c_size_t, ctypes.c_uint32, *[ctypes.c_void_p, ctypes.c_uint32] * 2] + [
        ctypes.c_void_p
    ] * 3
    pointer, n_bytes = ctypes.c_void_p(), ctypes.c_uint32()
    identity = ctypes.create_string_buffer(WSAID_WSARECVMSG, 16)
    if library.WSAIoctl(
        sock.fileno(),
        SIO_GET_EXTENSION_FUNCTION_POINTER,
        ctypes.byref(identity),
        16,
        ctypes.byref(pointer),
        ctypes.sizeof(pointer),
        ctypes.byref(n_bytes),
        None,
        None,
    ):
        raise OSError(last_error(), "WSAIoctl")
    found: Function = kind(pointer.value)
    return found


def last_error() -> int:
    """Return the error number of this thread's last call."""
    return int(getattr(ctypes, "get_last_error")())  # noqa: B009 (absent where not Windows)


class MessageReceiver:
    """Reads datagrams with their control messages.

    Args:
      function: WSARecvMsg.
      error: returns the error number after a call that failed.
    """

    def __init__(self, function: Function, error: Callable[[], int] = last_error) -> None:
        self._function, self._error = function, error
        self._name = ctypes.create_string_buffer(28)
        self._control = ctypes.create_string_buffer(CONTROL_BYTES)
        self._buffers = (WsaBuf * 2)()
        self._n_bytes = ctypes.c_uint32()

    def read(
        self, sock: socket.socket, row: memoryview, overflow: memoryview
    ) -> tuple[int, list[Cmsg], tuple[str, int]]:
        """Read one datagram into the row and what lies beyond it; return its size, control messages and source.

        Raises:
          BlockingIOError: there is none.
          OSError: the socket has a pending error.
        """
        for buffer, part in zip(self._buffers, (row, overflow), strict=True):
            buffer.length, buffer.start = len(part), ctypes.addressof(ctypes.c_char.from_buffer(part))
        message = WsaMsg(ctypes.addressof(self._name), len(self._name), self._buffers, 2, WsaBuf(CONTROL_BYTES, 0), 0)
        message.control.start = ctypes.addressof(self._control)
        if self._function(sock.fileno(), ctypes.byref(message), ctypes.byref(self._n_bytes), None, None):
            number = self._error()
            if number == WSAEWOULDBLOCK:
                raise BlockingIOError(number, "WSARecvMsg")
            raise OSError(number, "WSARecvMsg")
        return self._n_bytes.value, split(self._control.raw[: message.control.length]), self._source()

    def _source(self) -> tuple[str, int]:
        family, port = struct.unpack("=H", self._name.raw[:2])[0], struct.unpack(">H", self._name.raw[2:4])[0]
        if family == socket.AF_INET:
            return socket.inet_ntop(socket.AF_INET, self._name.raw[4:8]), port
        return socket.inet_ntop(socket.AF_INET6, self._name.raw[8:24]), port


def split(control: bytes) -> list[Cmsg]:
    """Return the control messages in a buffer; what is cut off or malformed ends the list."""
    messages: list[Cmsg] = []
    position = 0
    while position + _CMSG_HEADER.size <= len(control):
        length, level, kind = _CMSG_HEADER.unpack_from(control, position)
        if length < _CMSG_HEADER.size or position + length > len(control):
            break
        messages.append((level, kind, control[position + _CMSG_HEADER.size : position + length]))
        position += (length + _WORD_BYTES - 1) // _WORD_BYTES * _WORD_BYTES
    return messages
