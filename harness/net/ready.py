"""Rows that stand ready: a stream at full rate writes a few bytes of each anew and sends all, again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class ReadyRows(Protocol):
    """Rows that are sent as they then stand."""

    def send(self, n_rows: int, /) -> NDArray[np.uint16] | None:
        """Send the first rows; return None where all went out, which is nearly always, else the errno of each."""

    def hold_route(self) -> bool:
        """Look up the source address for all that this socket sends from now on; return whether that was done.

        It spares the kernel a good part of its work for each datagram. What changes meanwhile is not heeded until the
        next call: call it again now and then. Where it is not done, each datagram has its own look-up.
        """


class PlainRows:
    """Rows that are sent by what sends any others.

    Args:
      rows: shape (n, size), uint8.
      send: sends rows and returns the errno of each.
    """

    def __init__(self, rows: NDArray[np.uint8], send: Callable[[NDArray[np.uint8]], NDArray[np.uint16]]) -> None:
        self._rows, self._send = rows, send

    def send(self, n_rows: int) -> NDArray[np.uint16] | None:
        """Send the first rows; see `ReadyRows`."""
        errnos = self._send(self._rows[:n_rows])
        return errnos if np.count_nonzero(errnos) else None

    def hold_route(self) -> bool:
        """Do nothing, and return False."""
        return False
