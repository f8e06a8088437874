"""Probes of a precise stream carry when they left, are logged as that, and none is lost or told of twice."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model import UNDEFINED_NS, PacketArray, parse_endpoint
from harness.model.scenario import Scenario, Stream
from harness.run import Run, engine, perform
from harness.run.precise import LATE_NS, REHEARSED_NS, REHEARSING_NS, PreciseStream
from harness.store import open_run
from harness.traffic.schedules import Constant
from harness.traffic.sender import StreamSender
from protocols.probe import SCHEMA

US, MS = 1_000, 1_000_000
START, SHIFT = 10**18, 10**18 - 10**9
"""The run's time line, and how far the monotonic clock is behind it."""


class Simulated:
    """A clock that goes on by 100 ns at each look, and a socket that answers what it is told to, else 0."""

    def __init__(self, interval_ns: int = MS, count: int = 1000) -> None:
        self.now_ns = START - SHIFT
        self.answers: dict[int, int] = {}
        self.wire: list[tuple[int, int, int]] = []
        self.n_rehearsed, self.is_shut = 0, False
        self.stalls: dict[int, int] = {}
        self.sender = StreamSender(
            number=3,
            stream_id=7,
            epoch=99,
            group=parse_endpoint("239.1.2.3:5000"),
            schedule=Constant(interval_ns),
            size=100,
            start_ns=START,
            count=count,
        )
        self.stream = PreciseStream(self.sender, self.send, self.rehearse, lambda ns: ns - SHIFT, self.monotonic)

    def monotonic(self) -> int:
        self.now_ns += 100
        return self.now_ns

    def rehearse(self) -> bool:
        self.n_rehearsed += 1
        self.now_ns += US
        return self.is_shut

    def block(self, until_ns: int) -> list[int]:
        """Send a block and return the numbers that the kernel saw."""
        first = self.sender.n_taken
        return list(range(first, first + self.stream.send_block(until_ns)))

    def send(self) -> int:
        """Note number, time of sending and true time of a probe that goes out; then stall, if it is told to."""
        probe = SCHEMA.parse(self.sender.row[0].tobytes())
        number = self.answers.pop(probe.sequence, 0)
        if number == 0:
            self.wire.append((probe.sequence, probe.sent_ns, self.now_ns + SHIFT))
        self.now_ns += 7 * US + self.stalls.pop(probe.sequence, 0)
        return number

    def send_all(self, span_ns: int = 250 * MS) -> PacketArray:
        """Send the stream block by block, and wait half a millisecond where there is nothing to do."""
        rows: list[PacketArray] = []
        while (due_ns := self.sender.next_due_ns) is not None:
            if not self.stream.send_block(max(due_ns, self.now_ns + SHIFT) + span_ns):
                self.now_ns += MS // 2
            if len(rows) % 2 or self.stream.is_changed:
                rows.append(self.stream.take_log())
        return np.concatenate([*rows, self.stream.take_log()])


def test_probe_carries_its_due_time_and_leaves_then() -> None:
    simulated = Simulated()
    rows = simulated.send_all()
    assert rows["seq"].tolist() == [seq for seq, _, _ in simulated.wire] == list(range(1000))
    assert rows["due_ns"].tolist() == [START + seq * MS for seq in range(1000)]
    assert rows["tx_ns"].tolist() == rows["due_ns"].tolist() == [tx_ns for _, tx_ns, _ in simulated.wire]
    assert all(0 <= true_ns - tx_ns <= LATE_NS for _, tx_ns, true_ns in simulated.wire)
    assert set(rows["stream"]) == {3}
    assert set(rows["size"]) == {100}
    assert not rows["errno"].any()


def test_call_is_rehearsed_shortly_before_it_but_not_where_it_is_refused() -> None:
    simulated = Simulated(count=20)
    simulated.block(START + 10 * MS)
    n_each = (REHEARSING_NS - REHEARSED_NS) / (US + 200)
    assert simulated.n_rehearsed == pytest.approx(10 * n_each, rel=0.2)
    simulated.is_shut, simulated.n_rehearsed = True, 0
    simulated.answers = dict.fromkeys((12, 13, 14), errno.ENETUNREACH)
    simulated.block(START + 15 * MS)
    simulated.block(START + 14 * MS)
    assert simulated.n_rehearsed == 2


def test_late_probe_carries_and_logs_when_it_really_left() -> None:
    simulated = Simulated(count=10)
    simulated.stalls = {3: MS + 300 * US, 6: MS + LATE_NS}
    rows = simulated.send_all()
    assert rows["tx_ns"].tolist() == [tx_ns for _, tx_ns, _ in simulated.wire]
    assert all(0 <= true_ns - tx_ns <= LATE_NS for _, tx_ns, true_ns in simulated.wire)
    late_ns = rows["tx_ns"] - rows["due_ns"]
    assert np.flatnonzero(late_ns).tolist() == [4, 7]
    assert late_ns[4] == pytest.approx(307 * US, abs=US)


def test_block_takes_no_more_than_asked_for_and_at_least_one() -> None:
    simulated = Simulated()
    assert simulated.block(START - MS) == [0]
    assert simulated.block(START + 3 * MS) == [1, 2, 3]
    assert (simulated.sender.n_taken, simulated.sender.next_due_ns) == (4, START + 4 * MS)
    assert simulated.stream.take_log()["seq"].tolist() == [0, 1, 2, 3]
    assert len(simulated.stream.take_log()) == 0


def test_probe_that_finds_no_room_is_still_to_be_sent() -> None:
    simulated = Simulated(count=6)
    simulated.answers = {0: errno.EAGAIN, 3: errno.EAGAIN}
    assert simulated.block(START + 9 * MS) == []
    assert (simulated.stream.is_full, simulated.sender.n_taken) == (True, 0)
    assert simulated.block(START + 9 * MS) == [0, 1, 2]
    assert (simulated.stream.is_full, simulated.sender.n_taken) == (True, 3)
    simulated.now_ns += 500 * US
    assert simulated.block(START + 9 * MS) == [3, 4, 5]
    assert not simulated.stream.is_full
    rows = simulated.stream.take_log()
    assert rows["seq"].tolist() == [0, 1, 2, 3, 4, 5]
    assert rows["tx_ns"][3] - rows["due_ns"][3] == pytest.approx(507 * US, abs=US)


def test_block_ends_where_the_kernel_begins_and_ceases_to_refuse() -> None:
    simulated = Simulated(count=8)
    simulated.answers = {2: errno.EPERM, 3: errno.EPERM, 4: errno.EPERM}
    found = [(simulated.block(START + 9 * MS), simulated.stream.is_changed) for _ in range(3)]
    assert found == [([0, 1, 2], True), ([3, 4, 5], True), ([6, 7], False)]
    rows = simulated.stream.take_log()
    assert rows["errno"].tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
    assert (rows["tx_ns"] == UNDEFINED_NS).tolist() == (rows["errno"] != 0).tolist()


@pytest.mark.parametrize("interval_ns", [50 * US, 100 * US, MS])
def test_stall_is_caught_up_at_the_limit_and_the_schedule_kept(interval_ns: int) -> None:
    simulated = Simulated(interval_ns, count=3000)
    simulated.stalls = {100: 20 * MS}
    rows = simulated.send_all()
    assert rows["seq"].tolist() == list(range(3000))
    assert rows["due_ns"].tolist() == [START + seq * interval_ns for seq in range(3000)]
    late_ns = rows["tx_ns"] - rows["due_ns"]
    assert 0 < np.count_nonzero(late_ns) < 2000
    assert late_ns[-1] == 0
    n_at_once = np.arange(3000) - np.searchsorted(rows["tx_ns"], rows["tx_ns"] - MS)
    assert n_at_once.max() <= 2 * simulated.sender.catch_up_limit


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_probe_is_logged_once_and_as_it_was_on_the_wire(data: st.DataObject) -> None:
    simulated = Simulated(data.draw(st.sampled_from([50 * US, 333_333, MS])), data.draw(st.integers(0, 300)))
    numbers, codes = st.integers(0, 299), st.sampled_from([errno.EAGAIN, errno.EPERM, errno.ENETUNREACH])
    simulated.answers = data.draw(st.dictionaries(numbers, codes, max_size=20))
    simulated.stalls = data.draw(st.dictionaries(numbers, st.integers(0, 5 * MS), max_size=5))
    refused = {seq: code for seq, code in simulated.answers.items() if code != errno.EAGAIN}
    rows = simulated.send_all(data.draw(st.integers(0, 250 * MS)))
    assert [int(row["seq"]) for row in rows] == list(range(simulated.sender.count or 0))
    sent = {int(row["seq"]): int(row["tx_ns"]) for row in rows if row["errno"] == 0}
    assert sent == {seq: tx_ns for seq, tx_ns, _ in simulated.wire}
    assert all(0 <= true_ns - tx_ns <= LATE_NS for _, tx_ns, true_ns in simulated.wire)
    assert {int(row["seq"]): int(row["errno"]) for row in rows if row["errno"]} == {
        seq: code for seq, code in refused.items() if seq < len(rows)
    }


def send_until_interrupted(tmp_path: Path, rate: str) -> tuple[PacketArray, int, int]:
    """Send precisely, press Ctrl-C, and return the log, when that was, and how many packets the run's end tells of."""
    group = f"239.255.91.{os.getpid() % 200 + 1}:5091"
    what = ("--interface", "127.0.0.1", "--rate", rate, "--duration", "60s", "--precise", "--output", "tx")
    with subprocess.Popen(
        [sys.executable, "-m", "harness", "send", group, *what],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 20
        while not list((tmp_path / "tx").glob("sent*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        told_ns = time.time_ns()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    reader = open_run(tmp_path / "tx")
    return np.concatenate(list(reader.sent())), told_ns, reader.n_sent


@pytest.mark.parametrize("rate", ["200pps", "10kpps"])
def test_interrupt_ends_a_precise_stream_soon(rate: str, tmp_path: Path) -> None:
    rows, told_ns, n_sent = send_until_interrupted(tmp_path, rate)
    assert rows["seq"].tolist() == list(range(n_sent))
    assert not rows["errno"].any()
    assert (rows["tx_ns"] >= rows["due_ns"]).all()
    assert rows["tx_ns"][-1] - told_ns < 1_150 * MS


def test_first_probe_is_due_where_the_machine_is_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phase_ns, runs = 123_456, list[Run]()
    monkeypatch.setattr(engine, "quiet_phase_ns", lambda interval_ns: phase_ns % interval_ns)
    stream = Stream(group="127.0.0.1:5999", interface="lo", rate="1kpps", count=20, precise=True)
    started_ns = time.time_ns()
    outcome = perform(Scenario(stream=[stream]), output=tmp_path / "tx", command=["test"], on_start=runs.append)
    assert outcome.error is None
    (sender,) = open_run(tmp_path / "tx").manifest.senders
    assert runs[0].clock.to_monotonic(sender.first_due_ns) % MS == phase_ns
    rows = np.concatenate(list(open_run(tmp_path / "tx").sent()))
    assert rows["due_ns"].tolist() == [sender.first_due_ns + seq * MS for seq in range(20)]
    assert sender.first_due_ns - started_ns < 5_000 * MS
