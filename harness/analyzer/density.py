"""Reorder density and reorder buffer-occupancy density (RFC 5236)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analyzer.duplication import is_first_copy
from harness.errors import UsageError


def _share(frequency: dict[int, int]) -> dict[int, float]:
    """Return frequencies as shares of their sum; {} stays {}."""
    total = sum(frequency.values())
    return {value: count / total for value, count in frequency.items()}


def _frequency(values: NDArray[np.int64]) -> dict[int, int]:
    """Return how often each value occurs, ascending by value."""
    distinct, counts = np.unique(values, return_counts=True)
    return dict(zip(distinct.tolist(), counts.tolist(), strict=True))


def _check_threshold(name: str, threshold: int | None) -> None:
    if threshold is not None and threshold < 1:
        raise UsageError(f"{name} {threshold} leaves no room for reordering; use at least 1, or none at all")


@dataclass(frozen=True, slots=True, eq=False)
class ReorderDensity:
    """RFC 5236 section 3 of one stream, over the k packets that are neither duplicate nor beyond the threshold.

    Attributes:
      arrival: index of each counted packet among the arrivals, shape (k,).
      receive_index: number that the packet would have had in order, shape (k,); lost numbers are skipped (3.3).
      displacement: receive index - sequence number, shape (k,): negative early, positive late (3.2).
      n_discarded: first copies beyond the threshold, which count as lost.
    """

    arrival: NDArray[np.int64]
    receive_index: NDArray[np.int64]
    displacement: NDArray[np.int64]
    n_discarded: int

    @property
    def frequency(self) -> dict[int, int]:
        """Packets of each displacement, FD (7.1)."""
        return _frequency(self.displacement)

    @property
    def density(self) -> dict[int, float]:
        """Share of packets of each displacement, RD (3.1); {} when none was received."""
        return _share(self.frequency)


def reorder_density(seq: NDArray[np.int64], threshold: int | None = None) -> ReorderDensity:
    """Return the reorder density (RFC 5236 3.1, 7.1).

    Args:
      seq: extended sequence numbers in arrival order, shape (n,), duplicates allowed.
      threshold: displacement threshold DT in packets; a packet displaced by more counts as lost. None: no threshold.

    Raises:
      UsageError: the threshold is below 1.

    >>> reorder_density(np.array([1, 4, 3, 5, 3, 8, 7, 6])).displacement
    array([ 0, -1,  1,  0, -2,  0,  2])
    """
    _check_threshold("displacement threshold", threshold)
    arrival = np.flatnonzero(is_first_copy(seq))
    first = seq[arrival].astype(np.int64)
    # Known to the end, the receive index is the sorted list of numbers. As long as no packet exceeds the threshold
    # the algorithm of 7.1, which sees only a window, comes to the same: the number due is never further ahead.
    receive_index = np.sort(first, kind="stable")
    displacement = receive_index - first
    if threshold is None or np.all(np.abs(displacement) <= threshold):
        return ReorderDensity(arrival, receive_index, displacement, 0)
    kept, receive_index = _receive_indexes(first.tolist(), threshold)
    return ReorderDensity(arrival[kept], receive_index, receive_index - first[kept], len(first) - len(kept))


def _receive_indexes(seq: list[int], threshold: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return positions and receive indexes of the packets within the threshold (RFC 5236 7.1)."""
    kept: list[int] = []
    receive_indexes: list[int] = []
    ahead = iter(range(len(seq)))
    window: deque[int] = deque()  # positions of the next threshold + 1 packets
    unseen: set[int] = set()  # numbers in the window
    early: set[int] = set()  # numbers counted already that are still to serve as receive index
    due = min(seq)
    while True:
        for position in ahead:
            if seq[position] >= due:  # a smaller one was given up as lost
                window.append(position)
                unseen.add(seq[position])
            if len(window) > threshold:
                break
        if not window:
            break
        if due not in unseen and due not in early:
            due = min(number for number in unseen | early if number > due)
        position = window.popleft()
        number = seq[position]
        unseen.discard(number)
        if abs(due - number) <= threshold:
            kept.append(position)
            receive_indexes.append(due)
            if number > due:
                early.add(number)
            early.discard(due)
            due += 1
    return np.array(kept, dtype=np.int64), np.array(receive_indexes, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class BufferOccupancy:
    """RFC 5236 section 3.8 of one stream, over the k packets that are neither duplicate nor come too late.

    Attributes:
      arrival: index of each counted packet among the arrivals, shape (k,).
      expected: number expected when it came, E, shape (k,).
      occupancy: packets in the buffer after it came, shape (k,).
    """

    arrival: NDArray[np.int64]
    expected: NDArray[np.int64]
    occupancy: NDArray[np.int64]

    @property
    def frequency(self) -> dict[int, int]:
        """Packets at each occupancy, FB (7.2)."""
        return _frequency(self.occupancy)

    @property
    def density(self) -> dict[int, float]:
        """Share of packets at each occupancy, RBD (3.8); {} when none was received."""
        return _share(self.frequency)

    @property
    def mean(self) -> float | None:
        """Mean occupancy in packets; None when nothing was received."""
        return float(self.occupancy.mean()) if len(self.occupancy) else None


def buffer_occupancy(
    seq: NDArray[np.int64], threshold: int | None = None, first_seq: int | None = None
) -> BufferOccupancy:
    """Return the occupancy of a buffer that restores the order (RFC 5236 3.8, 7.2).

    As in 7.2, a packet that finds the buffer full makes the receiver give up the numbers before the next one at hand,
    and is itself stored only if the expectation reaches it.

    Args:
      seq: extended sequence numbers in arrival order, shape (n,), duplicates allowed.
      threshold: size of the buffer BT in packets. None: no limit; then one lost packet fills it for good.
      first_seq: number of the first packet sent; None: the lowest received.

    Raises:
      UsageError: the threshold is below 1.

    >>> buffer_occupancy(np.array([1, 2, 4, 5, 3]), threshold=4).occupancy
    array([0, 0, 1, 2, 0])
    """
    _check_threshold("buffer threshold", threshold)
    numbers = seq.tolist()
    # Where the sequence does not run on: a run in between goes through an empty buffer in one step.
    breaks = [*(np.flatnonzero(np.diff(seq) != 1) + 1).tolist(), len(numbers)]
    expected = np.zeros(len(numbers), dtype=np.int64)
    occupancy = np.full(len(numbers), -1, dtype=np.int64)
    buffer: set[int] = set()
    due = first_seq if first_seq is not None else min(numbers, default=0)
    i = n_passed = 0
    while i < len(numbers):
        while breaks[n_passed] <= i:
            n_passed += 1
        number = numbers[i]
        if number == due and not buffer:
            end = breaks[n_passed]
            expected[i:end] = seq[i:end]
            occupancy[i:end] = 0
            due += end - i
            i = end
            continue
        if number >= due and number not in buffer:
            expected[i] = due
            if number > due and (threshold is None or len(buffer) < threshold):
                buffer.add(number)
            else:
                due = number if number == due else min(min(buffer), number)
                while due in buffer or due == number:
                    buffer.discard(due)
                    due += 1
            occupancy[i] = len(buffer)
        i += 1
    counted = np.flatnonzero(occupancy >= 0)
    return BufferOccupancy(counted, expected[counted], occupancy[counted])
