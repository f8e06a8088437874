"""The membership timeline of a capture file: through analyze_capture, into report and figures, beside the loss."""

import ipaddress
from pathlib import Path

import msgspec
from matplotlib.figure import Figure
from rtp_captures import NS, T0, Frame, ip_frame, rtp_frame, write_capture

from harness.analysis import StreamOptions, analyze_capture
from harness.model import Summary
from harness.plots import loss_figure, timeline_figure
from harness.report.markdown import render_markdown
from harness.report.membership import membership_tables
from harness.report.text import format_table
from protocols.igmp import build_igmp
from protocols.membership import Message, Query, Record, RecordKind, Report

ROUTER, HOST = "10.0.0.1", "10.0.0.20"
QUERY = Query(2, None, 10.0)
REPORT = Report(2, (Record(RecordKind.MODE_IS_EXCLUDE, ipaddress.ip_address("239.1.2.3")),))
RTP = StreamOptions(protocol="rtp")


def message(second: float, host: str, what: Message) -> Frame:
    return ip_frame(T0 + round(second * NS), build_igmp(what), host, "224.0.0.1", 2, ttl=1)


def rtp(number: int, second: float) -> Frame:
    return rtp_frame(T0 + round(second * NS), number, number * 800)


def stopped(folder: Path) -> Summary:
    """One query at the start and a late one, a join at 10 s, and a stream that stops at 270 s."""
    frames = [message(0, ROUTER, QUERY), message(10.5, HOST, REPORT), message(400, ROUTER, QUERY)]
    frames += [rtp(k, 11 + k / 10) for k in range(2_590)]
    return analyze_capture(write_capture(folder / "stopped.pcapng", frames), None, RTP)


def texts(figure: Figure) -> str:
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return "\n".join(found + legends)


def test_the_stop_of_a_stream_stands_beside_the_expiry_of_its_membership(tmp_path: Path) -> None:
    summary = stopped(tmp_path)
    assert summary.membership is not None
    (member,) = summary.membership.members
    (interval,) = member.intervals
    assert (interval.end, interval.end_ns) == ("expired", T0 + 270_500_000_000)
    assert member.interface == summary.streams[0].interface == "eth7"
    silent = summary.streams[0].windows[-1]
    assert silent.kind == "silent_end"
    assert abs(silent.start_ns - (T0 + 270 * NS)) < NS
    assert silent.end_ns == T0 + 400 * NS  # the last query shows that the capture went on
    assert [gap.kind for gap in summary.membership.gaps] == ["between"]


def test_the_summary_with_its_timeline_survives_json(tmp_path: Path) -> None:
    summary = stopped(tmp_path)
    assert msgspec.json.decode(msgspec.json.encode(summary), type=Summary) == summary


def test_every_report_names_querier_gap_and_expiry(tmp_path: Path) -> None:
    summary = stopped(tmp_path)
    for report in (format_table(summary, width=140), render_markdown(summary, None, None, [], tmp_path)):
        assert "Queriers" in report
        assert "Times without a membership query" in report
        assert "10.0.0.20" in report
        assert "expired" in report
    assert [len(table.rows) for table in membership_tables(summary)] == [1, 1, 1]


def test_a_summary_without_messages_has_no_membership_tables(tmp_path: Path) -> None:
    summary = analyze_capture(write_capture(tmp_path / "c.pcapng", [rtp(k, k / 10) for k in range(60)]), None, RTP)
    assert summary.membership is None
    assert [table.rows for table in membership_tables(summary)] == [[], [], []]
    assert "Queriers" not in format_table(summary)
    assert "Group membership" not in texts(timeline_figure(summary))


def test_both_figures_of_the_loss_carry_the_members(tmp_path: Path) -> None:
    summary = stopped(tmp_path)
    for figure in (timeline_figure(summary), loss_figure(summary)):
        shown = texts(figure)
        assert "10.0.0.20 in 239.1.2.3 on eth7" in shown
        assert "would have expired at 22:17:50.5: no report in time" in shown
        assert "general query" in shown
        assert "expired: no report in time" in shown
        limits = [axes.get_xlim() for axes in figure.axes[:2]]
        assert limits[0] == limits[1]


def test_a_capture_of_messages_alone_is_drawn_too(tmp_path: Path) -> None:
    frames = [message(second, ROUTER, QUERY) for second in (0, 125, 250)]
    summary = analyze_capture(write_capture(tmp_path / "c.pcapng", frames))
    assert summary.streams == []
    assert "IGMP queries on eth7" in texts(timeline_figure(summary))
    assert "no stream" in texts(loss_figure(summary))
