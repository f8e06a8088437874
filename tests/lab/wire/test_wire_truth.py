import os
from pathlib import Path

import msgspec
import pytest

from harness.errors import RecordError, StorageError
from harness.lab.wire import DirectionLedger, End, FrameRecord, Ledger, parse_wire, read_truth
from harness.lab.wire.truth import Header, Start, TruthWriter

HEADER = Header(
    spec=parse_wire('[[fault]]\nkind = "loss"\nratio = "1%"\nfrom = "1s"', "wire"),
    ends=(End("a", "eth0"), End(None, "b", "packet")),
    cap_pps=40_000,
    limit_pps=None,
)
RECORDS = [
    FrameRecord(
        frame=1, direction="forward", did="dropped", monotonic_ns=10, to="239.1.1.1:5", stream=1, epoch=2, seq=4
    ),
    FrameRecord(frame=2, direction="backward", did="over_rate", monotonic_ns=11, to="239.1.1.1:6", seq=5),
    FrameRecord(frame=3, direction="forward", did="duplicated", monotonic_ns=12, to="239.1.1.1:5", seq=6, copies=2),
    FrameRecord(frame=4, direction="forward", did="dropped", monotonic_ns=13, to="239.1.1.1:5", stream=1, is_end=True),
    FrameRecord(frame=5, direction="forward", did="refused", monotonic_ns=14, to="239.1.1.1:5", seq=9, errno=5),
]
LEDGER = Ledger(forward=DirectionLedger(n_in=4, n_dropped={"1 loss": 2}), backward=DirectionLedger(), cap_pps=40_000)


def written(path: Path) -> Path:
    writer = TruthWriter(path, HEADER)
    writer.started(Start(realtime_ns=1_000, monotonic_ns=5))
    writer.records(RECORDS, 995)
    writer.close(LEDGER)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    truth = read_truth(written(tmp_path / "truth"))
    assert truth.header == HEADER
    assert truth.starts == [Start(realtime_ns=1_000, monotonic_ns=5)]
    assert truth.records == [msgspec.structs.replace(r, realtime_ns=r.monotonic_ns + 995) for r in RECORDS]
    assert truth.ledger == LEDGER


def test_numbers_are_picked(tmp_path: Path) -> None:
    truth = read_truth(written(tmp_path / "truth"))
    assert truth.seqs() == [4, 5]
    assert truth.seqs(to="239.1.1.1:6") == [5]
    assert truth.seqs(stream=1) == [4]
    assert truth.seqs(epoch=3) == []
    assert truth.seqs("refused") == [9]
    assert truth.copies() == {6: 2}
    assert truth.copies(to="239.1.1.1:6") == {}


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "truth")
    whole = path.read_bytes()
    starts = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]
    near = {start + more for start in starts for more in (-2, -1, 0, 1)}
    for size in sorted(size for size in near if starts[0] <= size < len(whole)):
        path.write_bytes(whole[:size])
        truth = read_truth(path)
        assert truth.ledger is None
        assert len(truth.records) == max(0, sum(place <= size for place in starts) - 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not the truth of a wire"),
        (b"hello\n", "not the truth of a wire"),
        (b'{"kind":"other"}\n', "not the truth of a wire"),
        (msgspec.json.encode(msgspec.structs.replace(HEADER, version=9)) + b"\n", "of version 9; this program reads 1"),
        (msgspec.json.encode(HEADER) + b'\n{"frame":1}\n', "line 2"),
    ],
)
def test_what_is_no_truth_is_refused(text: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "truth"
    path.write_bytes(text)
    with pytest.raises(RecordError, match=message):
        read_truth(path)
    with pytest.raises(RecordError, match="ENOENT"):
        read_truth(tmp_path / "none")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = written(tmp_path / "truth")
    before = path.read_bytes()
    with pytest.raises(StorageError, match="name a file that is not there yet"):
        TruthWriter(path, HEADER)
    assert path.read_bytes() == before
    with pytest.raises(StorageError, match="ENOENT"):
        TruthWriter(tmp_path / "none" / "truth", HEADER)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    writer = TruthWriter(tmp_path / "truth", HEADER)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer.fileno())
    os.close(full)
    with pytest.raises(StorageError, match="ENOSPC"):
        writer.close(LEDGER)


def test_a_ledger_knows_whether_it_balances() -> None:
    counts = DirectionLedger(n_in=10, n_out=6, n_duplicated=2, n_dropped={"a": 3}, n_over_rate=1, n_held=2)
    assert counts.imbalance == 0
    assert counts.n_lost == 6
    assert Ledger(forward=counts, backward=DirectionLedger(), cap_pps=1).is_balanced
    counts.n_out += 1
    assert counts.imbalance == -1
    assert not Ledger(forward=counts, backward=DirectionLedger(), cap_pps=1).is_balanced
