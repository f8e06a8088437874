"""Group join delay and leave delay, as the host sees them (RFC 3918 6.1, 6.2; RFC 2432 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class JoinLeaveDelay:
    """RFC 3918 6.1 and 6.2 of one membership.

    Attributes:
      join_delay_ns: first packet minus the report; None when none came, or no join was given.
      leave_delay_ns: last packet minus the leave, 0 when none came after it; None when no leave was given.
      n_after_leave: packets after the leave; None when no leave was given.
    """

    join_delay_ns: int | None
    leave_delay_ns: int | None
    n_after_leave: int | None


def join_leave_delay(
    rx_ns: NDArray[np.int64], join_sent_ns: int | None = None, leave_sent_ns: int | None = None
) -> JoinLeaveDelay:
    """Return join delay and leave delay of one membership (RFC 3918 6.1, 6.2).

    Args:
      rx_ns: receive times of the group's packets, shape (n,), any order.
      join_sent_ns: when the membership report left, same clock.
      leave_sent_ns: when the leave message left, same clock.

    >>> join_leave_delay(np.array([1350, 8950, 9250]), join_sent_ns=1000, leave_sent_ns=9000)
    JoinLeaveDelay(join_delay_ns=350, leave_delay_ns=250, n_after_leave=1)
    """
    join_delay = leave_delay = n_after = None
    if join_sent_ns is not None:
        since = rx_ns[rx_ns >= join_sent_ns]
        join_delay = int(since.min()) - join_sent_ns if len(since) else None
    if leave_sent_ns is not None:
        after = rx_ns[rx_ns > leave_sent_ns]
        n_after = len(after)
        leave_delay = int(after.max()) - leave_sent_ns if n_after else 0
    return JoinLeaveDelay(join_delay, leave_delay, n_after)
