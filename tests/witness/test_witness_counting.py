"""Counting in bins beside a slow oracle."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.datagrams import DATAGRAM_DTYPE, address_bytes
from harness.model.endpoint import parse_address
from harness.run.witnesses.counting import MAX_FLOWS, BinCounts, FlowCounts

BATCHES = st.lists(st.lists(st.integers(-30, 900), max_size=20), max_size=6)


@given(BATCHES, st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_every_moment_is_counted_once_in_its_bin(batches: list[list[int]], max_bins: int) -> None:
    counts = BinCounts(0, 10, max_bins)
    for batch in batches:
        counts.add(np.array(batch, np.int64))
    moments = [moment for batch in batches for moment in batch]
    found = counts.until(max([0, *moments]))
    oracle = Counter(max(0, moment) // counts.bin_ns for moment in moments)
    assert found == [oracle[place] for place in range(len(found))]
    assert sum(found) == len(moments)
    assert len(found) <= max_bins
    assert counts.bin_ns % 10 == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 200)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_flows_are_told_apart(rows: list[tuple[int, int, int]]) -> None:
    meta = np.zeros(len(rows), DATAGRAM_DTYPE)
    for place, (host, port, at) in enumerate(rows):
        meta["source"][place] = np.frombuffer(address_bytes(parse_address(f"10.0.0.{host}")), np.uint8)
        meta["source_port"][place], meta["rx_ns"][place] = port, at
    counts = FlowCounts(0)
    counts.add(meta[: len(rows) // 2])
    counts.add(meta[len(rows) // 2 :])
    found = {flow.source: sum(counted.until(200)) for flow, counted in counts.flows()}
    assert found == Counter(f"10.0.0.{host}:{port}" for host, port, _ in rows)
    assert (counts.n_total, counts.n_untold) == (len(rows), 0)


def test_a_flood_of_sources_is_counted_and_not_told_apart() -> None:
    meta = np.zeros(1_000, DATAGRAM_DTYPE)
    meta["source_port"] = np.arange(1_000)
    counts = FlowCounts(0)
    counts.add(meta)
    assert len(counts.flows()) == MAX_FLOWS
    assert counts.n_untold == 1_000 - MAX_FLOWS
