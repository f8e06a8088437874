"""Damage of every kind: never a traceback, never a wrong row, and the damage is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from store_helpers import a_run, a_sender, a_writer, all_packets, all_sent, an_event, packets, sent_rows

from harness.errors import HarnessError, RecordError
from harness.model import Counters
from harness.store import open_run, read_summary
from harness.store.chunks import MAX_CHUNK_ROWS, Chunk, decode_index, decode_line, encode_line

SIZES = (5, 7, 6)


@pytest.fixture(scope="module")
def sound_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "run"
    a_run(path, *SIZES)
    return path


@pytest.fixture
def run(sound_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound_run, tmp_path / "run"))


def seqs(path: Path, chunk_rows: int = 1_000) -> tuple[list[int], list[str]]:
    reader = open_run(path)
    return all_packets(reader, chunk_rows)["seq"].tolist(), reader.warnings


def test_torn_tail_of_the_rows_keeps_every_whole_chunk_at_each_length(run: Path) -> None:
    whole = (run / "packets.bin").read_bytes()
    for length in range(12 * 32, len(whole)):
        (run / "packets.bin").write_bytes(whole[:length])
        found, warnings = seqs(run)
        assert found == list(range(12))
        assert warnings == ["packets.bin is too short: rows 12 to 17 are missing"]


def test_torn_last_line_drops_its_chunk_at_each_length(run: Path) -> None:
    whole = (run / "packets.crc").read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for length in range(start, len(whole)):
        (run / "packets.crc").write_bytes(whole[:length])
        found, warnings = seqs(run)
        assert found == list(range(12))
        assert "packets.bin: 6 rows at the end were never finished; dropped" in warnings
        assert ("packets.crc: the last line is torn" in warnings) == (length > start)


@pytest.mark.parametrize("n_bytes", range(1, 70))
def test_rows_beyond_the_last_line_are_dropped_and_said(run: Path, n_bytes: int) -> None:
    with (run / "packets.bin").open("ab") as file:
        file.write(bytes(n_bytes))
    found, warnings = seqs(run)
    assert found == list(range(18))
    assert len(warnings) == 1
    assert "never finished" in warnings[0]


@pytest.mark.parametrize("chunk_rows", [1, 6, 12, 1_000])
def test_flipped_bit_in_the_rows_costs_its_chunk_alone(run: Path, chunk_rows: int) -> None:
    data = (run / "packets.bin").read_bytes()
    bounds = [(0, 5), (5, 12), (12, 18)]
    for bit in range(0, len(data) * 8, 41):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        (run / "packets.bin").write_bytes(damaged)
        first, end = next(bound for bound in bounds if bit // 8 < bound[1] * 32)
        found, warnings = seqs(run, chunk_rows)
        assert found == [*range(first), *range(end, 18)]
        assert warnings == [f"packets.bin: rows {first} to {end - 1} do not match their checksum; skipped"]


def test_flipped_bit_in_the_lines_never_gives_a_wrong_row(run: Path) -> None:
    text = (run / "packets.crc").read_bytes()
    lines = text.splitlines(keepends=True)
    starts = np.cumsum([0, *(len(line) for line in lines)])
    bounds = [(0, 5), (5, 12), (12, 18)]
    for bit in range(len(text) * 8):
        damaged = bytearray(text)
        damaged[bit // 8] ^= 1 << bit % 8
        (run / "packets.crc").write_bytes(damaged)
        found, warnings = seqs(run)
        line = int(np.searchsorted(starts, bit // 8, side="right")) - 1
        kept = {*range(18)} - {*range(*bounds[line])}
        is_newline = text[bit // 8 : bit // 8 + 1] == b"\n"
        assert set(found) == kept or (is_newline and set(found) < kept), (bit, warnings)
        assert found == sorted(found)
        assert any("packets.crc: " in text for text in warnings)


def test_flipped_bit_in_the_counters_is_noticed(tmp_path: Path) -> None:
    with a_writer(tmp_path / "run", 0) as writer:
        writer.append_packets(packets(0, 3))
        writer.set_counters(Counters(rejected={"too short": 3}))
    path = tmp_path / "run" / "packets.crc"
    path.write_bytes(path.read_bytes().replace(b":3}", b":7}"))
    reader = open_run(tmp_path / "run")
    assert reader.warnings[0] == "packets.crc: line 1 is damaged"
    assert reader.counters == Counters(rejected={"too short": 3})


@settings(max_examples=200, deadline=None)
@given(text=st.binary(max_size=300))
def test_any_bytes_as_checksum_file_are_an_index_with_damage(text: bytes) -> None:
    index = decode_index(text, "packets.crc")
    assert index.chunks == []
    assert bool(index.damage) == bool(text)


@settings(max_examples=100, deadline=None)
@given(first=st.integers(-(2**70), 2**70), rows=st.integers(-(2**70), 2**70))
def test_line_that_claims_the_impossible_is_damaged(first: int, rows: int) -> None:
    chunk = decode_line(encode_line(Chunk(first, rows, "00000000"))[:-1])
    is_possible = 0 <= first <= 2**58 and 0 <= rows <= MAX_CHUNK_ROWS
    assert (chunk == Chunk(first, rows, "00000000")) if is_possible else chunk is None


def test_lines_that_overlap_or_leave_a_gap_are_named(run: Path) -> None:
    lines = (run / "packets.crc").read_bytes().splitlines(keepends=True)
    (run / "packets.crc").write_bytes(lines[0] + lines[2] + lines[1])
    found, warnings = seqs(run)
    assert found == [*range(5), *range(12, 18)]
    assert warnings == [
        "packets.crc: line 3 is damaged",
        "packets.bin: rows 5 to 11 have no readable line in packets.crc; skipped",
    ]


@pytest.mark.parametrize(
    ("name", "n_kept", "warning"),
    [
        ("packets.bin", 0, "packets.bin is missing"),
        ("packets.crc", 0, "packets.crc is missing, so that no row of packets.bin can be checked; restore it"),
        ("events.jsonl", 18, "events.jsonl is missing"),
    ],
)
def test_missing_file_is_named(run: Path, name: str, n_kept: int, warning: str) -> None:
    (run / name).unlink()
    found, warnings = seqs(run)
    assert len(found) == n_kept
    assert warning in warnings


def test_damage_of_the_senders_log_is_named_too(tmp_path: Path) -> None:
    with a_writer(tmp_path / "run") as writer:
        writer.add_sender(a_sender(2))
        writer.append_sent(sent_rows(0, 10, 2))
        writer.flush(force=True)
        writer.append_sent(sent_rows(10, 10, 2))
    data = bytearray((tmp_path / "run" / "sent.bin").read_bytes())
    data[33] ^= 4
    (tmp_path / "run" / "sent.bin").write_bytes(data)
    reader = open_run(tmp_path / "run")
    assert all_sent(reader)["seq"].tolist() == list(range(10, 20))
    assert all_sent(reader)["seq"].tolist() == list(range(10, 20))
    assert reader.warnings == ["sent.bin: rows 0 to 9 do not match their checksum; skipped"]


def test_rows_of_a_stream_that_the_manifest_lost_are_skipped(tmp_path: Path) -> None:
    with a_writer(tmp_path / "run", 0, 1) as writer:
        writer.append_packets(np.concatenate([packets(0, 3, 0), packets(3, 2, 1)]))
        writer.flush(force=True)
        writer.append_packets(packets(5, 4, 1))
    path = tmp_path / "run" / "manifest.json"
    manifest = msgspec.json.decode(path.read_bytes())
    del manifest["streams"][1]
    path.write_bytes(msgspec.json.encode(manifest))
    found, warnings = seqs(tmp_path / "run", 5)
    assert found == [0, 1, 2]
    assert warnings == ["packets.bin: rows of stream 1, which manifest.json does not list; skipped"]


def test_damaged_and_torn_events_are_named_and_the_rest_kept(tmp_path: Path) -> None:
    with a_writer(tmp_path / "run") as writer:
        for text in ("a", "b", "c"):
            writer.event(an_event(text))
    path = tmp_path / "run" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"t_ns": "soon"}\n\xff\n' + lines[2] + lines[1][:-1])
    reader = open_run(tmp_path / "run")
    assert [event.text for event in reader.events] == ["a", "c"]
    assert [text[:24] for text in reader.warnings] == [
        "events.jsonl: line 2 is ",
        "events.jsonl: line 3 is ",
        "events.jsonl: the last l",
    ]


def edited(path: Path, **changes: object) -> Path:
    value = msgspec.json.decode((path / "manifest.json").read_bytes())
    value.update(changes)
    (path / "manifest.json").write_bytes(msgspec.json.encode({k: v for k, v in value.items() if v is not ...}))
    return path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "version 2 is newer than this program's 1; upgrade"),
        ({"version": 0}, "version 0 is unknown"),
        ({"version": "1"}, "no integer field `version`"),
        ({"version": True}, "no integer field `version`"),
        ({"clocks": {"realtime_ns": "x", "monotonic_ns": 1}}, "$.clocks.realtime_ns"),
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"kind": "walk"}, "$.kind"),
        ({"streams": [{"number": 1}, {}]}, "$.streams[1]"),
    ],
)
def test_manifest_that_does_not_fit_is_refused_by_file_and_field(
    run: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(RecordError) as caught:
        open_run(edited(run, **changes))
    assert message in str(caught.value)
    assert str(run / "manifest.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def read_environment(path: Path) -> object:
    return open_run(path).environment


JSON_READERS: dict[str, Callable[[Path], object]] = {
    "manifest.json": open_run,
    "summary.json": read_summary,
    "environment.json": read_environment,
}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"version": 1}', b"[" * 100_000])
@pytest.mark.parametrize("name", JSON_READERS)
def test_json_that_is_none_of_ours_is_one_line(run: Path, name: str, content: bytes) -> None:
    (run / name).write_bytes(content)
    if name == "environment.json" and content == b'{"version": 1}':
        return
    with pytest.raises(RecordError, match=name) as caught:
        JSON_READERS[name](run)
    assert "\n" not in str(caught.value)


@settings(max_examples=100, deadline=None)
@given(position=st.integers(0, 10_000), value=st.integers(0, 255))
def test_any_byte_of_the_manifest_may_change(sound_run: Path, position: int, value: int) -> None:
    text = bytearray((sound_run / "manifest.json").read_bytes())
    text[position % len(text)] = value
    copy = sound_run.parent / "changed"
    shutil.copytree(sound_run, copy, dirs_exist_ok=True)
    (copy / "manifest.json").write_bytes(text)
    message = ""
    try:
        all_packets(open_run(copy))
    except HarnessError as exc:
        message = str(exc)
    assert "\n" not in message


def test_paths_that_are_no_run_say_what_analyze_reads(tmp_path: Path, run: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("x")
    cases = {
        tmp_path / "none": "does not exist",
        run / "manifest.json": "is a file, not a run directory",
        tmp_path / "empty": "it is empty",
        tmp_path / "other": "it has no manifest.json",
        tmp_path: f"it holds 1 of them; name one, for example {run}",
    }
    for path, message in cases.items():
        with pytest.raises(RecordError, match=r"harness analyze reads a run directory") as caught:
            open_run(path)
        assert message in str(caught.value)
        assert str(caught.value).startswith(str(path))
        assert "\n" not in str(caught.value)
