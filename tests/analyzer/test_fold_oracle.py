"""The fold against a slow reference: one packet at a time, one definition after the other, plain Python."""

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer import StreamFold
from harness.analyzer.sketch import RELATIVE_ERROR
from harness.model import PACKET_DTYPE, UNDEFINED_NS, Distribution, Parameters, StreamInfo, StreamSummary

T0 = 1_700_000_000_000_000_000
INTERVAL = 1_000_000
Packet = tuple[int, int, int]  # number sent, sender's stamp, receive time


@st.composite
def arrivals(draw: st.DrawFn, most: int = 120) -> list[Packet]:
    """Return packets in arrival order: losses, drop-outs, copies, and packets as late as the whole stream."""
    first = draw(st.sampled_from([0, 1, 250, 65_500, 2**32 - 20]))
    sent = draw(st.integers(0, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    gone = rng.random(sent) < draw(st.sampled_from([0.0, 0.03, 0.3]))
    for _ in range(draw(st.integers(0, 4))):
        at = int(rng.integers(0, sent + 1))
        gone[at : at + int(rng.integers(1, 25))] = True
    moved = rng.random(sent) < draw(st.sampled_from([0.0, 0.1]))
    reach = draw(st.sampled_from([3, 40]))
    coming = []
    for k in np.flatnonzero(~gone).tolist():
        for _copy in range(1 + int(rng.random() < 0.1)):
            stamp = T0 + (first + k) * INTERVAL + int(rng.integers(0, 200))
            delay = int(rng.integers(-50, 400_000)) + (int(rng.integers(0, reach)) * INTERVAL if moved[k] else 0)
            coming.append((stamp + delay, first + k, stamp))
    coming.sort()
    return [(number, stamp, rx_ns) for rx_ns, number, stamp in coming]


def rows_of(packets: list[Packet], bits: int) -> np.ndarray[Any, Any]:
    rows = np.zeros(len(packets), PACKET_DTYPE)
    for row, (number, stamp, rx_ns) in zip(rows, packets, strict=True):
        row["seq"], row["tx_ns"], row["rx_ns"] = number % 2**bits if bits < 63 else number, stamp, rx_ns
    return rows


def folded(info: StreamInfo, parameters: Parameters, packets: list[Packet], **known: Any) -> StreamSummary:
    fold = StreamFold(info, parameters)
    for part in np.array_split(rows_of(packets, info.sequence_bits), 3):
        fold.update(part)
    return fold.summary(**known)


def extended(packets: list[Packet], bits: int) -> list[int]:
    """Number each packet by the candidate nearest to the highest number so far; a tie goes forward."""
    numbers: list[int] = []
    for number, _, _ in packets:
        raw = number % 2**bits if bits < 63 else number
        if numbers and bits < 63:
            top = max(numbers)
            near = top + (raw - top) % 2**bits
            raw = near if near - top <= 2 ** (bits - 1) else near - 2**bits
        numbers.append(raw)
    return numbers


def runs_of(numbers: list[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs


def burst_losses(lost: list[int], gmin: int) -> list[list[int]]:
    """Return the losses of each burst: those with another loss fewer than gmin packets away, joined hand to hand."""
    groups: list[list[int]] = []
    for number in lost:
        if groups and number - groups[-1][-1] - 1 < gmin:
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


def assert_distribution(found: Distribution, values: list[int], n_undefined: int = 0) -> None:
    assert found.n == len(values)
    if not values:
        assert (found.minimum_ns, found.maximum_ns, found.mean_ns, found.percentiles_ns) == (None, None, None, {})
        return
    assert (found.minimum_ns, found.maximum_ns) == (min(values), max(values))
    assert found.mean_ns == pytest.approx(sum(values) / len(values), rel=1e-9, abs=1e-9)
    assert sum(found.counts) == len(values)
    assert len(found.edges_ns) == len(found.counts) + 1
    assert found.edges_ns == sorted(found.edges_ns)
    for percent in ("50", "90", "99", "99.9"):
        share = Fraction(percent) / 100
        ranked = sorted(values)
        reached = [x for k, x in enumerate(ranked) if Fraction(k + 1, len(values) + n_undefined) >= share]
        if reached:
            assert found.percentiles_ns[percent] == pytest.approx(reached[0], rel=RELATIVE_ERROR, abs=1e-9)
        else:
            assert percent not in found.percentiles_ns


@given(packets=arrivals(), bits=st.sampled_from([8, 16, 32, 48, 64]), tmax=st.sampled_from([None, 300_000, 5_000_000]))
@settings(max_examples=120, deadline=None, derandomize=True)
def test_every_count_is_that_of_the_definitions(packets: list[Packet], bits: int, tmax: int | None) -> None:
    horizon = 16
    summary = folded(
        StreamInfo(number=0, protocol="x", sequence_bits=bits), Parameters(tmax_ns=tmax, horizon=horizon), packets
    )
    numbers = extended(packets, bits)
    first: dict[int, int] = {}
    for position, number in enumerate(numbers):
        first.setdefault(number, position)
    kept = [p for n, p in first.items() if tmax is None or packets[p][2] - packets[p][1] <= tmax]
    in_time = {numbers[p]: p for p in kept}
    assert summary.received == len(kept)
    assert summary.too_late == len(first) - len(kept)
    assert summary.duplicates == len(packets) - len(first)
    if not packets:
        assert (summary.expected, summary.lost, summary.loss_ratio, summary.reordered) == (None, None, None, None)
        assert (summary.first_rx_ns, summary.jitter_ns, summary.series.received) == (None, None, [])
        return
    everything = range(min(first), max(first) + 1)
    lost = [number for number in everything if number not in in_time]
    assert (summary.expected, summary.lost) == (len(everything), len(lost))
    assert summary.loss_ratio == len(lost) / len(everything)
    periods = runs_of(lost)
    assert summary.loss_periods == len(periods)
    assert summary.longest_loss_period == max((b - a + 1 for a, b in periods), default=0)
    assert (summary.first_rx_ns, summary.last_rx_ns) == (packets[0][2], packets[-1][2])

    order = [(numbers[p], packets[p][1], packets[p][2]) for p in sorted(kept)]
    delays = [rx_ns - stamp for _, stamp, rx_ns in order]
    assert_distribution(summary.delay, delays, len(lost))
    delay_of = {number: rx_ns - stamp for number, stamp, rx_ns in order}
    place = {number: k for k, (number, _, _) in enumerate(order)}
    steps = [
        delay_of[k] - delay_of[k - 1] for k in delay_of if k - 1 in delay_of and abs(place[k] - place[k - 1]) <= horizon
    ]
    assert_distribution(summary.ipdv, steps)
    jitter = None
    for (_, sent, came), (_, sent_next, came_next) in itertools.pairwise(order):
        difference = abs((came_next - came) - (sent_next - sent))
        jitter = (jitter or 0.0) + (difference - (jitter or 0.0)) / 16
    assert summary.jitter_ns == (None if jitter is None else pytest.approx(jitter, rel=1e-9))

    extents, late_times, beyond = [], [], 0
    for i, (number, _, came) in enumerate(order):
        larger = [j for j in range(i) if order[j][0] > number]
        if larger:
            extent = min(i - larger[0], horizon)
            extents.append(extent)
            beyond += extent == horizon
            late_times.append(came - order[i - extent][2])
    assert summary.reordering is not None
    assert summary.reordered == summary.reordering.reordered == len(extents)
    assert summary.reordering.beyond_horizon == beyond
    assert summary.reordering.ratio == (len(extents) / len(order) if order else None)
    assert summary.reordering.extent_max == max(extents, default=None)
    assert summary.reordering.late_time_max_ns == max(late_times, default=None)
    if extents:
        assert summary.reordering.extent_mean == pytest.approx(sum(extents) / len(extents))

    series = summary.series
    for k, count in enumerate(series.received):
        inside = [p for p in order if series.start_ns <= p[2] - k * series.bin_ns < series.start_ns + series.bin_ns]
        assert count == len(inside)
        assert series.first_seq[k] == min((p[0] for p in inside), default=None)
        assert series.last_seq[k] == max((p[0] for p in inside), default=None)
        assert series.delay_min_ns[k] == min((p[2] - p[1] for p in inside), default=None)
        assert series.delay_max_ns[k] == max((p[2] - p[1] for p in inside), default=None)
    assert sum(series.received) == len(order)
    if order:
        assert (sum(series.due), sum(series.lost)) == (len(everything), len(lost))
    marked = [mark.seq for mark in summary.marks if mark.kind == "duplicate"]
    assert sorted(marked) == sorted(number for p, number in enumerate(numbers) if first[number] != p)


@given(
    packets=arrivals(),
    bits=st.sampled_from([32, 64]),
    sent=st.sampled_from([None, 0, 400]),
    gmin=st.integers(1, 20),
    min_packets=st.integers(1, 5),
    min_duration=st.sampled_from([0, 4 * INTERVAL]),
)
@settings(max_examples=120, deadline=None, derandomize=True)
def test_windows_and_layers_are_those_of_the_rules(
    packets: list[Packet], bits: int, sent: int | None, gmin: int, min_packets: int, min_duration: int
) -> None:
    packets = [packet for packet in packets if packet[0] < 400]
    info = StreamInfo(number=0, first_due_ns=T0, interval_ns=INTERVAL, sequence_bits=bits, sent=sent)
    parameters = Parameters(gmin=gmin, min_packets=min_packets, min_duration_ns=min_duration)
    summary = folded(info, parameters, packets)
    came = {number for number, _, _ in packets}
    if sent is None and not came:
        assert (summary.expected, summary.lost, summary.windows) == (None, None, [])
        return
    high = sent if sent is not None else max(came) + 1
    came = {number for number in came if number < high}
    lost = [number for number in range(high) if number not in came]
    assert (summary.expected, summary.received, summary.lost) == (high, len(came), len(lost))
    long = [(a, b) for a, b in runs_of(lost) if b - a + 1 >= min_packets and (b - a + 1) * INTERVAL >= min_duration]
    assert [(window.first_seq, window.last_seq) for window in summary.windows] == long
    for window, (a, b) in zip(summary.windows, long, strict=True):
        assert (window.start_ns, window.end_ns) == (T0 + a * INTERVAL, T0 + (b + 1) * INTERVAL)
        kind = "never_received" if not came else "late_start" if a == 0 else "stopped" if b == high - 1 else "mid_run"
        assert window.kind == kind or (kind == "mid_run" and window.kind == "periodic")
    in_windows = {number for a, b in long for number in range(a, b + 1)}
    thinning, edge, isolated = [], 0, 0
    for group in burst_losses(lost, gmin):
        outside = [number for number in group if number not in in_windows]
        if len(outside) < len(group):
            edge += len(outside)
        elif len(group) == 1:
            isolated += 1
        else:
            thinning.append((group[0], group[-1], len(group), len(group) / (group[-1] - group[0] + 1)))
    assert [(item.first_seq, item.last_seq, item.lost, item.density) for item in summary.thinning] == thinning
    assert (summary.edge, summary.isolated) == (edge, isolated)
    series = summary.series
    for k, (due, gone) in enumerate(zip(series.due, series.lost, strict=True)):
        start = series.start_ns + k * series.bin_ns
        inside = [n for n in range(high) if start <= T0 + n * INTERVAL < start + series.bin_ns]
        assert (due, gone) == (len(inside), len([n for n in inside if n not in came]))


@given(packets=arrivals(most=200), is_numbered=st.booleans(), factor=st.integers(2, 5), floor=st.sampled_from([0, 5]))
@settings(max_examples=120, deadline=None, derandomize=True)
def test_silences_are_those_of_the_passive_rules(
    packets: list[Packet], is_numbered: bool, factor: int, floor: int
) -> None:
    info = StreamInfo(number=0, protocol="x", sequence_bits=64 if is_numbered else 0)
    parameters = Parameters(silence_factor=factor, silence_floor_ns=floor * INTERVAL)
    observed = (T0 - 7 * INTERVAL, T0 + 2**33 * INTERVAL)
    fold = StreamFold(info, parameters)
    rows = rows_of(packets, 64)
    rows["tx_ns"] = UNDEFINED_NS
    fold.update(rows)
    summary = fold.summary(observed=observed)
    order: list[tuple[int, int]] = []
    for number, _, rx_ns in packets:
        if not is_numbered or number not in [known for known, _ in order]:
            order.append((number, rx_ns))
    windows = [(window.kind, window.start_ns, window.end_ns, window.packets) for window in summary.windows]
    if not order:
        assert windows == [("never_received", *observed, None)]
        return
    pairs = list(itertools.pairwise(order))
    steps = sorted(b[1] - a[1] for a, b in pairs if not is_numbered or b[0] == a[0] + 1)
    interval = summary.schedule.interval_ns
    if steps:
        assert interval == pytest.approx(steps[(len(steps) - 1) // 2], rel=RELATIVE_ERROR, abs=1)
    if interval is None:
        assert steps == []
        threshold = parameters.silence_floor_ns
        if not threshold:
            assert windows == []
            return
    else:
        threshold = max(factor * interval, parameters.silence_floor_ns)
    known = {number for number, _ in order}
    wanted: list[tuple[str, int, int, int | None]] = []
    if order[0][1] - observed[0] > threshold:
        wanted.append(("silent_start", observed[0], order[0][1], None))
    top = order[0][0]
    for (_, before), (number, after) in pairs:
        if after - before > threshold:
            missing = len([n for n in range(top + 1, number) if n not in known])
            kind = "silence" if not is_numbered else "outage" if missing else "stall"
            wanted.append((kind, before + (interval or 0), after, missing if is_numbered else None))
        top = max(top, number)
    wanted.append(("silent_end", order[-1][1] + (interval or 0), observed[1], None))
    assert windows == wanted
    if is_numbered:
        assert summary.lost is not None
        placed = sum(window.packets or 0 for window in summary.windows) + sum(item.lost for item in summary.thinning)
        assert summary.lost == placed + (summary.edge or 0) + (summary.isolated or 0)
