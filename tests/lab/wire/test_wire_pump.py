import errno
import os
import time
from pathlib import Path

import pytest
import wire_helpers as h

from harness.lab.wire import End, FrameRecord, WireSpec, read_truth
from harness.lab.wire import pump as pump_module
from harness.lab.wire.ends import OpenEnd
from harness.lab.wire.plan import plan_of
from harness.lab.wire.pump import Pump, queue_of
from harness.lab.wire.truth import Header, TruthWriter

FRAMES = [h.udp_frame(h.probe(seq)) for seq in range(300)]


class Script(OpenEnd):
    """An end with frames to be read; it keeps what is written, or refuses it."""

    def __init__(self, frames: list[bytes], refusal: int = 0, is_endless: bool = False) -> None:
        self.fd, self.n_completed = os.open(os.devnull, os.O_RDONLY), 0
        self.frames, self.refusal, self.is_endless = list(frames), refusal, is_endless
        self.written = list[bytes]()

    def read(self) -> bytes | None:
        if self.is_endless:
            return FRAMES[0]
        return self.frames.pop(0) if self.frames else None

    def write(self, frame: bytes) -> int:
        if not self.refusal:
            self.written.append(frame)
        return self.refusal

    def queue_drops(self) -> int:
        return 3

    def far_drops(self) -> int:
        return 4

    def close(self) -> None:
        os.close(self.fd)


def laid(path: Path, first: Script, second: Script, spec: str = "", cap_pps: float = 40_000) -> Pump:
    header = Header(spec=WireSpec(), ends=(End(None, "a"), End(None, "b")), cap_pps=cap_pps, limit_pps=None)
    return Pump((first, second), plan_of(h.spec_of(spec)), cap_pps, TruthWriter(path, header))


def finished(pump: Pump, path: Path, *ends: Script) -> tuple[dict[str, object], list[FrameRecord]]:
    """End a wire; return the forward half of its ledger without what is 0, and its records."""
    ledger = pump.finish()
    assert ledger.is_balanced
    for end in ends:
        end.close()
    truth = read_truth(path)
    assert truth.ledger == ledger
    counts = {name: getattr(ledger.forward, name) for name in ledger.forward.__struct_fields__}
    return {name: value for name, value in counts.items() if value}, truth.records


def test_both_directions_have_their_turn(tmp_path: Path) -> None:
    first, second = Script(FRAMES[:200]), Script(FRAMES[200:])
    pump = laid(tmp_path / "truth", first, second)
    assert pump.turn() == 2 * pump_module.BATCH
    counts, records = finished(pump, tmp_path / "truth", first, second)
    assert (second.written, first.written) == (FRAMES[:200], FRAMES[200:])
    assert counts == {"n_in": 200, "n_out": 200, "n_queue_drops": 3, "n_far_drops": 4}
    assert records == []


def test_refusals_are_counted_at_once_and_after_a_wait(tmp_path: Path) -> None:
    first, second = Script(FRAMES[:10]), Script([], refusal=errno.ENOBUFS)
    pump = laid(tmp_path / "truth", first, second, '[[fault]]\nkind = "delay"\nseqs = [3]\ndelay = "1ms"')
    pump.start()
    pump.turn()
    time.sleep(0.005)
    pump.turn()
    counts, records = finished(pump, tmp_path / "truth", first, second)
    assert counts["n_refused"] == counts["n_in"] == 10
    refused = [record for record in records if record.did == "refused"]
    assert [record.seq for record in refused] == [0, 1, 2, 4, 5, 6, 7, 8, 9, 3]
    assert {record.errno for record in refused} == {errno.ENOBUFS}


def test_what_is_too_much_at_the_end_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "DRAIN_S", 0.0)
    first, second = Script(FRAMES[:100]), Script([])
    pump = laid(tmp_path / "truth", first, second)
    counts, records = finished(pump, tmp_path / "truth", first, second)
    assert (counts["n_in"], counts["n_out"], counts["n_unread"]) == (100, 64, 36)
    assert [(record.did, record.seq) for record in records] == [("unread", seq) for seq in range(64, 100)]


def test_who_goes_on_sending_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump_module, "DRAIN_S", 0.0)
    first, second = Script([], is_endless=True), Script([])
    pump = laid(tmp_path / "truth", first, second, cap_pps=100)
    counts, _ = finished(pump, tmp_path / "truth", first, second)
    assert counts["n_unread"] == 2 * queue_of(100) == 2_000


def test_the_realtime_of_a_record_is_that_of_its_moment(tmp_path: Path) -> None:
    first, second = Script(FRAMES[:1]), Script([])
    pump = laid(tmp_path / "truth", first, second, '[[fault]]\nkind = "dropout"')
    pump.start()
    before_ns = time.time_ns()
    pump.turn()
    after_ns = time.time_ns()
    _, (record,) = finished(pump, tmp_path / "truth", first, second)
    assert before_ns - 1_000_000 <= record.realtime_ns <= after_ns + 1_000_000
