"""Lost by all, lost by some: against the packet-by-packet statistics of the analyzer, aligned numbers, ranges due."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer.group import one_to_group
from harness.analyzer.runs import RunSet
from harness.compare.shared import NOTHING, Received, alignment, due_range, shared_loss
from harness.model import UNDEFINED_NS

sys.path.append(str(Path(__file__).parent.parent / "plots"))
samples: Any = importlib.import_module("summary_samples")


def received(numbers: Iterable[int], interval_ns: int = 1, modulus: int | None = None) -> Received:
    runs = RunSet()
    values = np.array(sorted(numbers), np.int64)
    runs.add(values, values * interval_ns)
    return Received(runs.starts, runs.ends, runs.start_ns, modulus)


N = 40
SETS = st.lists(st.sets(st.integers(0, N - 1)), min_size=2, max_size=4)


@settings(max_examples=300, deadline=None)
@given(SETS)
def test_runs_say_what_the_packets_say(sets: list[set[int]]) -> None:
    found = shared_loss(list(range(len(sets))), [received(s) for s in sets], [(0, N)] * len(sets))
    assert found is not None
    delays = np.array([[7 if k in each else UNDEFINED_NS for k in range(N)] for each in sets])
    oracle = one_to_group(delays)
    assert found.loss_ratio == oracle.loss_ratio
    assert found.comparative_loss_ratio == oracle.comparative_loss_ratio
    assert found.lost_by_all == len(oracle.lost_by_all)
    assert found.lost_by_some == len(oracle.lost_by_some)
    for place, each in enumerate(sets):
        others = [other for k, other in enumerate(sets) if k != place]
        alone = [k for k in range(N) if k not in each and all(k in other for other in others)]
        assert found.lost_only[place] == len(alone)
        seen = [k for k in range(N) if any(k in other for other in sets)]
        starts = sum(k in alone and (i == 0 or seen[i - 1] not in alone) for i, k in enumerate(seen))
        assert found.runs_only[place] == starts


def test_only_what_all_were_due_counts() -> None:
    early, late = received(range(50)), received(range(30, 90))
    found = shared_loss([0, 1], [early, late], [(0, 50), (30, 90)])
    assert found is not None
    assert (found.packets, found.lost, found.points_at) == (20, [0, 0], "none")
    assert shared_loss([0, 1], [early, late], [(0, 30), (30, 90)]) is None


def test_where_the_losses_point() -> None:
    whole, holed = set(range(100)), set(range(100)) - {10, 11}
    for sets, points_at in (
        ([holed, holed], "source"),
        ([whole, holed], "branch"),
        ([whole - {10}, holed], "both"),
        ([whole, whole], "none"),
    ):
        found = shared_loss([0, 1], [received(s) for s in sets], [(0, 100)] * 2)
        assert found is not None
        assert found.points_at == points_at


def test_a_receiver_that_heard_nothing_lost_all_alone_in_one_run() -> None:
    found = shared_loss([0, 1], [received(set(range(100)) - {50}), NOTHING], [(0, 100)] * 2)
    assert found is not None
    assert (found.lost, found.lost_only, found.runs_only, found.lost_by_all) == ([1, 100], [0, 99], [0, 1], 1)


def test_what_was_due_reaches_over_windows_at_head_and_tail() -> None:
    stream = samples.simulate(
        samples.Recipe(n=1_000, gaps=((0, 49, "late_start"), (400, 410, "mid_run"), (900, 999, "stopped")))
    )
    got = received([k for k in range(50, 900) if not 400 <= k <= 410])
    assert due_range(stream, got) == (0, 1_000)
    assert due_range(stream, got.moved(65_536), 65_536) == (65_536, 66_536)
    assert due_range(msgspec.structs.replace(stream, windows=[]), NOTHING) is None


def test_numbers_that_wrapped_before_one_began_to_listen_are_aligned_by_time() -> None:
    modulus, interval = 65_536, 1_000_000
    first = received(range(65_000, 140_000), interval, modulus)
    numbers = range(131_100, 140_000)
    late = received(numbers, interval, modulus).moved(-2 * modulus)  # it saw 28 as its first number
    assert alignment(first, late, interval) == 2 * modulus
    assert alignment(late, first, interval) == -2 * modulus
    assert alignment(first, first, interval) == 0


def test_numbers_that_wrap_too_soon_are_left_alone_and_those_that_never_do_are_equal() -> None:
    small = received(range(100), 10_000_000, 16)
    assert alignment(small, small, 10_000_000) is None
    assert alignment(received(range(9), 1, 65_536), received(range(9), 1, 65_536), None) is None
    assert alignment(received(range(9)), received(range(5, 9)), None) == 0
