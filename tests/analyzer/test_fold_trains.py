"""Trains are folded as their packets are, whatever comes in them."""

import functools

import numpy as np
import pytest
from fold_helpers import FLAGS, INTERVAL, STREAMS, T0, assert_same, cut
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer import Fold, StreamFold, Tally
from harness.errors import AnalysisError
from harness.model import (
    TRAIN_DTYPE,
    UNDEFINED_NS,
    UNNUMBERED,
    PacketFlag,
    Parameters,
    StreamInfo,
    TrainArray,
    expand_trains,
)

HORIZON = 16
PROBE = StreamInfo(number=0, first_due_ns=T0, interval_ns=INTERVAL)


def any_trains(info: StreamInfo, rng: np.random.Generator, *, is_part_bare: bool = True) -> TrainArray:
    """Return trains that rise, most of them; and gaps, overlaps, copies, and all that can be wrong with packets.

    Among other packets, those without a number count differently from chunk to chunk, as long as none had one yet.
    """
    k = int(rng.integers(0, 60))
    trains = np.zeros(k, TRAIN_DTYPE)
    trains["count"] = rng.choice([1, 3, 8, 64, int(rng.integers(1, 90))], k)
    modulus = info.sequence_modulus or (2**info.sequence_bits if info.sequence_bits < 63 else 2**40)
    if modulus < 1000:
        trains["count"] = np.minimum(trains["count"], int(rng.choice([1, 4, 9])))
    gaps = (rng.random(k) < rng.choice([0, 0.05, 0.3])) * rng.integers(0, 100, k)
    starts = np.cumsum(trains["count"] + gaps) - trains["count"] + int(rng.choice([0, 3, modulus - 40]))
    if rng.random() < 0.4:
        starts[rng.random(k) < rng.choice([0.02, 0.3])] -= int(rng.integers(1, 80))
    trains["seq"] = np.maximum(starts, 0) % modulus + info.sequence_first
    trains["count"] = np.minimum(trains["count"], modulus + info.sequence_first - trains["seq"])  # none wraps within
    trains["tx_ns"] = T0 + starts * INTERVAL
    trains["rx_ns"] = trains["tx_ns"] + rng.integers(int(rng.choice([-50, 1000])), 900_000, k)
    if rng.random() < 0.5:
        trains["rx_ns"] = np.maximum.accumulate(trains["rx_ns"])
    trains["stream"], trains["size"] = info.number, 64
    if rng.random() < 0.5:
        touched, kind = rng.random(k) < rng.choice([0.02, 0.2]), rng.integers(0, 6, k)
        trains["flags"][touched & (kind == 0)] = rng.choice(FLAGS)
        strange = [2**62 - 5, 2**63 - 70, 300, 0, *[UNNUMBERED, -7] * is_part_bare]
        trains["seq"][touched & (kind == 1)] = rng.choice(strange)
        trains["rx_ns"][touched & (kind == 2)] = rng.choice([UNDEFINED_NS, 2**62, T0])
        trains["tx_ns"][touched & (kind == 3)] = rng.choice([UNDEFINED_NS, 2**62, T0])
        trains["size"][touched & (kind == 4)] = 100
        trains["count"][touched & (kind == 5)] = 0
    return trains


@given(
    number=st.integers(0, len(STREAMS) - 1),
    seed=st.integers(0, 2**32),
    tmax=st.sampled_from([None, 500_000, 10**12]),
    horizon=st.sampled_from([4, HORIZON, 1024]),
)
@settings(max_examples=300, deadline=None, derandomize=True)
def test_trains_give_the_summary_of_their_packets(number: int, seed: int, tmax: int | None, horizon: int) -> None:
    rng = np.random.default_rng(seed)
    info, parameters = STREAMS[number if rng.random() < 0.7 else 0], Parameters(tmax_ns=tmax, horizon=horizon)
    trains = any_trains(info, rng)
    parts = cut(seed, trains, 4)
    by_trains, by_packets = [], []
    for index, part in enumerate(parts):
        is_first = index == 0 and seed % 3 > 0
        folds = [StreamFold(info, parameters, is_first=is_first) for _ in range(2)]
        for chunk in cut(seed + 1, part, 5):
            if rng.random() < 0.8:
                folds[0].update_trains(chunk)
            else:
                folds[0].update(expand_trains(chunk))
            folds[1].update(expand_trains(chunk))
        by_trains.append(folds[0])
        by_packets.append(folds[1])
    one, other = (functools.reduce(StreamFold.merge, folds) for folds in (by_trains, by_packets))
    assert one.view() == other.view()
    observed = (T0 - 1, T0 + 400 * INTERVAL) if seed % 2 else None
    assert_same(one.summary(observed=observed, drops=3), other.summary(observed=observed, drops=3))


@given(seed=st.integers(0, 2**32), is_first=st.booleans())
@settings(max_examples=40, deadline=None, derandomize=True)
def test_trains_of_mixed_streams_give_what_their_packets_give(seed: int, is_first: bool) -> None:
    rng = np.random.default_rng(seed)
    trains = np.concatenate([any_trains(info, rng, is_part_bare=False) for info in STREAMS])
    trains = trains[np.argsort(rng.random(len(trains)).round(1), kind="stable")]
    parameters = Parameters(horizon=HORIZON)
    folds, tally = [Fold(parameters, is_first=is_first) for _ in range(2)], Tally(parameters)
    for info in STREAMS:
        tally.add_stream(info)
        for fold in folds:
            fold.add_stream(info)
    for chunk in cut(seed + 1, trains, 5):
        folds[0].update_trains(chunk)
        folds[1].update(expand_trains(chunk))
        tally.update_trains(chunk)
    assert not is_first or folds[0].view() == folds[1].view() == tally.view()  # else the head ends where chunks do
    for one, other in zip(folds[0].summaries(), folds[1].summaries(), strict=True):
        assert_same(one, other)


def test_packets_that_wait_are_folded_before_the_trains_that_follow_them() -> None:
    trains = np.zeros(2, TRAIN_DTYPE)
    trains["seq"], trains["count"], trains["rx_ns"] = [0, 10], 10, [T0, T0 + 1]
    fold, tally = Fold(is_first=True), Tally()
    for number in (0, 1):
        fold.add_stream(StreamInfo(number=number))
        tally.add_stream(StreamInfo(number=number))
    for one in (fold, tally):
        one.update(expand_trains(trains[:1])[::-1])
        one.update_trains(trains[1:])
    reordering = fold.summaries()[0].reordering
    assert reordering is not None
    assert reordering.reordered == 9
    assert fold.view() == tally.view()


def test_trains_in_order_are_taken_without_looking_at_their_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    trains = np.zeros(4, TRAIN_DTYPE)
    trains["seq"], trains["count"] = [0, 64, 128, 200], 64
    trains["tx_ns"] = T0 + trains["seq"] * INTERVAL
    trains["rx_ns"] = trains["tx_ns"] + [100, 300, 200, 700]
    fold = StreamFold(PROBE, is_first=True)
    monkeypatch.setattr("harness.analyzer.reception.expand_trains", None)
    fold.update_trains(trains)
    fold.update_trains(trains[:0])
    summary = fold.summary()
    assert (summary.received, summary.lost, summary.delay.n, summary.ipdv.n) == (256, 8, 256, 254)
    assert summary.delay.mean_ns == 325
    assert (summary.ipdv.minimum_ns, summary.ipdv.maximum_ns) == (-100, 200)


def test_no_train_and_trains_of_nothing_say_nothing() -> None:
    fold = StreamFold(PROBE, is_first=True)
    fold.update_trains(np.zeros(0, TRAIN_DTYPE))
    fold.update_trains(np.zeros(3, TRAIN_DTYPE))
    assert fold.summary().received == 0


def test_trains_that_all_come_too_late_are_lost() -> None:
    trains = np.zeros(2, TRAIN_DTYPE)
    trains["seq"], trains["count"], trains["tx_ns"], trains["rx_ns"] = [0, 64], 64, T0, T0 + 1000
    fold = StreamFold(PROBE, Parameters(tmax_ns=999), is_first=True)
    fold.update_trains(trains)
    summary = fold.summary()
    assert (summary.received, summary.too_late, summary.lost) == (0, 128, 128)


def test_an_end_among_trains_is_no_packet_of_the_stream() -> None:
    trains = np.zeros(2, TRAIN_DTYPE)
    trains["seq"], trains["count"], trains["rx_ns"], trains["tx_ns"] = [0, 64], [64, 1], T0, T0
    trains["flags"][1] = PacketFlag.END
    fold = StreamFold(PROBE, is_first=True)
    fold.update_trains(trains)
    assert fold.summary().received == 64


def test_trains_of_an_unknown_stream_are_an_error_with_its_number() -> None:
    trains = np.ones(1, TRAIN_DTYPE)
    for one in (Fold(), Tally()):
        with pytest.raises(AnalysisError, match="stream 1"):
            one.update_trains(trains)
