"""A source's packets expected and lost as an RTP receiver reports them (RFC 3550 A.1, A.3).

The state machine is sequential, since it holds each packet against the highest number so far. While packets come in
order that is simply the packet before, so whole runs advance at once and only the packets out of order go singly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import AnalysisError, UsageError


@dataclass(frozen=True, slots=True)
class ReceptionReport:
    """What a reception report says of a source (RFC 3550 6.4.1, A.3).

    Attributes:
      received: packets counted in this sequence epoch, late and duplicate ones too.
      expected: packets expected in this epoch.
      extended_max: highest number received, with its cycles.
      fraction_lost: lost of those expected since the last report in units of 1/256; None before any is expected.
    """

    received: int
    expected: int
    extended_max: int
    fraction_lost: int | None

    @property
    def lost(self) -> int:
        """Cumulative number of packets lost; negative where duplicates outweigh losses (A.3)."""
        return self.expected - self.received


class RtpSource:
    """One source's sequence state (RFC 3550 A.1).

    Deviating from the C code there, the successor of the highest number is taken modulo the number's range during
    probation too. As there, a jump that lasts for two packets starts a new epoch with all counts at zero.

    Attributes:
      base_seq: first number counted in this epoch; None in probation.
      n_resyncs: epochs begun after the first.
    """

    def __init__(
        self, bits: int = 16, *, max_dropout: int = 3000, max_misorder: int = 100, min_sequential: int = 2
    ) -> None:
        """Start in probation.

        Args:
          bits: width of the number, 1 to 32.
          max_dropout: largest step forward that is taken for loss.
          max_misorder: largest step back that is taken for reordering.
          min_sequential: packets in sequence before the source is valid.

        Raises:
          UsageError: the steps leave no room in the range of numbers.
        """
        self._modulus = 1 << bits
        if not 1 <= bits <= 32 or max_dropout < 1 or max_misorder < 0 or max_dropout + max_misorder > self._modulus:
            raise UsageError(
                f"{bits}-bit sequence numbers cannot tell a step of {max_dropout} forward from one of "
                f"{max_misorder} back; lower max_dropout and max_misorder"
            )
        self._max_dropout, self._max_misorder, self._min_sequential = max_dropout, max_misorder, min_sequential
        self._probation = min_sequential
        self._max_seq: int | None = None
        self._bad_seq: int | None = None
        self._cycles = self._received = 0
        self._expected_prior = self._received_prior = 0
        self.base_seq: int | None = None
        self.n_resyncs = -1

    def update(self, seq: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Take raw sequence numbers in arrival order, shape (n,); return which were counted, shape (n,) (A.1).

        Raises:
          AnalysisError: a number does not fit the width.
        """
        numbers = seq.astype(np.int64)
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < self._modulus:
            raise AnalysisError(f"sequence numbers {numbers.min()} .. {numbers.max()} exceed 0 .. {self._modulus - 1}")
        is_valid = np.ones(len(numbers), dtype=bool)
        step = np.diff(numbers) % self._modulus
        breaks = np.append(np.flatnonzero(step >= self._max_dropout) + 1, len(numbers))
        i = 0
        while i < len(numbers):
            is_valid[i] = self._take(int(numbers[i]))
            in_order = self.base_seq is not None and self._max_seq == numbers[i]
            i += 1
            if in_order:
                end = int(breaks[np.searchsorted(breaks, i)])
                self._run(numbers[i - 1 : end])
                i = end
        return is_valid

    def report(self) -> ReceptionReport | None:
        """Return a reception report and begin the next interval (A.3); None in probation."""
        if self.base_seq is None or self._max_seq is None:
            return None
        extended_max = self._cycles + self._max_seq
        expected = extended_max - self.base_seq + 1
        expected_here, received_here = expected - self._expected_prior, self._received - self._received_prior
        self._expected_prior, self._received_prior = expected, self._received
        fraction = None if not expected_here else max(0, (expected_here - received_here) * 256 // expected_here)
        return ReceptionReport(self._received, expected, extended_max, fraction)

    def _run(self, numbers: NDArray[np.int64]) -> None:
        """Count all but the first of numbers that each follow the one before."""
        self._cycles += self._modulus * int(np.count_nonzero(numbers[1:] < numbers[:-1]))
        self._received += len(numbers) - 1
        self._max_seq = int(numbers[-1])

    def _begin_epoch(self, seq: int) -> None:
        self.base_seq = self._max_seq = seq
        self._bad_seq = None
        self._cycles = self._received = self._expected_prior = self._received_prior = 0
        self.n_resyncs += 1

    def _take(self, seq: int) -> bool:
        """Take one packet; return whether it is counted."""
        step = None if self._max_seq is None else (seq - self._max_seq) % self._modulus
        if self.base_seq is None:
            self._probation = self._probation - 1 if step == 1 or step is None else self._min_sequential - 1
            self._max_seq = seq
            if self._probation > 0:
                return False
            self._begin_epoch(seq)
        elif step is not None and step < self._max_dropout:
            if seq < (self._max_seq or 0):
                self._cycles += self._modulus
            self._max_seq = seq
        elif step is not None and step <= self._modulus - self._max_misorder:
            if seq != self._bad_seq:
                self._bad_seq = (seq + 1) % self._modulus
                return False
            self._begin_epoch(seq)
        self._received += 1
        return True
