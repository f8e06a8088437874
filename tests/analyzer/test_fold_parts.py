"""However a recording is cut into chunks and parts, the summary is the same."""

import functools

import msgspec
import numpy as np
import pytest
from fold_helpers import INTERVAL, T0, assert_same, cut
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer import Fold, StreamFold
from harness.errors import AnalysisError
from harness.model import (
    PACKET_DTYPE,
    UNDEFINED_NS,
    UNNUMBERED,
    PacketArray,
    PacketFlag,
    Parameters,
    StreamInfo,
)

HORIZON = 16


def random_rows(seed: int, bits: int, *, ticks: bool = False) -> PacketArray:
    """Return a stream with loss, drop-outs, late packets, copies and damage, all within the horizon."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 300))
    number = np.arange(n) + int(rng.integers(0, 2**bits if bits < 63 else 2**40))
    keep = rng.random(n) >= rng.choice([0, 0.05, 0.3])
    for start in rng.integers(0, n + 1, int(rng.integers(0, 3))):
        keep[start : start + int(rng.integers(2, 30))] = False
    index = np.flatnonzero(keep)
    is_late = rng.random(len(index)) < rng.choice([0, 0.1])
    place = np.arange(len(index)) + np.where(is_late, rng.integers(1, HORIZON - 3, len(index)) + 0.5, 0)
    copies = np.flatnonzero(rng.random(len(index)) < rng.choice([0, 0.1]))
    place = np.append(place, place[copies] + rng.integers(0, 3, len(copies)) + 0.25)
    index = np.append(index, index[copies])[np.argsort(place, kind="stable")]
    rows = np.zeros(len(index), PACKET_DTYPE)
    rows["seq"] = number[index] % 2**bits if bits < 63 else number[index]
    rows["tx_ns"] = T0 + index * INTERVAL + rng.integers(0, 1000, len(index))
    rows["rx_ns"] = np.maximum.accumulate(rows["tx_ns"] + rng.integers(-5_000, 900_000, len(index)))
    damage = rng.random(len(index))
    rows["flags"][damage < 0.03] = PacketFlag.CORRUPT
    rows["flags"][(damage > 0.03) & (damage < 0.05)] = PacketFlag.MISDELIVERED
    rows["flags"][(damage > 0.05) & (damage < 0.06)] = PacketFlag.END
    if rng.random() < 0.2:
        rows["tx_ns"][rng.random(len(index)) < 0.5] = UNDEFINED_NS
    if rng.random() < 0.1:
        rows["seq"] = UNNUMBERED
    if ticks:
        rows["tx_ns"] = np.where(rows["tx_ns"] == UNDEFINED_NS, UNDEFINED_NS, (index * 48 + 2**32 - 4000) % 2**32)
    return rows


def whole(info: StreamInfo, parameters: Parameters, rows: PacketArray) -> StreamFold:
    fold = StreamFold(info, parameters, is_first=True)
    fold.update(rows)
    return fold


def in_parts(info: StreamInfo, parameters: Parameters, rows: PacketArray, seed: int) -> StreamFold:
    folds = []
    for part in cut(seed, rows, 5):
        fold = StreamFold(info, parameters)
        for chunk in cut(seed + 1, part, 4):
            fold.update(chunk)
        folds.append(fold)
    return functools.reduce(StreamFold.merge, folds)


STREAMS = {
    "probe": StreamInfo(number=0, first_due_ns=T0, interval_ns=INTERVAL, sent=310),
    "aperiodic": StreamInfo(number=0, first_due_ns=T0, interval_ns=0),
    "8 bits": StreamInfo(number=0, protocol="sacn", sequence_bits=8),
    "8 bits, interval known": StreamInfo(number=0, protocol="sacn", sequence_bits=8, interval_ns=INTERVAL),
    "16 bits, scheduled": StreamInfo(
        number=0, protocol="rtp", sequence_bits=16, first_due_ns=T0, interval_ns=INTERVAL, clock_offset_ns=100
    ),
    "32 bits": StreamInfo(number=0, protocol="x", sequence_bits=32),
    "media clock": StreamInfo(number=0, protocol="rtp", sequence_bits=16, clock_rate=48_000),
}


@given(
    name=st.sampled_from(sorted(STREAMS)),
    seed=st.integers(0, 2**32),
    tmax=st.sampled_from([None, 500_000, 800_000]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_chunks_and_parts_give_the_same_summary(name: str, seed: int, tmax: int | None) -> None:
    info = STREAMS[name]
    parameters = Parameters(horizon=HORIZON, tmax_ns=tmax)
    rows = random_rows(seed, info.sequence_bits, ticks=name == "media clock")
    observed = (T0 - 1, T0 + 400 * INTERVAL) if seed % 2 else None
    one = whole(info, parameters, rows).summary(observed=observed, drops=3)
    parts = in_parts(info, parameters, rows, seed).summary(observed=observed, drops=3)
    assert_same(one, parts)
    if one.lost is not None and one.isolated is not None and one.edge is not None:
        placed = sum(window.packets or 0 for window in one.windows) + sum(item.lost for item in one.thinning)
        assert one.lost == placed + one.edge + one.isolated
        assert one.expected == one.received + one.lost
        where = one.attribution
        assert where.network + where.own_buffer + where.late + where.not_sent + where.unknown == one.lost


@given(seed=st.integers(0, 2**32))
@settings(max_examples=15, deadline=None, derandomize=True)
def test_mixed_streams_give_the_same_as_each_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    infos = [msgspec.structs.replace(info, number=k) for k, info in enumerate(STREAMS.values())]
    parameters = Parameters(horizon=HORIZON)
    each = []
    for info in infos:
        rows = random_rows(seed + info.number, info.sequence_bits, ticks=info.clock_rate is not None)
        rows["stream"] = info.number
        each.append(rows)
    owners = np.repeat(np.arange(len(each)), [len(rows) for rows in each])
    rng.shuffle(owners)
    mixed = np.zeros(len(owners), PACKET_DTYPE)
    for number, rows in enumerate(each):
        mixed[owners == number] = rows
    folds = []
    for part in cut(seed, mixed, 4):
        fold = Fold(parameters)
        for info in infos:
            fold.add_stream(info)
        for chunk in cut(seed + 1, part, 4):
            fold.update(chunk)
        folds.append(fold)
    found = functools.reduce(Fold.merge, folds).summaries()
    assert [summary.number for summary in found] == list(range(len(each)))
    for info, rows, summary in zip(infos, each, found, strict=True):
        assert_same(whole(info, parameters, rows).summary(), summary)


@given(
    data=st.binary(max_size=40 * PACKET_DTYPE.itemsize),
    likely=st.binary(max_size=8),
    bits=st.sampled_from([0, 4, 8, 16, 32, 62, 63, 64]),
    first_due=st.sampled_from([None, 0, T0, -(2**62), 2**62]),
    interval=st.sampled_from([None, 0, 1, INTERVAL, 2**40]),
    clock_rate=st.sampled_from([None, 90_000]),
    tmax=st.sampled_from([None, 0, 2**60]),
    sent=st.sampled_from([None, 0, 7, 2**50]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_no_packet_of_any_content_raises(
    data: bytes,
    likely: bytes,
    bits: int,
    first_due: int | None,
    interval: int | None,
    clock_rate: int | None,
    tmax: int | None,
    sent: int | None,
) -> None:
    hostile = np.frombuffer(data[: len(data) // PACKET_DTYPE.itemsize * PACKET_DTYPE.itemsize], PACKET_DTYPE)
    plain = np.zeros(len(likely), PACKET_DTYPE)
    plain["seq"], plain["rx_ns"] = list(likely), T0
    rows = np.concatenate((hostile, plain))
    info = StreamInfo(
        number=0,
        protocol="x",
        sequence_bits=bits,
        first_due_ns=first_due,
        interval_ns=interval,
        clock_rate=clock_rate,
        sent=sent,
    )
    parameters = Parameters(horizon=4, tmax_ns=tmax)
    for observed in (None, (T0, T0 + 10**9)):
        found = in_parts(info, parameters, rows, 1).summary(observed=observed, joined_ns=observed and T0)
        assert found.received >= 0
        assert found.lost is None or found.lost >= 0
        msgspec.json.encode(found)


def test_a_reused_buffer_does_not_change_what_was_folded() -> None:
    rows = random_rows(7, 64)
    buffer = rows.copy()
    fold = Fold()
    for number in (0, 1):
        fold.add_stream(StreamInfo(number=number))
    fold.update(buffer)
    buffer["seq"] = 0
    assert fold.summaries()[0].received == whole(StreamInfo(number=0), Parameters(), rows).summary().received


def test_a_part_that_began_the_recording_cannot_follow_another() -> None:
    with pytest.raises(AnalysisError, match="is_first"):
        StreamFold(StreamInfo(number=0)).merge(StreamFold(StreamInfo(number=0), is_first=True))


def test_packets_of_an_unknown_stream_are_an_error_with_its_number() -> None:
    rows = np.zeros(1000, PACKET_DTYPE)
    rows["stream"] = 5
    with pytest.raises(AnalysisError, match="stream 5"):
        Fold().update(rows)


def test_numbering_cannot_change_after_the_first_packet() -> None:
    fold = Fold()
    fold.add_stream(StreamInfo(number=0))
    fold.update(random_rows(7, 64))
    fold.add_stream(StreamInfo(number=0, sent=9))
    with pytest.raises(AnalysisError, match="sequence_bits"):
        fold.add_stream(StreamInfo(number=0, sequence_bits=16))


def test_a_part_cut_off_from_packets_beyond_the_horizon_is_said_to_be_approximate() -> None:
    rows = np.zeros(200, PACKET_DTYPE)
    rows["seq"] = np.append(np.arange(100, 200), np.arange(100))
    rows["rx_ns"] = T0 + np.arange(200)
    info, parameters = StreamInfo(number=0, protocol="x"), Parameters(horizon=HORIZON)
    summary = functools.reduce(
        StreamFold.merge, [in_parts(info, parameters, part, 3) for part in (rows[:100], rows[100:])]
    ).summary()
    assert (summary.received, summary.lost, summary.duplicates) == (200, 0, 0)
    assert any("approximate" in note for note in summary.notes)
