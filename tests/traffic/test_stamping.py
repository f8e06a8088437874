"""Single probes are those of a batch, byte for byte."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.traffic.stamping import RampStamp, SingleStamp
from protocols.probe import FLAG_PATTERN, fill_probes


@pytest.mark.parametrize(("size", "flags"), [(64, 0), (200, FLAG_PATTERN), (65, 0)])
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)), min_size=1, max_size=5), st.data())
def test_single_probe_equals_that_of_a_batch(
    size: int, flags: int, stamps: list[tuple[int, int]], data: st.DataObject
) -> None:
    word = st.integers(0, 2**32 - 1)
    fields = {
        "stream_id": data.draw(word),
        "epoch": data.draw(word),
        "schedule_start_ns": data.draw(st.integers(0, 2**62)),
        "interval_ns": data.draw(st.integers(0, 2**40)),
        "flags": flags,
    }
    single = SingleStamp(np.zeros((1, size), np.uint8), **fields)
    for seq, tx_ns in stamps:
        single.stamp(seq, tx_ns)
        expected = np.zeros((1, size), np.uint8)
        fill_probes(expected, seq=np.array([seq]), tx_ns=np.array([tx_ns]), **fields)
        assert single.rows.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("size", "flags"), [(64, 0), (200, FLAG_PATTERN), (65, 0)])
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_ramp_equals_a_batch(size: int, flags: int, data: st.DataObject) -> None:
    fields = {"stream_id": 7, "epoch": 2**32 - 1, "schedule_start_ns": 10**18, "interval_ns": 125, "flags": flags}
    ramp = RampStamp(np.zeros((20, size), np.uint8), **fields)
    first = st.one_of(st.integers(0, 2**63 - 21), st.integers(2**32 - 20, 2**32 + 20))
    for _ in range(3):
        seq, n, tx_ns = data.draw(first), data.draw(st.integers(0, 20)), data.draw(st.integers(0, 2**63 - 1))
        expected = np.zeros((n, size), np.uint8)
        fill_probes(expected, seq=np.arange(seq, seq + n), tx_ns=np.full(n, tx_ns), **fields)
        assert ramp.stamp(seq, n, tx_ns).tobytes() == expected.tobytes()
