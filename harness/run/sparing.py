"""When a receiver lets go of all but the first bytes of its datagrams: while all that comes continues known streams.

Numbers and times stand in the header, and nothing behind it is looked at then. A quarter of what it costs to receive a
large datagram is to bring its bytes from the memory where the sender left them.
"""

from __future__ import annotations

from harness.run.gathering import BUSY_ROWS


class Sparing:
    """Decides for one socket.

    The batch that ends such a time may have packets whose payload should have been looked at, and is gone. So each
    further time takes twice as many batches to begin: of n batches log2(n) are such at most. Of a slow stream, where
    nothing is gained, none is.

    >>> sparing = Sparing()
    >>> [sparing.may_spare(is_following, 40) for is_following in (False, True, True, False, True, True, False, True)]
    [False, True, True, False, False, True, False, False]
    >>> Sparing().may_spare(True, 1)
    False
    """

    def __init__(self) -> None:
        self._after, self._n_following = 1, 0
        self._is_sparing = False

    def may_spare(self, is_following: bool, n_datagrams: int) -> bool:
        """Return whether fronts will do for the next batch, after one that was all of a known stream or not."""
        if is_following:
            self._n_following += 1
            self._is_sparing = self._n_following >= self._after and n_datagrams >= BUSY_ROWS
            return self._is_sparing
        if self._is_sparing:
            self._after *= 2
        self._n_following, self._is_sparing = 0, False
        return False
