import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.rtp_source import RtpSource
from harness.errors import AnalysisError, UsageError


class PrintedSource:
    """RFC 3550 A.1 and A.3 packet by packet, in the standard's own variables (successor modulo the range)."""

    def __init__(self, bits: int, max_dropout: int, max_misorder: int, min_sequential: int) -> None:
        self.mod, self.dropout, self.misorder, self.sequential = 1 << bits, max_dropout, max_misorder, min_sequential
        self.is_new = True
        self.resyncs = 0

    def init_seq(self, seq: int) -> None:
        self.base_seq = self.max_seq = seq
        self.bad_seq = self.mod + 1
        self.cycles = self.received = self.received_prior = self.expected_prior = 0

    def update_seq(self, seq: int) -> int:
        if self.is_new:
            self.is_new = False
            self.init_seq(seq)
            self.max_seq = (seq - 1) % self.mod
            self.probation = self.sequential
        delta = (seq - self.max_seq) % self.mod
        if self.probation:
            if seq == (self.max_seq + 1) % self.mod:
                self.probation -= 1
                self.max_seq = seq
                if self.probation == 0:
                    self.init_seq(seq)
                    self.received += 1
                    return 1
            else:
                self.probation = self.sequential - 1
                self.max_seq = seq
            return 0
        if delta < self.dropout:
            if seq < self.max_seq:
                self.cycles += self.mod
            self.max_seq = seq
        elif delta <= self.mod - self.misorder:
            if seq != self.bad_seq:
                self.bad_seq = (seq + 1) & (self.mod - 1)
                return 0
            self.resyncs += 1
            self.init_seq(seq)
        self.received += 1
        return 1

    def fraction(self) -> int | None:
        expected = self.cycles + self.max_seq - self.base_seq + 1
        expected_interval = expected - self.expected_prior
        received_interval = self.received - self.received_prior
        self.expected_prior, self.received_prior = expected, self.received
        lost = expected_interval - received_interval
        if expected_interval == 0:
            return None
        return 0 if lost <= 0 else (lost << 8) // expected_interval


STEPS = st.sampled_from([1, 1, 1, 1, 1, 0, 2, 3, -1, -2, 9, 17, 18, 30, -7])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 63), st.lists(st.lists(STEPS, max_size=25), max_size=4), st.integers(2, 3))
def test_whole_runs_come_to_the_same_as_packet_by_packet(
    start: int, batches: list[list[int]], min_sequential: int
) -> None:
    printed = PrintedSource(6, 18, 8, min_sequential)
    source = RtpSource(6, max_dropout=18, max_misorder=8, min_sequential=min_sequential)
    seq = start
    for steps in batches:
        batch = []
        for step in steps:
            seq = (seq + step) % 64
            batch.append(seq)
        wanted = [printed.update_seq(number) for number in batch]
        assert source.update(np.array(batch, dtype=np.int64)).astype(int).tolist() == wanted
        report = source.report()
        if printed.is_new or printed.probation:
            assert report is None
            continue
        assert report is not None
        assert report.fraction_lost == printed.fraction()
        assert (report.received, report.extended_max) == (printed.received, printed.cycles + printed.max_seq)
        assert report.expected == printed.expected_prior
        assert (source.base_seq, source.n_resyncs) == (printed.base_seq, printed.resyncs)


def test_no_packet_and_one_packet_make_no_source() -> None:
    source = RtpSource()
    assert len(source.update(np.array([], dtype=np.int64))) == 0
    assert source.report() is None
    assert source.update(np.array([5])).tolist() == [False]
    assert source.report() is None


def test_an_interval_without_packets_has_no_fraction() -> None:
    source = RtpSource()
    source.update(np.arange(10))
    first, second = source.report(), source.report()
    assert first is not None
    assert second is not None
    assert (first.fraction_lost, second.fraction_lost) == (0, None)


def test_half_lost_is_128_of_256() -> None:
    source = RtpSource()
    source.update(np.array([0, 1]))
    source.report()
    source.update(np.array([3, 5, 7, 9]))
    report = source.report()
    assert report is not None
    assert (report.fraction_lost, report.lost) == (128, 4)


def test_duplicates_make_the_loss_negative() -> None:
    source = RtpSource()
    source.update(np.array([0, 1, 2, 2, 2]))
    report = source.report()
    assert report is not None
    assert (report.lost, report.fraction_lost) == (-2, 0)


def test_a_restart_begins_a_new_epoch_at_its_second_packet() -> None:
    source = RtpSource()
    assert source.update(np.array([1, 2, 3, 30_000, 30_001, 30_002])).tolist() == [False, True, True, False, True, True]
    assert (source.base_seq, source.n_resyncs) == (30_001, 1)


def test_a_long_stream_keeps_its_cycles() -> None:
    source = RtpSource()
    source.update((np.arange(300_000) % 65536).astype(np.uint16))
    report = source.report()
    assert report is not None
    assert (report.extended_max, report.lost) == (299_999, 0)


def test_a_number_too_wide_is_refused() -> None:
    with pytest.raises(AnalysisError, match=r"sequence numbers 0 \.\. 65536 exceed"):
        RtpSource().update(np.array([0, 65536]))
    with pytest.raises(AnalysisError, match=r"sequence numbers -1 \.\. 1 exceed"):
        RtpSource().update(np.array([-1, 1]))


def test_steps_that_the_width_cannot_hold_are_refused() -> None:
    with pytest.raises(UsageError, match="8-bit sequence numbers cannot tell"):
        RtpSource(8)
    with pytest.raises(UsageError, match="a step of 200 forward from one of 57 back"):
        RtpSource(8, max_dropout=200, max_misorder=57)
    RtpSource(8, max_dropout=200, max_misorder=56)
    RtpSource(1, max_dropout=1, max_misorder=1)
