"""Tables of packets: what `export` writes `tables` reads, and what does not fit is refused by column and row."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from store_helpers import a_run, packets

from harness.errors import HarnessError, RecordError, StorageError, UsageError
from harness.model import PACKET_DTYPE, UNDEFINED_NS, UNNUMBERED, PacketArray, StreamInfo
from harness.store import arrowtable, open_run
from harness.store.export import export_csv, export_parquet
from harness.store.tables import open_table

STREAMS = [
    StreamInfo(number=0, group="239.1.2.3:5000", source="10.0.0.1:4000", clock_rate=90_000),
    StreamInfo(number=700, group="[ff15::1%eth0]:5000", source='a "quoted", name'),
]
INT64 = np.iinfo(np.int64)


def read(path: Path, chunk_rows: int = 1_000) -> PacketArray:
    return np.concatenate([np.empty(0, PACKET_DTYPE), *open_table(path).packets(chunk_rows)])


def table(path: Path, text: str) -> Path:
    target = path / "table.csv"
    target.write_text(text, encoding="utf-8")
    return target


@pytest.fixture(params=["pyarrow", "by hand"])
def _reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "by hand":
        monkeypatch.setattr("harness.store.csvtable.arrow_or_none", lambda _: None)


def any_packets() -> st.SearchStrategy[PacketArray]:
    def build(n: int) -> st.SearchStrategy[PacketArray]:
        columns = {
            "seq": hnp.arrays(np.int64, n, elements=st.integers(UNNUMBERED, INT64.max)),
            "tx_ns": hnp.arrays(np.int64, n, elements=st.integers(UNDEFINED_NS, INT64.max)),
            "rx_ns": hnp.arrays(np.int64, n, elements=st.integers(INT64.min, INT64.max)),
            "stream": hnp.arrays(np.uint16, n, elements=st.sampled_from([0, 700])),
            "size": hnp.arrays(np.uint16, n),
            "ttl": hnp.arrays(np.uint8, n),
            "flags": hnp.arrays(np.uint8, n),
        }

        def combine(values: dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]) -> PacketArray:
            rows = np.zeros(n, PACKET_DTYPE)
            for name, column in values.items():
                rows[name] = column
            return rows

        return st.fixed_dictionaries(columns).map(combine)

    return st.integers(0, 30).flatmap(build)


@settings(max_examples=60, deadline=None)
@given(rows=any_packets(), chunk_rows=st.integers(1, 40), by_hand=st.booleans())
def test_export_reads_back_as_it_was(rows: PacketArray, chunk_rows: int, by_hand: bool) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        if by_hand:
            patch.setattr("harness.store.csvtable.arrow_or_none", lambda _: None)
        chunks = [rows[:7], rows[7:]]
        csv_path, parquet_path = Path(directory, "a.csv"), Path(directory, "a.parquet")
        assert export_csv(csv_path, chunks, STREAMS) == export_parquet(parquet_path, chunks, STREAMS) == len(rows)
        assert read(csv_path, chunk_rows).tobytes() == rows.tobytes()
        assert read(parquet_path, chunk_rows).tobytes() == rows.tobytes()
        assert open_table(parquet_path).streams == STREAMS
        assert sorted(path.name for path in Path(directory).iterdir()) == ["a.csv", "a.parquet"]


def test_csv_of_a_run_is_readable_by_people(tmp_path: Path) -> None:
    a_run(tmp_path / "run", 2)
    reader = open_run(tmp_path / "run")
    export_csv(tmp_path / "run.csv", reader.packets(), reader.manifest.streams)
    assert (tmp_path / "run.csv").read_text() == (
        "seq,tx_ns,rx_ns,stream,size,ttl,flags,group,source\n"
        "0,0,0,0,0,0,0,239.1.2.0:5000,10.0.0.1:4000\n"
        "1,0,1000000,0,0,0,0,239.1.2.0:5000,10.0.0.1:4000\n"
    )


@pytest.mark.usefixtures("_reader")
def test_streams_are_known_from_their_first_row_on(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = np.concatenate([packets(0, 3, 700), packets(3, 2, 0)])
    export_csv(path, [rows], STREAMS)
    reader = open_table(path)
    assert reader.streams == []
    list(reader.packets())
    assert [(info.number, info.group, info.source) for info in reader.streams] == [
        (0, "239.1.2.3:5000", "10.0.0.1:4000"),
        (700, "[ff15::1%eth0]:5000", 'a "quoted", name'),
    ]


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_least_table_has_two_columns(tmp_path: Path, separator: str) -> None:
    text = "\ufeffseq, rx_ns\r\n5,100\r\n\r\n,200\r\n 7 ,-3\r\n".replace(",", separator)
    rows = read(table(tmp_path, text))
    assert rows["seq"].tolist() == [5, UNNUMBERED, 7]
    assert rows["rx_ns"].tolist() == [100, 200, -3]
    assert rows["tx_ns"].tolist() == [UNDEFINED_NS] * 3
    assert not rows["stream"].any()


@pytest.mark.usefixtures("_reader")
def test_stream_without_numbers_is_taken_for_unnumbered(tmp_path: Path) -> None:
    reader = open_table(table(tmp_path, "seq,rx_ns,stream\n,1,0\n,2,0\n4,3,1\n"))
    list(reader.packets())
    assert [(info.number, info.sequence_bits) for info in reader.streams] == [(0, 0), (1, 64)]


@pytest.mark.usefixtures("_reader")
def test_header_alone_is_an_empty_table(tmp_path: Path) -> None:
    reader = open_table(table(tmp_path, "seq,rx_ns\n"))
    assert list(reader.packets()) == []
    assert reader.streams == []


BAD_TABLES = {
    "seq,rx_ms\n1,2\n": "unknown column 'rx_ms'; did you mean 'rx_ns'?",
    "seq,tx_ns\n1,2\n": "no column 'rx_ns'",
    "rx_ns\n1\n": "no column 'seq'",
    "seq,rx_ns,seq\n1,2,3\n": "column 'seq' is there twice",
    "seq,rx_ns,group\n1,2,x\n": "no column 'stream'",
    "seq,rx_ns\n1,2\n3,4.5\n": "row 2: column 'rx_ns' is '4.5', not a whole number",
    "seq,rx_ns\n1,2\n\n3,+4\n": "row 2: column 'rx_ns' is '+4'",
    "seq,rx_ns\n1_0,2\n": "row 1: column 'seq' is '1_0'",
    "seq,rx_ns\n1,2\n1-2,2\n": "row 2: column 'seq' is '1-2'",
    "seq,rx_ns\n1,2\n3,\n": "row 2: column 'rx_ns' is empty",
    "seq,rx_ns\n1,2\n3\n": "row 2 has 1 cells, the header 2",
    "seq,rx_ns\n1,2\n3,4,5\n": "row 2 has 3 cells, the header 2",
    "seq,rx_ns,size\n1,2,70000\n": "row 1: column 'size' is 70000, outside 0 to 65535",
    "seq,rx_ns,ttl\n1,2,3\n1,2,-1\n": "row 2: column 'ttl' is -1, outside 0 to 255",
    "seq,rx_ns\n-2,2\n": "row 1: column 'seq' is -2, outside -1",
    "seq,rx_ns\n1,99999999999999999999\n": "row 1: column 'rx_ns' is 99999999999999999999, beyond 64 bits",
    f"seq,rx_ns\n1,{'x' * 1000}\n": "row 1: column 'rx_ns' is 'xxx",
    "": "has no header",
    "seq,rx_ns\n1,2\n" + "é": "row 2 has 1 cells",
}


@pytest.mark.usefixtures("_reader")
@pytest.mark.parametrize("text", BAD_TABLES)
def test_table_that_does_not_fit_is_refused_by_column_and_row(tmp_path: Path, text: str) -> None:
    path = table(tmp_path, text)
    with pytest.raises(RecordError) as caught:
        read(path, 1)
    assert BAD_TABLES[text] in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.usefixtures("_reader")
def test_row_number_counts_on_over_chunks(tmp_path: Path) -> None:
    lines = [f"{number},{number}" for number in range(5_000)]
    lines[4_321] = "4321,soon"
    with pytest.raises(RecordError, match="row 4322"):
        read(table(tmp_path, "\n".join(["seq,rx_ns", *lines])), 100)
    lines[4_321] = "-5,4321"
    with pytest.raises(RecordError, match="row 4322"):
        read(table(tmp_path, "\n".join(["seq,rx_ns", *lines])), 100)


@pytest.mark.usefixtures("_reader")
@settings(max_examples=150, deadline=None)
@given(cell=st.text("0123456789-+xeE. \t_'\"aF\x00é", max_size=8))
def test_any_cell_is_read_or_refused_in_one_line(cell: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        message = ""
        try:
            assert len(read(table(Path(directory), f"seq,rx_ns\n1,2\n{cell},3\n"))) <= 2
        except RecordError as exc:
            message = str(exc)
        assert "\n" not in message


@settings(max_examples=150, deadline=None)
@given(cell=st.text("0123456789-+xe. _a", max_size=6))
def test_pyarrow_and_the_reader_by_hand_agree_on_numbers(cell: str) -> None:
    def outcome(path: Path) -> object:
        try:
            return read(path).tolist()
        except RecordError as exc:
            return str(exc)

    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        path = table(Path(directory), f"seq,rx_ns\n{cell},3\n")
        with_arrow = outcome(path)
        patch.setattr("harness.store.csvtable.arrow_or_none", lambda _: None)
        assert with_arrow == outcome(path)


@pytest.mark.usefixtures("_reader")
def test_bytes_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    for content in (b"\xff\xfes\x00e\x00q\x00", b"seq,rx_ns\n1,\xff\n", b"x" * 70_000):
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(RecordError, match=r"a\.csv"):
            read(tmp_path / "a.csv")


def test_parquet_of_wrong_types_is_refused_by_column(tmp_path: Path) -> None:
    pa, parquet = arrowtable.arrow(), arrowtable.arrow("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    bad: list[tuple[dict[str, object], str]] = [
        ({"seq": [1.5], "rx_ns": [2]}, "column 'seq' is of type double"),
        ({"seq": [1], "rx_ns": ["2"]}, "column 'rx_ns' is of type string"),
        ({"seq": [1], "rx_ns": [2], "stream": [0], "group": [7]}, "column 'group' is of type int64"),
        ({"seq": [1], "when": [2]}, "unknown column 'when'"),
        ({"seq": [1, 2], "rx_ns": [2, None]}, "row 2: column 'rx_ns' is empty"),
        ({"seq": pa.array([1, 2**63], pa.uint64()), "rx_ns": [2, 3]}, "row 2: column 'seq' is 9223372036854775808"),
    ]
    for columns, message in bad:
        parquet.write_table(pa.table(columns), path)
        with pytest.raises(RecordError, match=message):
            read(path)


def test_parquet_of_another_tool_is_read(tmp_path: Path) -> None:
    pa, parquet = arrowtable.arrow(), arrowtable.arrow("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    columns = {"seq": pa.array([1, None], pa.int32()), "rx_ns": [2, 3], "stream": [4, 5], "group": ["g", None]}
    parquet.write_table(pa.table(columns), path)
    reader = open_table(path)
    rows = np.concatenate(list(reader.packets(1)))
    assert rows["seq"].tolist() == [1, UNNUMBERED]
    assert [(info.number, info.group) for info in reader.streams] == [(4, "g"), (5, "")]


def test_damaged_parquet_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    export_parquet(path, [packets(0, 100)], STREAMS)
    sound = path.read_bytes()
    for content in (b"", b"PAR1", sound[:-9], sound[: len(sound) // 2], bytes(200)):
        path.write_bytes(content)
        with pytest.raises(HarnessError) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_missing_pyarrow_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_parquet(tmp_path / "a.parquet", [packets(0, 1)], STREAMS)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    for action in (
        lambda: open_table(tmp_path / "a.parquet"),
        lambda: export_parquet(tmp_path / "b.parquet", [packets(0, 1)], STREAMS),
    ):
        with pytest.raises(UsageError, match=r"pip install 'multicast-harness\[archive\]'"):
            action()


def test_paths_that_are_no_table_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "dir.csv").mkdir()
    for name in ("none.csv", "dir.csv", "x.txt"):
        with pytest.raises(RecordError, match=name):
            open_table(tmp_path / name)


def test_export_that_fails_leaves_the_older_file(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("older")
    unknown = [packets(0, 1, stream=9)]
    with pytest.raises(StorageError, match="stream 9"):
        export_csv(target, unknown, STREAMS)
    with pytest.raises(StorageError, match="stream 9"):
        export_parquet(target, unknown, STREAMS)
    with pytest.raises(StorageError, match="nowhere"):
        export_csv(tmp_path / "nowhere" / "a.csv", [], STREAMS)
    assert target.read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
