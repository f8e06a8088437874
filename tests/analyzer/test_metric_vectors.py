"""Worked answers from the standards for the metrics that stand alone; those of the fold are tested beside it."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.analyzer import loss_pattern
from harness.analyzer import reordering as order
from harness.analyzer.availability import availability
from harness.analyzer.byte_offset import byte_offsets
from harness.analyzer.delay_variation import delay_variation, ipdv, pdv
from harness.analyzer.density import buffer_occupancy, reorder_density
from harness.analyzer.duplication import copies, duplication
from harness.analyzer.empirical import delay_statistics, edf, percentiles
from harness.analyzer.free_runs import FreeRuns, free_runs, run_counter, run_lengths
from harness.analyzer.gilbert import fit_gilbert, simple_gilbert
from harness.analyzer.group import one_to_group
from harness.analyzer.join_leave import join_leave_delay
from harness.analyzer.mdi import delay_factor_ns, virtual_buffer
from harness.analyzer.mlrsearch import Goal, Trial, classify, conditional_throughput
from harness.analyzer.n_reordering import n_reordering, n_reordering_degree
from harness.analyzer.rate_adjust import RateAdjuster
from harness.analyzer.rtp_source import RtpSource
from harness.analyzer.search import ThroughputSearch, frame_loss_rate
from harness.analyzer.skew import skew
from harness.analyzer.ts_continuity import ts_continuity
from harness.analyzer.two_leg import merge_legs
from harness.model import UNDEFINED_NS
from harness.units import NS_PER_S

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "metrics.json").read_text(encoding="utf-8"))["vectors"]
Answer = dict[str, Any]
MS = 1_000_000


def times(values: list[Any]) -> NDArray[np.int64]:
    return np.array([UNDEFINED_NS if value is None else value for value in values], dtype=np.int64)


def listed(values: NDArray[np.int64]) -> list[int | None]:
    return [None if value == UNDEFINED_NS else value for value in values.tolist()]


def mask(values: list[int]) -> NDArray[np.bool_]:
    return np.array(values, dtype=bool)


def numbered(numbers: NDArray[np.int64], values: NDArray[np.int64]) -> dict[int, int]:
    return dict(zip(numbers.tolist(), values.tolist(), strict=True))


def edf_table(sample: list[int], xs: list[float], pcts: list[float]) -> Answer:
    shares = edf(np.array(sample), np.array(xs))
    assert shares is not None
    return {
        "edf": dict(zip(xs, shares.tolist(), strict=True)),
        "percentiles": dict(zip(pcts, percentiles(np.array(sample), pcts), strict=True)),
    }


def delay_stats(delays: list[int | None], percentiles: list[float]) -> Answer:
    found = delay_statistics(times(delays), percentiles)
    return {"percentiles": found.percentiles_ns, "median": found.median_ns, "minimum": found.minimum_ns}


def loss_patterns(lost: list[int], first_seq: int, delta: int | None = None) -> Answer:
    is_lost = mask(lost)
    periods = loss_pattern.loss_periods(is_lost)
    index = range(1, len(periods) + 1)
    return {
        "loss_period_starts": (periods[:, 0] + first_seq).tolist(),
        "loss_period_total": len(periods),
        "loss_period_lengths": [list(pair) for pair in zip(index, periods[:, 1].tolist(), strict=True)],
        "inter_loss_period_lengths": [
            list(pair) for pair in zip(index, loss_pattern.inter_loss_period_lengths(is_lost).tolist(), strict=True)
        ],
        "loss_distance_stream": loss_pattern.loss_distance_stream(is_lost).tolist(),
        "loss_period_stream": loss_pattern.loss_period_stream(is_lost).tolist(),
        "noticeable_rate": loss_pattern.noticeable_rate(is_lost, delta) if delta else None,
    }


def run_figures(found: FreeRuns) -> Answer:
    return {
        "x": found.n_runs,
        "a": found.n_in_order,
        "p": found.n_packets,
        "q": found.sum_of_squares,
        "avg_run": found.average,
        "q_over_a": found.q_over_a,
        "variation": found.variation,
    }


def per_packet(values: int | dict[str, int], seqs: list[int]) -> NDArray[np.int64]:
    return np.array([values[str(seq)] if isinstance(values, dict) else values for seq in seqs], dtype=np.int64)


def reordering(
    seqs: list[int],
    dst_times: list[int] | None = None,
    src_times: dict[str, int] | None = None,
    sizes: int | dict[str, int] | None = None,
    first_expected: int | None = None,
) -> Answer:
    found = order.find_reordered(np.array(seqs), first_expected)
    late = found.seq[found.position]
    causes = order.reordering_discontinuities(found)
    skipped = order.sequence_discontinuities(found)
    lengths, trailing = run_lengths(found.is_reordered)
    depth = n_reordering(np.array(seqs))
    answer: Answer = {
        "next_exp": found.next_exp.tolist(),
        "reordered_seqs": late.tolist(),
        "reordered_count": len(late),
        "reordered_ratio": found.ratio,
        "duplicates": len(seqs) - len(found.seq),
        "extent": numbered(late, found.extent),
        "extent_histogram": order.extent_histogram(found),
        "sequence_discontinuities": [[int(found.seq[position]), int(size)] for position, size in skipped],
        "reordering_discontinuities": [[int(found.seq[position]), int(position) + 1] for position in causes],
        "gap": numbered(found.seq[causes[1:]], order.reordering_gaps(found)),
        "runs": lengths.tolist(),
        "run_counter": run_counter(found.is_reordered).tolist(),
        "free_runs": run_figures(free_runs(lengths, trailing)),
        "n_reordering_per_packet": [[seq, n] for seq, n in zip(seqs, depth.tolist(), strict=True) if n],
        "n_reordering_degree": n_reordering_degree(depth),
    }
    if dst_times is not None:
        answer["late_time"] = numbered(late, order.late_times(found, np.array(dst_times)))
    if sizes is not None:
        answer["byte_offset"] = numbered(late, byte_offsets(found, per_packet(sizes, seqs)))
    if dst_times is not None and src_times is not None:
        delay = dict(zip(seqs, (np.array(dst_times) - per_packet(src_times, seqs)).tolist(), strict=True))
        sent = sorted(delay)
        variation = ipdv(times([delay[seq] for seq in sent]))
        answer["delay"] = delay
        answer["ipdv"] = numbered(np.array(sent[1:]), variation[1:])
    return answer


def rd_rbd(seqs: list[int], dt: int | None = None, bt: int | None = None) -> Answer:
    found = reorder_density(np.array(seqs), dt)
    stored = buffer_occupancy(np.array(seqs), bt, first_seq=1)
    receive_index: list[int | None] = [None] * len(seqs)
    displacement: list[int | None] = [None] * len(seqs)
    trace = []
    for at, index, shift in zip(
        found.arrival.tolist(), found.receive_index.tolist(), found.displacement.tolist(), strict=True
    ):
        receive_index[at], displacement[at] = index, shift
        trace.append([seqs[at], index, shift])
    return {
        "receive_index": receive_index,
        "displacement": displacement,
        "displacement_trace": trace,
        "reorder_set": sorted([seq, shift] for seq, _, shift in trace if shift),
        "fd": found.frequency,
        "rd": found.density,
        "discarded": [None] * found.n_discarded,
        "occupancy_trace": [
            [seqs[at], expected, occupancy]
            for at, expected, occupancy in zip(
                stored.arrival.tolist(), stored.expected.tolist(), stored.occupancy.tolist(), strict=True
            )
        ],
        "fb": stored.frequency,
        "rbd": stored.density,
        "mean_occupancy": stored.mean,
    }


def duplication_(sent: list[int], arrivals: list[int]) -> Answer:
    numbers, counts = copies(np.array(arrivals))
    assert set(numbers.tolist()) <= set(sent)
    found = duplication(np.array(arrivals))
    return {
        "duplication_fraction": found.fraction,
        "replicated_packet_rate": found.replicated_rate,
        "arrival_count": numbered(numbers, counts),
        "duplication": numbered(numbers, counts - 1),
    }


def delay_variation_(delays: list[int | None]) -> Answer:
    found = delay_variation(times(delays))
    return {
        "ipdv": listed(ipdv(times(delays))),
        "pdv": listed(pdv(times(delays))),
        "ipdv_range": found.ipdv_range_ns,
        "pdv_range": found.pdv_range_ns,
    }


def goal_of(goal: dict[str, float]) -> Goal:
    return Goal(int(goal["final_s"] * NS_PER_S), int(goal["duration_s"] * NS_PER_S), goal["loss"], goal["exceed"])


def trials_of(trials: list[list[float]]) -> list[Trial]:
    return [Trial(int(duration * NS_PER_S), ratio, n=int(count)) for count, duration, ratio in trials]


def mlr_classify(goal: dict[str, float], trials: list[list[float]]) -> Answer:
    found = classify(goal_of(goal), trials_of(trials))
    return {
        "optimistic_exceed_ratio_pct": found.optimistic_exceed_ratio * 100,
        "pessimistic_exceed_ratio_pct": found.pessimistic_exceed_ratio * 100,
        "missing": found.missing_ns / NS_PER_S,
        "pessimistic_high_loss": found.pessimistic_high_loss_ns / NS_PER_S,
        "classification": {"lower": "Lower Bound", "upper": "Upper Bound", "undecided": "Undecided"}[found.bound],
    }


def rfc3550_source(raw_seqs: list[int]) -> Answer:
    source = RtpSource()
    is_valid = source.update(np.array(raw_seqs))
    report = source.report()
    assert report is not None
    return {
        "received": report.received,
        "expected": report.expected,
        "lost": report.lost,
        "extended_max": report.extended_max,
        "base_seq": source.base_seq,
        "valid": is_valid.astype(int).tolist(),
    }


def one_to_group_(delay_matrix: list[list[int | None]]) -> Answer:
    found = one_to_group(np.array([times(row) for row in delay_matrix]))
    return {
        "receiver_loss_ratio": found.loss_ratio,
        "group_loss_ratio": found.group_loss_ratio,
        "group_loss_ratio_range": found.group_loss_ratio_range,
        "receiver_comparative_loss_ratio": found.comparative_loss_ratio,
        "receiver_mean_delay": found.mean_delay_ns,
        "group_mean_delay": found.group_mean_delay_ns,
        "group_range_mean_delay": found.group_mean_delay_range_ns,
        "group_max_mean_delay": found.group_mean_delay_max_ns,
        "lost_by_all": found.lost_by_all.tolist(),
        "lost_by_some": found.lost_by_some.tolist(),
    }


def join_leave(join_sent: int, leave_sent: int, arrivals: list[int]) -> Answer:
    found = join_leave_delay(np.array(arrivals), join_sent, leave_sent)
    return {
        "join_delay": found.join_delay_ns,
        "leave_delay": found.leave_delay_ns,
        "frames_after_leave": found.n_after_leave,
    }


def binary_search_throughput(capacity: float, lo: float, hi: float, resolution: float) -> Answer:
    search = ThroughputSearch(lo, hi, resolution)
    while (load := search.next_load()) is not None:
        search.record(max(0.0, (load - capacity) / load) if load else 0.0)
    return {
        "throughput": search.throughput,
        "upper": search.upper_bound,
        "trials": [[trial.load, trial.loss_ratio] for trial in search.trials],
    }


def rfc9097_rate_adjust(feedback: list[list[int]]) -> Answer:
    adjuster = RateAdjuster()
    return {"index": [adjuster.update(errors, delay_ms * MS) for errors, delay_ms in feedback]}


def y1540(lost: list[int], block: int, s1: float, c1: float) -> Answer:
    found = availability(mask(lost), block, s1, c1)
    return {
        "block_iplr": found.loss_ratio.tolist(),
        "severe_loss_blocks": found.severe_blocks.tolist(),
        "unavailable_blocks": found.unavailable_blocks.tolist(),
        "piu_percent": found.unavailability_percent,
        "pia_percent": found.availability_percent,
    }


def mdi(packets: list[list[int]], rate: float) -> Answer:
    rx_ns = np.array([t * NS_PER_S for t, _ in packets])
    sizes = np.array([size for _, size in packets])
    fill = virtual_buffer(rx_ns, sizes, rate, start_ns=0)
    factor_ns = delay_factor_ns(rx_ns, sizes, rate, start_ns=0)
    assert factor_ns is not None
    return {"vb_max": fill.max(), "vb_min": fill.min(), "df": factor_ns / NS_PER_S}


def gilbert_simple(lost: list[int]) -> Answer:
    found = simple_gilbert(mask(lost))
    names = ("n0", "n01", "n1", "n10", "p", "r", "stationary_loss", "mean_burst")
    return {name: getattr(found, name) for name in names}


def gilbert1960(a: float, b: float, c: float) -> Answer:
    found = fit_gilbert(a, b, c)
    assert found is not None
    return {"p": found.p, "r": found.r, "h": found.h}


def skew_lp(send: list[float], delay: list[float]) -> Answer:
    tx_ns, delay_ns = (np.array([int(Fraction(str(s)) * NS_PER_S) for s in column]) for column in (send, delay))
    found = skew(tx_ns, delay_ns)
    assert found is not None
    return {"skew_ppm": found.ppm, "corrected_pdv": (found.residual_ns(tx_ns, delay_ns) / NS_PER_S).tolist()}


def continuity(packets: list[list[int]]) -> Answer:
    columns = np.array(packets)
    found = ts_continuity(columns[:, 0], columns[:, 1] != 0, columns[:, 2] != 0)
    return {"cc_errors": found.errors.tolist(), "lost_min": found.n_lost_min}


def two_leg_merge(a: list[list[int]], b: list[list[int]], window: int) -> Answer:
    leg_a, leg_b = np.array(a), np.array(b)
    found = merge_legs(leg_a[:, 0], leg_a[:, 1], leg_b[:, 0], leg_b[:, 1])
    return {
        "lost_a": found.lost_a.tolist(),
        "lost_b": found.lost_b.tolist(),
        "lost_both": found.lost_both.tolist(),
        "max_skew": found.max_skew_ns,
        "skew_exceeds_window": found.beyond(window).tolist(),
    }


METRICS: dict[str, Callable[..., Answer]] = {
    "edf_table": edf_table,
    "delay_stats": delay_stats,
    "loss_ratio": lambda lost: {"loss_ratio": loss_pattern.loss_ratio(mask(lost))},
    "loss_patterns": loss_patterns,
    "free_runs_from_lengths": lambda run_lengths: run_figures(free_runs(np.array(run_lengths))),
    "reordering": reordering,
    "rd_rbd": rd_rbd,
    "duplication": duplication_,
    "delay_variation": delay_variation_,
    "mlr_classify": mlr_classify,
    "mlr_conditional_throughput": lambda goal, trials, load: {
        "conditional_throughput": conditional_throughput(goal_of(goal), trials_of(trials), load)
    },
    "rfc3550_source": rfc3550_source,
    "one_to_group": one_to_group_,
    "join_leave_delay": join_leave,
    "frame_loss_rate": lambda inp, out: {"percent": frame_loss_rate(inp, out)},
    "binary_search_throughput": binary_search_throughput,
    "rfc9097_rate_adjust": rfc9097_rate_adjust,
    "y1540": y1540,
    "mdi": mdi,
    "simple_gilbert": gilbert_simple,
    "gilbert1960": gilbert1960,
    "skew_lp": skew_lp,
    "ts_continuity": continuity,
    "two_leg_merge": two_leg_merge,
}
FOLD_METRICS = {"dropouts_active", "dropouts_passive", "stream_summary", "burst_gap", "rtp_jitter"}


def flat(value: Any, path: str) -> dict[str, Any]:
    """Every figure of a value by where it stands; JSON's text keys and numbers as keys are the same."""
    if not isinstance(value, (dict, list)):
        return {path: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    leaves = {f"{path} size": len(value)}
    for key, item in items:
        leaves |= flat(item, f"{path}.{key}")
    return leaves


CLAIMED = [vector for vector in VECTORS if vector["metric"] in METRICS]


@pytest.mark.parametrize("vector", CLAIMED, ids=[vector["name"] for vector in CLAIMED])
def test_vector(vector: Answer) -> None:
    found = METRICS[vector["metric"]](**vector["input"])
    wanted = {**vector["computed"], **vector["expected"]}
    assert wanted, "a vector without an answer proves nothing"
    tolerance = vector.get("tolerance", 1e-9)
    answer = {
        where: leaf if leaf is None or isinstance(leaf, str) else pytest.approx(leaf, rel=tolerance, abs=tolerance)
        for where, leaf in flat(wanted, vector["source"]).items()
    }
    assert flat({key: found[key] for key in wanted}, vector["source"]) == answer


def test_every_vector_is_claimed_by_exactly_one_test_module() -> None:
    assert not FOLD_METRICS & METRICS.keys()
    assert {vector["metric"] for vector in VECTORS} == FOLD_METRICS | METRICS.keys()
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)
    others = [path for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__)]
    readers = [text for path in others if "metrics.json" in (text := path.read_text(encoding="utf-8"))]
    for metric in FOLD_METRICS:
        assert sum(f'"{metric}"' in text for text in readers) == 1, f"{metric} is not claimed by one other test module"
