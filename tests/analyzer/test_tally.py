"""The live tally says of every stream what the whole fold would say."""

from typing import Any

import msgspec
import numpy as np
import pytest
from fold_helpers import FLAGS, INTERVAL, STREAMS, T0
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer import Fold, StreamView, Tally
from harness.errors import AnalysisError
from harness.model import PACKET_DTYPE, UNDEFINED_NS, UNNUMBERED, PacketArray, PacketFlag, Parameters, StreamInfo


def arrivals(info: StreamInfo, rng: np.random.Generator, n: int) -> PacketArray:
    """Return a stream: long runs in order, and between them everything that can happen to packets."""
    index = np.arange(n) + int(rng.choice([0, 3, 60_000]))
    if rng.random() < 0.5:
        index += np.cumsum(rng.random(n) < 0.02) * int(rng.choice([1, 5, 7, 8, 100, 128, 32_768, 40_000]))
    rows = np.zeros(n, PACKET_DTYPE)
    modulus = info.sequence_modulus or (2**info.sequence_bits if info.sequence_bits < 63 else 2**62)
    rows["seq"] = index % modulus + info.sequence_first
    rows["tx_ns"] = T0 + index * INTERVAL
    rows["rx_ns"] = rows["tx_ns"] + rng.integers(-50, 900_000, n)
    rows["stream"], rows["size"] = info.number, 64
    touched = rng.random(n) < rng.choice([0, 0, 0.02, 0.2])
    kind = rng.integers(0, 7, n)
    rows["flags"][touched & (kind == 0)] = rng.choice(FLAGS)
    rows["seq"][touched & (kind == 1)] = rng.choice([UNNUMBERED, -7, 2**62, 300, 0])
    rows["rx_ns"][touched & (kind == 2)] = rng.choice([UNDEFINED_NS, 2**62, -5])
    rows["tx_ns"][touched & (kind == 3)] = UNDEFINED_NS
    rows["size"][touched & (kind == 4)] = 100
    if rng.random() < 0.1:
        rows["flags"] = rng.choice(FLAGS)
    if rng.random() < 0.1:
        rows["seq"] = UNNUMBERED
    order = np.arange(n) + np.where(touched & (kind == 5), rng.integers(1, 20), 0)
    copies = np.flatnonzero(touched & (kind == 6))
    order, rows = np.append(order, order[copies] + 2), np.append(rows, rows[copies])
    return rows[np.argsort(order, kind="stable")]


@given(
    seed=st.integers(0, 2**32),
    chosen=st.sets(st.integers(0, len(STREAMS) - 1), min_size=1),
    is_mixed=st.booleans(),
    tmax=st.sampled_from([None, 500_000]),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_the_tally_views_what_the_fold_views(seed: int, chosen: set[int], is_mixed: bool, tmax: int | None) -> None:
    rng = np.random.default_rng(seed)
    parameters = Parameters(tmax_ns=tmax)
    tally, fold = Tally(parameters), Fold(parameters, is_first=True)
    each = [arrivals(STREAMS[number], rng, int(rng.integers(0, 600))) for number in sorted(chosen)]
    rows = np.concatenate(each)
    if is_mixed:
        rows = rows[np.argsort(rng.random(len(rows)).round(2), kind="stable")]
    for number in sorted(chosen):
        tally.add_stream(STREAMS[number])
        fold.add_stream(STREAMS[number])
    for chunk in np.split(rows, np.sort(rng.integers(0, len(rows) + 1, int(rng.integers(0, 30))))):
        buffer = chunk.copy()
        tally.update(buffer)
        buffer[:] = 0  # it may be reused
        fold.update(chunk)
        if rng.random() < 0.1:
            number = int(rng.choice(sorted(chosen)))
            news = msgspec.structs.replace(STREAMS[number], sent=5, interval_ns=STREAMS[number].interval_ns or INTERVAL)
            tally.add_stream(news)
            fold.add_stream(news)
            assert tally.view() == fold.view()
    assert tally.view() == fold.view()


def run_of(first: int, n: int, **fields: Any) -> PacketArray:
    rows = np.zeros(n, PACKET_DTYPE)
    rows["seq"] = np.arange(first, first + n)
    rows["rx_ns"] = T0 + rows["seq"]
    for name, value in fields.items():
        rows[name] = value
    return rows


def test_runs_and_what_is_missing_between_them_are_counted() -> None:
    tally = Tally()
    tally.add_stream(StreamInfo(number=3))
    for first, n in ((0, 2000), (2000, 2000), (4010, 90), (4000, 5), (4005, 1)):
        tally.update(run_of(first, n, stream=3))
    assert tally.view() == [StreamView(3, 4096, 4, (4006, 4009), T0 + 4005)]


def test_no_packet_gives_a_view_with_nothing_in_it() -> None:
    tally = Tally()
    assert tally.view() == []
    tally.add_stream(StreamInfo(number=0))
    tally.update(run_of(0, 0))
    assert tally.view() == [StreamView(0, 0, None, None, None)]


def test_a_single_packet_and_a_wrap_are_counted() -> None:
    tally = Tally()
    tally.add_stream(StreamInfo(number=0, protocol="rtp", sequence_bits=16))
    tally.update(run_of(65_535, 1))
    tally.update(run_of(0, 1000))
    tally.update(run_of(1002, 3))
    assert tally.view() == [StreamView(0, 1004, 2, None, T0 + 1004)]


def test_all_copies_and_all_ends_count_nothing() -> None:
    tally = Tally()
    tally.add_stream(StreamInfo(number=0))
    tally.update(run_of(0, 50))
    tally.update(run_of(0, 50))
    tally.update(run_of(50, 50, flags=PacketFlag.END))
    assert [(view.received, view.lost) for view in tally.view()] == [(50, 0)]


@pytest.mark.parametrize("n", [1, 1000])
def test_packets_of_an_unknown_stream_are_an_error_with_its_number(n: int) -> None:
    with pytest.raises(AnalysisError, match="stream 5"):
        Tally().update(run_of(0, n, stream=5))


def test_numbering_cannot_change_after_the_first_packet() -> None:
    tally = Tally()
    tally.add_stream(StreamInfo(number=0))
    tally.update(run_of(0, 9))
    tally.add_stream(StreamInfo(number=0, sent=9))
    with pytest.raises(AnalysisError, match="sequence_bits"):
        tally.add_stream(StreamInfo(number=0, sequence_bits=16))
