"""A sender whose packets are counted says of itself what one says whose packets are logged."""

import errno
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import analyze_recording
from harness.analyzer import SenderFold, SentLog
from harness.analyzer.sketch import Sketch
from harness.model import Clocks, End, Manifest, SenderInfo, SenderSummary
from harness.model.scenario_text import parse_scenario
from harness.net import RunClock, SenderSocket, open_sender
from harness.run import Run, perform
from harness.run.flat_out import Answered
from harness.run.plan import StreamPlan, resolve
from harness.run.recorder import Recorder
from harness.run.send_log import SendLog
from harness.run.sent_count import FOLD_ARRAYS, MOST_VALUES, SentCounter, in_parts
from harness.store import RunReader, RunWriter, open_run
from harness.traffic import Probes, StreamSender

GROUP = "239.255.89.1:5090"
SIZE = 64


def plan_of(*, offload: bool, rate: str = "1kpps") -> StreamPlan:
    text = f'[[stream]]\ngroup = "{GROUP}"\ninterface = "127.0.0.1"\nrate = "{rate}"\nsize = "{SIZE}"\ncount = 9\n'
    (stream,) = resolve(parse_scenario(text, "x"), Path()).streams
    return replace(stream, offload=offload)


class Stream:
    """A stream whose kernel answers as the test says, in a run of its own."""

    def __init__(self, path: Path, plan: StreamPlan, *, block_rows: int = 1000, max_blocks: int = 64) -> None:
        clock = RunClock()
        clocks = Clocks(realtime_ns=clock.start_realtime_ns, monotonic_ns=clock.start_monotonic_ns)
        manifest = Manifest(kind="send", created="", command=[], clocks=clocks)
        self.path, self.plan, self.clock = path, plan, clock
        self.writer = RunWriter.create(
            path, manifest, flush_interval_ns=10**18, block_rows=block_rows, max_blocks=max_blocks
        )
        self.recorder = Recorder(self.writer, clock)
        self.info = SenderInfo(
            stream=plan.number, stream_id=plan.stream_id, epoch=plan.epoch, group=str(plan.group), schedule="",
            first_due_ns=0, interval_ns=plan.schedule.interval_ns, size=SIZE, ttl=1, offload=plan.offload,
        )  # fmt: skip
        self.writer.add_sender(self.info)
        self.log = SendLog(plan, self.recorder)
        self.sender = StreamSender(
            number=plan.number, stream_id=plan.stream_id, epoch=plan.epoch, group=plan.group, schedule=plan.schedule,
            size=SIZE, start_ns=0,
        )  # fmt: skip
        self.seq = 0

    def answer(self, socket: SenderSocket, errnos: list[int], late_ns: int) -> None:
        """Have the kernel answer to so many probes, as `Sending` hears it."""
        interval_ns = self.plan.schedule.interval_ns
        due_ns = np.arange(self.seq, self.seq + len(errnos), dtype=np.int64) * interval_ns
        probes = Probes(self.seq, due_ns, np.zeros((len(errnos), SIZE), np.uint8))
        answered = Answered(probes, int(due_ns[-1]) + late_ns, np.array(errnos, np.uint16))
        self.seq += self.log.batch(self.sender, socket, answered)

    def end(self) -> RunReader:
        self.writer.add_sender(msgspec.structs.replace(self.info, counted=self.log.count))
        self.writer.finish(End(reason="complete", t_ns=self.clock.now_ns()))
        return open_run(self.path)


def account(reader: RunReader) -> tuple[SenderSummary, SentLog]:
    (info,) = reader.manifest.senders
    fold = SenderFold(info)
    for rows in reader.sent():
        fold.update(rows)
    return fold.summary(), fold.log()


SENT, BLOCKED, FULL, LATER = 0, errno.EPERM, errno.ENOBUFS, errno.EAGAIN
answers = st.lists(st.sampled_from([SENT] * 6 + [BLOCKED, FULL, LATER]), min_size=1, max_size=12)


@given(
    st.lists(st.tuples(answers, st.integers(0, 5_000_000)), min_size=1, max_size=25),
    st.one_of(st.none(), st.integers(0, 24)),
)
def test_counts_are_those_of_the_log(
    tmp_path_factory: pytest.TempPathFactory, batches: list[tuple[list[int], int]], turn: int | None
) -> None:
    """`turn`: the batch from which on the disk is behind; None: the user asked for counts, from the first one on."""
    folder = tmp_path_factory.mktemp("logs")
    logged = Stream(folder / "logged", plan_of(offload=True))
    counted = Stream(folder / "counted", plan_of(offload=True))
    if turn is None:
        counted.recorder.count_only("asked for")
    with open_sender(plan_of(offload=False).group, interface="127.0.0.1") as socket:
        for stream in (logged, counted):
            stream.log.begin(stream.info)
            for number, (errnos, late_ns) in enumerate(batches):
                if stream is counted and number == turn:
                    stream.recorder.is_counting_sent = True
                stream.answer(socket, errnos, late_ns)
    assert (logged.recorder.n_sent, logged.recorder.n_refused) == (
        counted.recorder.n_sent, counted.recorder.n_refused,
    )  # fmt: skip
    n_before = 0 if turn is None else sum(map(n_answered, [errnos for errnos, _ in batches[:turn]]))
    reader = counted.end()
    is_turned = turn is None or any(n_answered(errnos) for errnos, _ in batches[turn:])
    assert (reader.manifest.senders[0].counted is not None) == is_turned
    assert reader.n_sent == (n_before + counted_refusals(batches, turn) if is_turned else logged.seq)
    (said, witness), (expected, log) = account(reader), account(logged.end())
    for name in ("scheduled", "sent", "refused", "not_sent", "errnos"):
        assert getattr(said, name) == getattr(expected, name), name
    assert (witness.n, witness.scheduled, witness.last_sent) == (log.n, log.scheduled, log.last_sent)
    assert witness.not_sent.tolist() == log.not_sent.tolist()
    if n_before == 0:
        assert said.lateness == expected.lateness


def n_answered(errnos: list[int]) -> int:
    return errnos.index(LATER) if LATER in errnos else len(errnos)


def counted_refusals(batches: list[tuple[list[int], int]], turn: int | None) -> int:
    return sum(number != SENT for errnos, _ in batches[turn or 0 :] for number in errnos[: n_answered(errnos)])


def test_lateness_of_many_small_batches_is_that_of_one_large_one() -> None:
    values = np.random.default_rng(1).integers(0, 10**7, 3 * FOLD_ARRAYS)
    one, many = SentCounter(0), SentCounter(0)
    one.add(len(values), len(values), values)
    for place, value in enumerate(values):
        many.add(1, place + 1, np.array([value]))
    assert one.count() == many.count()
    assert one.count().lateness.n == len(values)


@given(st.integers(1, 5000), st.integers(0, 10**6), st.integers(1, 5000))
def test_lateness_of_a_long_batch_is_told_by_its_parts(n: int, last_ns: int, interval_ns: int) -> None:
    lateness_ns = last_ns + np.arange(n)[::-1] * interval_ns
    counter, sketch = SentCounter(0), Sketch()
    counter.add(n, n, *in_parts(lateness_ns))
    sketch.add(lateness_ns)
    found, exact = counter.count().lateness, sketch.distribution()
    part_ns = interval_ns * (n / MOST_VALUES + 1)
    assert found.n == n
    for one, other in (
        (found.minimum_ns, exact.minimum_ns),
        (found.maximum_ns, exact.maximum_ns),
        (found.mean_ns, exact.mean_ns),
        *((found.percentiles_ns[key], value) for key, value in exact.percentiles_ns.items()),
    ):
        assert one is not None
        assert other is not None
        assert abs(one - other) <= part_ns + other / 64


def test_disk_that_is_behind_turns_the_senders_log_into_counts_and_says_so(tmp_path: Path) -> None:
    stream = Stream(tmp_path / "run", plan_of(offload=False), block_rows=100, max_blocks=8)
    stream.log.begin(stream.info)
    with open_sender(plan_of(offload=False).group, interface="127.0.0.1") as socket:
        for _ in range(100):  # nobody flushes: the disk is infinitely slow
            stream.answer(socket, [SENT] * 50, 1000)
    assert stream.writer.recorded.n_sent == 0  # and nothing waited for it
    reader = stream.end()
    assert 0 < reader.n_sent < 800
    assert [event.kind for event in reader.events] == ["note"]
    assert "the disk takes the log more slowly" in reader.events[0].text
    said, witness = account(reader)
    assert (said.scheduled, said.sent, said.not_sent, said.lateness.n) == (5000, 5000, 0, reader.n_sent)
    assert (witness.scheduled, witness.last_sent, len(witness.not_sent)) == (5000, 4999, 0)
    summary = analyze_recording(tmp_path / "run")
    assert any(f"were counted from number {reader.n_sent:,} on" in note for note in summary.notes)


SCENARIO = f"""
linger = "100ms"
record = "counters"
[[stream]]
group = "{GROUP}"
interface = "lo"
rate = "RATE"
duration = "LASTS"
offload = true
[[receiver]]
groups = ["{GROUP}"]
interface = "lo"
buffer = "8MB"
offload = true
"""


@pytest.mark.skipif(sys.platform != "linux", reason="offload is Linux's")
@pytest.mark.parametrize("rate", ["20kpps", "max"])
def test_counted_run_has_its_senders_account(tmp_path: Path, rate: str) -> None:
    scenario = SCENARIO.replace("RATE", rate).replace("LASTS", "300ms")
    runs: list[Run] = []
    perform(parse_scenario(scenario, "x"), output=tmp_path / "run", command=[], on_start=runs.append)
    summary = analyze_recording(tmp_path / "run")
    (stream,), (sender,) = summary.streams, summary.senders
    assert sender.scheduled == sender.sent == stream.expected == stream.received + (stream.lost or 0) > 1000
    assert sender.lateness.n == (sender.sent if rate != "max" else 0)
    assert (runs[0].recorder.n_sent, runs[0].recorder.n_refused) == (sender.sent, 0)
    if rate != "max":
        assert (stream.expected, stream.received, stream.lost) == (6000, 6000, 0)
    assert any("packets sent were counted, not logged one by one" in note for note in summary.notes)
    (info,) = open_run(tmp_path / "run").manifest.senders
    assert info.counted is not None
    assert (info.counted.first_seq, info.counted.end_seq, info.counted.sent) == (0, sender.sent, sender.sent)
    assert (open_run(tmp_path / "run").n_packets, open_run(tmp_path / "run").n_sent) == (0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="offload is Linux's")
def test_recorded_run_with_offload_logs_every_packet(tmp_path: Path) -> None:
    scenario = SCENARIO.replace('"counters"', '"packets"').replace("RATE", "20kpps").replace("LASTS", "250ms")
    runs: list[Run] = []
    perform(parse_scenario(scenario, "x"), output=tmp_path / "run", command=[], on_start=runs.append)
    reader = open_run(tmp_path / "run")
    (stream,), (sender,) = analyze_recording(tmp_path / "run").streams, analyze_recording(tmp_path / "run").senders
    assert reader.manifest.senders[0].counted is None
    assert (runs[0].recorder.n_sent, runs[0].recorder.n_refused, stream.lost) == (5000, 0, 0)
    assert (reader.n_sent, sender.sent, stream.expected, stream.received) == (5000, 5000, 5000, 5000)
    assert reader.n_packets == 5008  # with the ends of the stream


@pytest.mark.skipif(sys.platform != "linux", reason="offload is Linux's")
def test_counting_run_that_is_killed_leaves_no_account_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(SCENARIO.replace("RATE", "1kpps").replace("LASTS", "60s"))
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "x.toml", "--output", "run"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while True:
            assert time.monotonic() < deadline
            time.sleep(0.1)
            manifest = open_run(tmp_path / "run").manifest if (tmp_path / "run" / "manifest.json").exists() else None
            if manifest is not None and any(info.counted is not None for info in manifest.senders):
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
    summary = analyze_recording(tmp_path / "run")
    assert summary.senders == []
    assert any("were counted" in note and "did not live to write how many" in note for note in summary.notes)


def test_disk_that_takes_its_time_makes_no_packet_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    def slow(_descriptor: int) -> None:
        slept.append(0.4)
        time.sleep(slept[-1])

    monkeypatch.setattr("os.fsync", slow)
    monkeypatch.setattr("os.fdatasync", slow)
    text = f'[[stream]]\ngroup = "{GROUP}"\ninterface = "127.0.0.1"\nrate = "100pps"\ncount = 50\n'
    perform(parse_scenario(text, "x"), output=tmp_path / "run", command=[])
    (sender,) = analyze_recording(tmp_path / "run").senders
    assert sum(slept) > 3
    assert sender.lateness.maximum_ns is not None
    assert sender.lateness.maximum_ns < 1e9
