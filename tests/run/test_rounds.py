"""Sockets that are slow each and busy together are read in rounds: the records are the same, and cost a part of it."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.analysis import analyze_recording
from harness.model import Alike, Batch, Datagrams, PacketArray, PacketFlag
from harness.model.datagrams import DATAGRAM_DTYPE, FRONT_BYTES, Runs, address_bytes
from harness.model.endpoint import parse_address
from harness.model.scenario_text import parse_scenario
from harness.net import ReceiverSocket
from harness.run import perform
from harness.run.gathering import DATAGRAM_BYTES, PAUSE_NS, SHARE, Gathering
from harness.run.rounds import BUSY_PPS, ENOUGH_ROWS, LEAST_ROUND_NS, OVER_NS, ROUND_NS, Rounds, Turn
from harness.store import open_run
from harness.traffic import Demultiplexer, StreamRegistry, load_protocol
from protocols.probe import FLAG_PATTERN, HEADER_SIZE, fill_probes

MS = 1_000_000


def nothing(_batch: Batch) -> None:
    raise AssertionError("nothing was added")


def busy_rounds(now_ns: int) -> Rounds:
    rounds = Rounds(nothing)
    rounds.is_busy_after(0, now_ns)
    assert rounds.is_busy_after(BUSY_PPS * 2, now_ns + OVER_NS)
    return rounds


def test_sockets_are_busy_together_over_some_rounds() -> None:
    rounds = Rounds(nothing)
    rounds.is_busy_after(0, OVER_NS)
    for place in range(1, 50):  # one round's datagrams are read at once, when it is over
        is_busy = rounds.is_busy_after(BUSY_PPS * 2 * ROUND_NS // OVER_NS, OVER_NS + place * ROUND_NS)
        assert is_busy == (place >= OVER_NS // ROUND_NS)
    assert not rounds.is_busy_after(1, 100 * OVER_NS)


@given(
    interval_us=st.integers(20, 100_000),
    size=st.sampled_from([20, 1400, 9000, 60_000]),
    buffer_bytes=st.sampled_from([2304, 212_992, 16_000_000]),
    batch=st.integers(1, 30),
)
def test_a_pause_fills_a_part_of_the_buffer_at_most(interval_us: int, size: int, buffer_bytes: int, batch: int) -> None:
    now_ns = 10**12
    turn = Turn(busy_rounds(now_ns - OVER_NS), buffer_bytes)
    for _ in range(10):
        now_ns += batch * interval_us * 1000
        pause_ns = turn.pause_ns(batch, size, now_ns)
        assert pause_ns == 0 or LEAST_ROUND_NS <= pause_ns <= ROUND_NS
        n_rows = pause_ns / (interval_us * 1000)
        assert n_rows * max(DATAGRAM_BYTES, 2 * size) <= buffer_bytes / SHARE + 1e-3
        if interval_us * 32 * 1000 <= PAUSE_NS:
            assert pause_ns <= PAUSE_NS  # then a socket's own pauses take over


def test_who_is_busy_alone_or_not_at_all_is_read_at_once() -> None:
    turn = Turn(Rounds(nothing), 16_000_000)
    assert all(turn.pause_ns(1, 64, ms * MS) == 0 for ms in range(10_000, 20_000, 10))  # 100 pps


def datagrams(flow: int, seqs: NDArray[np.int64], *, size: int, flags: int = 0) -> Datagrams:
    data = np.zeros((len(seqs), 700), np.uint8)
    if size >= HEADER_SIZE:
        fill_probes(
            data[:, :size], stream_id=flow, epoch=5, seq=seqs, tx_ns=seqs * 1000, schedule_start_ns=0,
            interval_ns=1000, flags=flags,
        )  # fmt: skip
    meta = np.zeros(len(seqs), DATAGRAM_DTYPE)
    meta["source"] = np.frombuffer(address_bytes(parse_address("10.0.0.1")), np.uint8)
    meta["destination"] = np.frombuffer(address_bytes(parse_address(f"239.1.1.{flow}")), np.uint8)
    meta["destination_port"], meta["source_port"], meta["ifindex"], meta["ttl"] = 5000, 4000, 1, 1
    meta["size"], meta["rx_ns"] = size, seqs * 1000 + 300
    return Datagrams(data, np.full(len(seqs), size, np.int64), meta)


def alike(batch: Datagrams) -> Alike:
    like = batch.meta[:1].copy()
    like["rx_ns"] = 0
    front = batch.data[:, :FRONT_BYTES].copy()
    return Alike(front, batch.data, like, batch.meta["rx_ns"].copy(), batch.data.shape[1])


READ = st.tuples(
    st.integers(1, 4), st.integers(1, 40), st.sampled_from([10, 64, 200, 600]), st.sampled_from([0, FLAG_PATTERN]),
    st.booleans(), st.booleans(),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(READ, min_size=1, max_size=40))
def test_records_are_those_of_each_batch_alone(reads: list[tuple[int, int, int, int, bool, bool]]) -> None:
    """Batches of several sockets, some alike, some of other sizes, damaged or no probes; buffers are used again."""
    protocol = load_protocol("probe")
    apart, together = (Demultiplexer(protocol, StreamRegistry()) for _ in range(2))
    found: list[PacketArray] = []
    rounds = Rounds(lambda batch: found.append(together.receive(batch).copy()))
    expected: list[PacketArray] = []
    next_seq = Counter[int]()
    for place, (flow, n, size, flags, is_alike, is_damaged) in enumerate(reads):
        seqs = np.arange(next_seq[flow], next_seq[flow] + n)
        next_seq[flow] += n
        batch = datagrams(flow, seqs, size=size, flags=flags)
        batch.data[n // 2, 30] ^= is_damaged
        given_batch: Batch = alike(batch) if is_alike else batch
        expected.append(apart.receive(Datagrams(batch.data.copy(), batch.kept.copy(), batch.meta.copy())))
        rounds.add(given_batch, place * 20 * MS)
        batch.data[:], batch.kept[:] = 0xEE, 0
        batch.meta["size"] = 0
    rounds.flush()
    assert np.concatenate(found).tobytes() == np.concatenate(expected).tobytes()
    assert together.rejected == apart.rejected


def test_what_waits_is_looked_at_when_it_is_much_or_old() -> None:
    taken: list[int] = []
    rounds = Rounds(lambda batch: taken.append(len(batch)))
    for place in range(11):
        rounds.add(datagrams(1, np.arange(3), size=64), place * ROUND_NS // 10)
    assert taken == [33]
    for _ in range(ENOUGH_ROWS // 40 + 1):
        rounds.add(datagrams(2, np.arange(40), size=64), 0)
    assert taken[1] >= ENOUGH_ROWS
    rounds.flush()
    assert sum(taken) == 33 + 40 * (ENOUGH_ROWS // 40 + 1)


def test_runs_wait_for_nobody_and_pass_nobody() -> None:
    taken: list[str] = []
    rounds = Rounds(lambda batch: taken.append(type(batch).__name__))
    few = datagrams(1, np.arange(3), size=64)
    rounds.add(few, 0)
    rounds.add(Runs(few.data, few.meta[:1], np.array([3]), np.array([64])), 0)
    assert taken == ["Datagrams", "Runs"]


def scenario(n_groups: int, *, more: str = "", event: str = "") -> str:
    first = os.getpid() % 200 + 1
    groups = [f"239.255.{94 + k // 200}.{(first + k) % 200 + 1}:5094" for k in range(n_groups)]
    streams = "".join(
        f'[[stream]]\ngroup = "{group}"\ninterface = "lo"\nrate = "200pps"\nduration = "3s"\nstart = "{k * 3}ms"\n'
        for k, group in enumerate(groups)
    )
    named = ", ".join(f'"{group}"' for group in groups)
    return (
        f'linger = "100ms"\n{streams}[[receiver]]\ngroups = [{named}]\ninterface = "lo"\nbuffer = "2MB"\n'
        f"witnesses = []\n{more}\n{event}"
    )


class Reads:
    """Counts the reads that brought something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n = 0
        real = ReceiverSocket.receive_nowait

        def receive_nowait(socket: ReceiverSocket) -> Batch | None:
            batch = real(socket)
            self.n += batch is not None
            return batch

        monkeypatch.setattr(ReceiverSocket, "receive_nowait", receive_nowait)


@pytest.mark.parametrize("n_groups", [10, 70])  # a socket each, and several a socket
def test_a_busy_receiver_of_many_groups_reads_seldom_and_hears_all(
    n_groups: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Reads(monkeypatch)
    perform(parse_scenario(scenario(n_groups), "x"), output=tmp_path / "run", command=[])
    summary = analyze_recording(tmp_path / "run")
    assert [(stream.expected, stream.received, stream.lost) for stream in summary.streams] == [(600, 600, 0)] * n_groups
    assert not summary.misdelivered
    assert all(stream.reordered == 0 and not stream.windows for stream in summary.streams)
    n_packets = open_run(tmp_path / "run").n_packets
    assert reads.n < n_packets / 2, (reads.n, n_packets)  # the first second is read as it comes


@pytest.mark.parametrize("action", ["reopen", "stall", "leave"])
def test_what_waits_survives_what_ends_the_reading(action: str, tmp_path: Path) -> None:
    event = f'[[event]]\nat = "2100ms"\naction = "{action}"\n' + ('lasts = "150ms"\n' if action == "stall" else "")
    perform(parse_scenario(scenario(10, event=event), "x"), output=tmp_path / "run", command=[])
    rows = np.concatenate(list(open_run(tmp_path / "run").packets()))
    for number in range(10):
        seq = rows["seq"][rows["stream"] == number]
        before = seq[seq < 400]  # 2 s
        assert before.tolist() == list(range(400))
        assert (np.diff(seq[: 600 if action == "stall" else len(seq)]) >= 0).all()
    if action == "stall":
        assert all(stream.lost == 0 for stream in analyze_recording(tmp_path / "run").streams)


def test_payloads_are_whole_in_rounds_whatever_was_let_go_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.run.sparing.BUSY_ROWS", 1)  # so that fronts are kept before there are rounds
    text = scenario(10)
    (group,) = set(text.split('group = "')[1].split('"')[:1])
    late = (
        f'[[stream]]\ngroup = "{group}"\ninterface = "lo"\nrate = "20pps"\ncount = 10\nstart = "2s"\npattern = true\n'
    )
    text = text.replace("[[receiver]]", late + "[[receiver]]")
    perform(parse_scenario(text, "x"), output=tmp_path / "run", command=[])
    reader = open_run(tmp_path / "run")
    (number,) = [info.number for info in reader.manifest.streams if info.stream_id == 11]
    rows = np.concatenate(list(reader.packets()))
    flags = rows["flags"][rows["stream"] == number]
    assert len(flags) >= 10
    assert not (flags & np.uint8(PacketFlag.TRUNCATED)).any()


def test_arrivals_that_the_reading_stamps_are_not_put_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> int:
        raise AssertionError("a pause would be taken for delay")

    monkeypatch.setattr(Turn, "pause_ns", refuse)
    monkeypatch.setattr(Gathering, "pause_ns", refuse)
    perform(parse_scenario(scenario(10, more='stamps = "user"'), "x"), output=tmp_path / "run", command=[])
    summary = analyze_recording(tmp_path / "run")
    assert sum(stream.received for stream in summary.streams) == 6000
