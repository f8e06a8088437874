import sys
from pathlib import Path

import pytest

from harness.analysis import StreamOptions, analyze_file
from harness.bench import analysis
from harness.bench.rtp_capture import write_rtp_capture


def test_capture_for_the_bench_is_one_rtp_stream_with_the_loss_that_it_says(tmp_path: Path) -> None:
    n_written = write_rtp_capture(tmp_path / "rtp.pcapng", 20_000)
    (stream,) = analyze_file(tmp_path / "rtp.pcapng", None, StreamOptions(protocol="rtp", clock_rate=48_000)).streams
    assert stream.received == n_written
    assert stream.expected is not None
    assert stream.lost == stream.expected - n_written > 100


def test_parts_merge_to_the_whole() -> None:
    received, _, peak = analysis.in_parts(400_000, 2)
    assert received == 400_000
    assert peak > 0


def test_every_figure_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["analysis", "--packets", "3e5", "--capture-packets", "2e4"])
    analysis.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "fold, in order",
        "fold, 1 % lost, 1 % reordered, 0.1 % copies",
        lines[2].split(":")[0],
    ]
    assert lines[2].startswith("RTP capture of 19,")
