"""Messages to the kernel by sendmmsg, whatever it answers (Linux)."""

from __future__ import annotations

import errno
import socket

import numpy as np
from numpy.typing import NDArray

from harness.net import _libc
from harness.net.batch_portable import AGAIN
from harness.net.tx_stamps import TxStamps

MAX_INTERRUPTIONS = 1000
_HEADER_BYTES = _libc.MMSGHDR.itemsize


def send_messages(
    fd: int,
    address: int,
    results: NDArray[np.uint16],
    *,
    run: int = 1,
    first: int = 0,
    stamps: TxStamps | None = None,
    base_number: int = 0,
) -> None:
    """Send the messages whose headers stand at an address, and enter the errno of each row: EAGAIN from the first wait.

    sendmmsg stops at the first refusal and tells its errno only when that message is the first of a call: so the call
    is repeated from there, the refused message is noted and passed over.

    Args:
      fd: of a socket.
      address: of an array of mmsghdr.
      results: where to enter the errno of each row, shape (n,), zeros.
      run: rows of a message; the last may have fewer.
      first: number of the message to begin with; those before were sent.
      stamps: told of what is sent.
      base_number: number that the first message has there.
    """
    n_messages, n_interrupted = -(-len(results) // run), 0
    while first < n_messages:
        if stamps is not None:
            stamps.before(base_number + first)
        n_sent, number = _libc.sendmmsg(fd, address + first * _HEADER_BYTES, n_messages - first, socket.MSG_DONTWAIT)
        if stamps is not None:
            stamps.after(base_number + first, n_messages - first, max(n_sent, 0))
        if n_sent > 0:
            first += n_sent
        elif number == errno.EINTR and n_interrupted < MAX_INTERRUPTIONS:
            n_interrupted += 1
        elif number in AGAIN:
            results[first * run :] = errno.EAGAIN
            return
        else:
            results[first * run : (first + 1) * run] = number
            first += 1
