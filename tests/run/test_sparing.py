"""A receiver that lets go of payloads hears the same, and misses nothing that is in them but where it says so."""

from collections import Counter
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from harness.model import Batch, Clocks, End, Manifest, PacketArray, PacketFlag, parse_endpoint
from harness.model.scenario import Receiver, Scenario
from harness.net import RunClock, open_receiver, open_sender
from harness.run import receiving
from harness.run.gathering import BUSY_ROWS
from harness.run.plan import resolve
from harness.run.receiving import Receiving
from harness.run.recorder import Recorder
from harness.run.sparing import Sparing
from harness.store import RunWriter, open_run
from protocols.probe import FLAG_END, FLAG_PATTERN, HEADER_SIZE, fill_probes

GROUP, SIZE, EACH = parse_endpoint("239.255.79.61:5079"), 300, 40
FOREIGN = 0x5A
COLUMNS = ("stream", "seq", "tx_ns", "size", "ttl")

Batches = list[NDArray[np.uint8]]


class Collecting(Recorder):
    """A recorder that keeps what it gets."""

    def __init__(self, writer: RunWriter, clock: RunClock) -> None:
        super().__init__(writer, clock)
        self.records: list[PacketArray] = []

    def packets(self, records: PacketArray) -> None:
        self.records.append(records.copy())
        super().packets(records)


class Counting(Receiving):
    """A receiver that tells how many datagrams it has taken."""

    n_taken = 0
    taken = trio.Event()

    def _record(self, datagrams: Batch) -> None:
        super()._record(datagrams)
        self.n_taken += len(datagrams)
        self.taken.set()

    async def wait_for(self, n_datagrams: int) -> None:
        while self.n_taken < n_datagrams:
            self.taken = trio.Event()
            await self.taken.wait()


def probes(first: int, *, size: int = SIZE, stream_id: int = 1, flags: int = 0) -> NDArray[np.uint8]:
    rows = np.zeros((EACH, size), np.uint8)
    seq = np.arange(first, first + EACH)
    fill_probes(
        rows, stream_id=stream_id, epoch=5, seq=seq, tx_ns=seq * 1000, schedule_start_ns=0, interval_ns=0, flags=flags
    )
    return rows


def kind_of(kind: str, first: int) -> NDArray[np.uint8]:
    rows = probes(first)
    if kind == "of another stream":
        rows = probes(first, stream_id=2)
    elif kind == "smaller":
        rows = probes(first, size=HEADER_SIZE)
    elif kind == "larger":
        rows = probes(first, size=2 * SIZE)
    elif kind == "patterned":
        rows = probes(first, flags=FLAG_PATTERN, stream_id=3)
    elif kind == "patterned and damaged behind":
        rows = probes(first, flags=FLAG_PATTERN, stream_id=3)
        rows[::3, -1] ^= 1
    elif kind == "one patterned":
        rows[7] = probes(first, flags=FLAG_PATTERN)[7]
    elif kind == "damaged in front":
        rows[5, 20] ^= 1
    elif kind == "foreign":
        rows[9] = FOREIGN
    elif kind == "at the end":
        rows[-1] = probes(first, flags=FLAG_END)[-1]
    return rows


KINDS = [
    "plain", "of another stream", "smaller", "larger", "patterned", "patterned and damaged behind", "one patterned",
    "damaged in front", "foreign", "at the end",
]  # fmt: skip


def received(batches: Batches, path: Literal["batch", "portable"]) -> tuple[PacketArray, Counter[str], list[str]]:
    """Return the records of batches that a receiver reads one by one, what it rejected, and its notes."""
    clock = RunClock()
    clocks = Clocks(realtime_ns=clock.start_realtime_ns, monotonic_ns=clock.start_monotonic_ns)
    wanted = Receiver(groups=[str(GROUP)], interface="lo", buffer="1MB")
    (plan,) = resolve(Scenario(receiver=[wanted])).receivers

    async def main(one: Counting) -> None:
        with open_sender(GROUP, interface="lo") as sender, trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(one.run)
                for number, batch in enumerate(batches, 1):
                    assert not sender.send_nowait(batch).any()
                    await one.wait_for(number * EACH)
                nursery.cancel_scope.cancel()

    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(receiving, "open_receiver", partial(open_receiver, path=path))
        manifest = Manifest(kind="receive", created="", command=[], clocks=clocks)
        recorder = Collecting(RunWriter.create(Path(directory) / "run", manifest), clock)
        one = Counting(plan, recorder)
        one.open()
        trio.run(main, one)
        one.close()
        recorder.writer.finish(End(reason="complete", t_ns=clock.now_ns()))
        notes = [event.text for event in open_run(Path(directory) / "run").events if event.kind == "note"]
    records = np.concatenate(recorder.records)
    records["flags"] &= ~np.uint8(PacketFlag.USER_STAMP)  # the kernel begins to stamp some time after it was asked to
    return records, one.demultiplexer.rejected, notes


@settings(max_examples=20, deadline=None)
@given(kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=8))
def test_what_is_let_go_changes_no_record_but_those_that_say_so(kinds: list[str]) -> None:
    kinds = ["plain", "plain", "plain", *kinds]
    batches = [kind_of(kind, place * EACH) for place, kind in enumerate(kinds)]
    spared, rejected, notes = received(batches, "batch")
    whole, whole_rejected, whole_notes = received(batches, "portable")
    assert rejected == whole_rejected
    for column in COLUMNS:
        assert spared[column].tolist() == whole[column].tolist(), column
    is_cut = (spared["flags"] & PacketFlag.TRUNCATED) != 0
    assert not (whole["flags"] & PacketFlag.TRUNCATED).any()
    assert spared["flags"][~is_cut].tolist() == whole["flags"][~is_cut].tolist()
    rows = np.concatenate([batch[:, :HEADER_SIZE] for batch in batches])
    has_pattern = (rows[rows[:, 0] != FOREIGN, 7] & FLAG_PATTERN) != 0
    assert has_pattern[is_cut].all()
    assert [note.partition(" ")[0] for note in notes] == ([str(np.count_nonzero(is_cut))] if is_cut.any() else [])
    assert not whole_notes


def test_payloads_that_count_are_looked_at_from_the_second_batch_on() -> None:
    kinds = ["plain"] * 4 + ["patterned and damaged behind"] * 3 + ["plain"] * 4
    records, _, notes = received([kind_of(kind, place * EACH) for place, kind in enumerate(kinds)], "batch")
    flags = records["flags"].reshape(len(kinds), EACH)
    damaged = np.where(np.arange(EACH) % 3 == 0, np.uint8(PacketFlag.CORRUPT), np.uint8(0))
    assert (flags[4] == PacketFlag.TRUNCATED).all()
    assert (flags[5:7] == damaged).all()
    assert notes == [f"{EACH} packets with a pattern were kept in part, and the rest of it not checked"]
    assert not flags[[0, 1, 2, 3, 7, 8, 9, 10]].any()


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 2 * BUSY_ROWS)), max_size=400))
def test_batches_that_may_lack_something_are_few(batches: list[tuple[bool, int]]) -> None:
    sparing, is_spared, n_spoilt, n_in_a_row = Sparing(), False, 0, 0
    for is_following, n_datagrams in batches:
        n_spoilt += is_spared and not is_following
        n_in_a_row = n_in_a_row + 1 if is_following else 0
        is_spared = sparing.may_spare(is_following, n_datagrams)
        assert is_spared == (n_in_a_row >= 2**n_spoilt and n_datagrams >= BUSY_ROWS)
    assert 2**n_spoilt <= len(batches) + 1
