import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.model import UNDEFINED_NS, parse_endpoint
from harness.traffic.schedules import Constant, Frames, Schedule
from harness.traffic.sender import CATCH_UP_PERIOD_NS, StreamSender
from protocols.probe import SCHEMA

MS = 1_000_000
START = 10**18


def make_sender(schedule: Schedule | None = None, **changes: object) -> StreamSender:
    settings: dict[str, object] = {
        "number": 0,
        "stream_id": 7,
        "epoch": 99,
        "group": parse_endpoint("239.1.2.3:5000"),
        "schedule": schedule or Constant(MS),
        "size": 100,
        "start_ns": START,
        "count": 50,
    }
    return StreamSender(**(settings | changes))  # type: ignore[arg-type] # a table of settings for tests


def test_nothing_leaves_before_it_is_due() -> None:
    sender = make_sender()
    assert len(sender.take(START - 1)) == 0
    assert sender.next_due_ns == START
    assert sender.take(START).seq.tolist() == [0]
    assert sender.next_due_ns == START + MS


def test_probe_on_the_wire_carries_the_schedule() -> None:
    probes = make_sender().take(START + 2 * MS)
    parsed = [SCHEMA.parse(row.tobytes()) for row in probes.data]
    assert [probe.sequence for probe in parsed] == [0, 1, 2]
    for probe in parsed:
        assert (probe.stream_id, probe.epoch, probe.interval_ns) == (7, 99, MS)
        assert (probe.schedule_start_ns, probe.sent_ns) == (START, START + 2 * MS)
        assert not probe.flags.end


def test_stall_keeps_the_schedule_and_catches_up_at_twice_the_rate() -> None:
    sender = make_sender(Constant(100_000), count=10_000)  # 10 kpps
    sender.take(START)
    now, due, tx = START + 100 * MS, [], []  # a stall of 1000 packets
    for _ in range(200):
        probes = sender.take(now)
        due += probes.due_ns.tolist()
        tx += [now] * len(probes)
        now += CATCH_UP_PERIOD_NS
    assert due == [START + k * 100_000 for k in range(1, len(due) + 1)]
    lateness = np.array(tx) - np.array(due)
    assert lateness.max() < 100 * MS
    assert lateness[-1] < 2 * MS
    per_period = np.unique(np.array(tx), return_counts=True)[1]
    assert per_period.max() <= 32
    assert per_period[:5].tolist() == [32] * 5


def test_stream_ends_by_count_or_by_duration_whichever_comes_first() -> None:
    for changes, expected in (
        ({"count": 5}, 5),
        ({"count": None, "duration_ns": 3 * MS}, 3),
        ({"count": 5, "duration_ns": 3 * MS}, 3),
        ({"count": 2, "duration_ns": 30 * MS}, 2),
        ({"count": 9000}, 9000),
    ):
        sender, n = make_sender(**changes), 0
        for _ in range(1000):
            n += len(sender.take(START + 10**11))
            if sender.next_due_ns is None:
                break
            sender._catch_up_from_ns = -(2**62)
        assert (n, sender.next_due_ns) == (expected, None)


def test_ending_early_sends_what_was_due_and_nothing_later() -> None:
    sender = make_sender()
    sender.take(START + 3 * MS)
    sender.end(START + 5 * MS)
    assert sender.take(START + 60 * MS).seq.tolist() == [4]
    assert sender.next_due_ns is None


def test_rest_of_probes_keeps_their_numbers() -> None:
    probes = make_sender().take(START + 5 * MS)
    rest = probes.after(2)
    assert rest.seq.tolist() == [2, 3, 4, 5]
    assert rest.due_ns.tolist() == [START + seq * MS for seq in rest.seq.tolist()]
    assert [SCHEMA.parse(row.tobytes()).sequence for row in rest.data] == [2, 3, 4, 5]


def test_end_probe_carries_the_count() -> None:
    sender = make_sender()
    sender.take(START + 9 * MS)
    probe = SCHEMA.parse(sender.end_probe(START + 20 * MS)[0].tobytes())
    assert probe.flags.end
    assert (probe.count, probe.sequence, probe.stream_id) == (10, 10, 7)


def test_refused_probe_is_logged_with_its_errno_and_no_sending_time() -> None:
    sender = make_sender()
    probes = sender.take(START + 2 * MS)
    rows = sender.log(probes, START + 3 * MS, np.array([0, 113, 0], dtype=np.uint16))
    assert rows["errno"].tolist() == [0, 113, 0]
    assert rows["tx_ns"].tolist() == [START + 3 * MS, UNDEFINED_NS, START + 3 * MS]
    assert rows["due_ns"].tolist() == [START, START + MS, START + 2 * MS]


def test_whole_frame_leaves_at_once() -> None:
    sender = make_sender(Frames(20, 20 * MS))
    assert len(sender.take(START)) == 20
    assert len(sender.take(START + MS)) == 0


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10_000), st.integers(1, 3 * MS), st.lists(st.tuples(st.booleans(), st.integers(0, 10**10))))
def test_probes_skipped_and_taken_are_logged_alike(count: int, interval_ns: int, steps: list[tuple[bool, int]]) -> None:
    """Whatever is skipped and whatever taken: each probe comes once, with the log of one that left when it was due."""
    sender, expected = make_sender(Constant(interval_ns), count=count, capacity=10_000), 0
    for is_skipped, wanted in steps:
        assert sender.next_due_ns == (START + expected * interval_ns if expected < count else None)
        assert (sender.n_ahead > 0) == (expected < count)
        assert sender.n_ahead <= count - expected
        if is_skipped:
            n = min(wanted, sender.n_ahead)
            sender.skip(n)
        else:
            sender._catch_up_from_ns = -(2**62)
            probes = sender.take(sender.next_due_ns or START)
            n = len(probes)
            logged = sender.log(probes, 0, np.zeros(n, np.uint16))
            logged["tx_ns"] = logged["due_ns"]
            assert sender.regular_log(expected, n).tobytes() == logged.tobytes()
        expected += n


def test_late_probes_one_by_one_leave_at_the_limit() -> None:
    sender = make_sender(Constant(100_000), count=10_000)
    now_ns = START + 100 * MS
    assert [sender.may_catch_up(now_ns) for _ in range(40)] == [True] * 32 + [False] * 8
    assert sender.may_catch_up(now_ns + CATCH_UP_PERIOD_NS)


@pytest.mark.parametrize("size", [0, 63, 65508])
def test_size_that_no_probe_can_have_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match="64 to 65507"):
        make_sender(size=size)


@pytest.mark.parametrize("capacity", [100, 4096, 5000])
def test_unpaced_stream_hands_out_all_that_fits_and_ends_by_count(capacity: int) -> None:
    sender, numbers = make_sender(Constant(0), count=9_001, capacity=capacity), []
    assert len(sender.take(START - 1)) == 0
    while sender.next_due_ns is not None:
        probes = sender.take(START + 5)
        assert 0 < len(probes) == len(probes.seq) == len(probes.data) <= capacity
        assert set(probes.due_ns.tolist()) == {START}
        assert SCHEMA.parse(probes.data[-1].tobytes()).sequence == probes.seq[-1]
        numbers += probes.seq.tolist()
    assert numbers == list(range(9_001))


def test_unpaced_stream_ends_by_the_clock() -> None:
    sender = make_sender(Constant(0), count=None, duration_ns=10 * MS)
    assert len(sender.take(START + 9 * MS)) > 0
    assert sender.next_due_ns is not None
    assert len(sender.take(START + 10 * MS)) == 0
    assert sender.next_due_ns is None
