"""An impairment of known ground truth between a sender and its socket: what it does to each probe, it writes down.

It drops in windows of time and at random, holds probes back until others have passed (reordering), sends copies and
flips bytes. Loopback is otherwise lossless and in order, so the receiver must find exactly what stands in `truth`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError

CORRUPTED_BYTES = (12, 60)
"""Where a byte is flipped: behind magic and version, so that the probe is recognised, and found damaged."""


@dataclass(frozen=True, slots=True)
class ImpairmentSpec:
    """What to do to a stream; ratios from 0 to 1, windows as [start, end) offsets from the stream's start in ns."""

    dropouts_ns: tuple[tuple[int, int], ...] = ()
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    displacement: int = 3
    corrupt: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("loss", "duplicate", "reorder", "corrupt"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"impairment: {name} lies outside 0 to 100 %")
        if self.displacement < 1:
            raise UsageError("impairment: displacement is at least 1 packet")
        if any(end <= start or start < 0 for start, end in self.dropouts_ns):
            raise UsageError("impairment: a drop-out needs a start of 0 or later and a length above 0")


@dataclass
class Truth:
    """What was really done, by sequence number; `emitted` is the order in which probes left, copies included."""

    dropped: list[int] = field(default_factory=list)
    duplicated: list[int] = field(default_factory=list)
    held: dict[int, int] = field(default_factory=dict)
    corrupted: list[int] = field(default_factory=list)
    emitted: list[int] = field(default_factory=list)

    def records(self) -> Iterator[dict[str, int | str]]:
        """Yield one record per probe that was touched, for the truth file of a run."""
        for did, numbers in (("dropped", self.dropped), ("duplicated", self.duplicated), ("corrupted", self.corrupted)):
            for seq in numbers:
                yield {"seq": seq, "did": did}
        for seq, n_passed in self.held.items():
            yield {"seq": seq, "did": "held", "packets": n_passed}


@dataclass(slots=True)
class _Held:
    """A probe that waits until `n_to_pass` others have left."""

    seq: int
    row: NDArray[np.uint8]
    n_to_pass: int


class Impairment:
    """Impairs one stream's probes in the order in which they are handed in; in pieces of any size it does the same."""

    def __init__(self, spec: ImpairmentSpec) -> None:
        self.spec, self.truth = spec, Truth()
        self._chances, self._displacements, self._places = np.random.default_rng(spec.seed).spawn(3)
        self._held: list[_Held] = []

    def apply(
        self, seq: NDArray[np.int64], offsets_ns: NDArray[np.int64], data: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Return the rows that leave now, shape (m, size).

        Args:
          seq: numbers of the probes handed in, shape (n,).
          offsets_ns: when each was due, from the stream's start, shape (n,).
          data: their bytes, shape (n, size); not changed.
        """
        spec, out = self.spec, list[NDArray[np.uint8]]()
        chances = self._chances.random((len(seq), 4))
        displacements = self._displacements.integers(1, spec.displacement + 1, len(seq))
        corrupted_bytes = self._places.integers(*CORRUPTED_BYTES, len(seq))
        for place, number in enumerate(seq.tolist()):
            loss, duplicate, reorder, corrupt = chances[place]
            offset = int(offsets_ns[place])
            if loss < spec.loss or any(start <= offset < end for start, end in spec.dropouts_ns):
                self.truth.dropped.append(number)
                continue
            row = data[place].copy()
            if corrupt < spec.corrupt:
                row[corrupted_bytes[place]] ^= 0x55
                self.truth.corrupted.append(number)
            if reorder < spec.reorder:
                self._held.append(_Held(number, row, int(displacements[place])))
                self.truth.held[number] = int(displacements[place])
                continue
            self._emit(number, row, out)
            if duplicate < spec.duplicate:
                self.truth.duplicated.append(number)
                self._emit(number, row, out)
        return np.array(out, dtype=np.uint8).reshape(len(out), data.shape[1])

    def flush(self, size: int) -> NDArray[np.uint8]:
        """Return what is still held back, in its order, at the end of the stream; shape (m, size)."""
        rows = []
        for held in self._held:
            self.truth.emitted.append(held.seq)
            rows.append(held.row)
        self._held.clear()
        return np.array(rows, dtype=np.uint8).reshape(len(rows), size)

    def _emit(self, seq: int, row: NDArray[np.uint8], out: list[NDArray[np.uint8]]) -> None:
        self.truth.emitted.append(seq)
        out.append(row)
        for held in self._held:
            held.n_to_pass -= 1
        for held in [held for held in self._held if held.n_to_pass <= 0]:
            self._held.remove(held)
            self.truth.emitted.append(held.seq)
            out.append(held.row)
