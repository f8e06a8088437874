"""Tables of a Summary as text cells, for every form of report: page, Markdown, terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

from harness.model import StreamSummary, Summary, Window
from harness.plots.wording import (
    CLASS_WORDS,
    UNDEFINED,
    clock,
    count,
    duration,
    percent,
    worst_first,
    zone_name,
)


@dataclass(frozen=True)
class Table:
    """Text cells under named columns.

    Attributes:
      name: its heading.
      columns: their names.
      rows: as many cells as columns each.
      left: columns of words, which are set flush left.
      remark: a sentence below, "and 12 more in summary.json"; "" when there is none.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    left: frozenset[str] = frozenset()
    remark: str = ""

    def is_left(self, column: int) -> bool:
        """Whether a column is set flush left."""
        return self.columns[column] in self.left


Naming = Callable[[StreamSummary], str]
"""How a table calls a stream."""


def by_label(stream: StreamSummary) -> str:
    """Return a stream's label."""
    return stream.label


def by_number(stream: StreamSummary) -> str:
    """Return "#3", by which narrow tables refer to the table of streams."""
    return f"#{stream.number}"


def more(total: int, shown: int) -> str:
    """Return the remark about rows that are left out; "" when none is.

    >>> more(62, 50), more(3, 50)
    ('The worst 50 of 62; 12 more in summary.json.', '')
    """
    return f"The worst {shown:,} of {total:,}; {total - shown:,} more in summary.json." if total > shown else ""


def _chosen(summary: Summary, most: int) -> list[StreamSummary]:
    """Return the worst streams, in the order of their numbers."""
    return sorted(worst_first(summary.streams)[:most], key=lambda stream: stream.number)


def windows_table(summary: Summary, most: int = 50, zone: tzinfo = UTC, naming: Naming = by_label) -> Table:
    """Return the longest windows of all streams, in the order of time."""
    every = [(stream, window) for stream in summary.streams for window in stream.windows]
    worst = sorted(every, key=lambda pair: (-pair[1].duration_ns, pair[1].start_ns))[:most]
    worst.sort(key=lambda pair: (pair[1].start_ns, pair[0].number))
    name = zone_name(worst[0][1].start_ns, zone) if worst else "UTC"
    columns = (f"start ({name})", "end", "length", "packets", "class", "period", "numbers", "stream")
    rows = [
        (
            ("≈ " if window.is_interpolated else "") + clock(window.start_ns, zone, date=True),
            clock(window.end_ns, zone),
            duration(window.duration_ns),
            count(window.packets),
            CLASS_WORDS[window.kind],
            duration(window.period_ns),
            _numbers(window),
            naming(stream),
        )
        for stream, window in worst
    ]
    remark = more(len(every), len(worst))
    if any(window.is_interpolated for _, window in worst):
        remark += " ≈: edges interpolated between the neighbours' send times; without a fixed interval or a log."
    return Table("Drop-out windows", columns, rows, frozenset({columns[0], "end", "class", "stream"}), remark.strip())


def _numbers(window: Window) -> str:
    if window.first_seq is None or window.last_seq is None:
        return UNDEFINED
    if window.packets == 0:  # a stall: the neighbours of the pause, nothing missing
        return "none missing"
    return f"{window.first_seq:,} to {window.last_seq:,}"


def streams_table(summary: Summary, most: int = 100) -> Table:
    """Return what was counted in each stream."""
    chosen = _chosen(summary, most)
    columns = (
        "#", "stream", "interface", "protocol", "expected", "received", "lost", "loss", "windows", "reordered",
        "duplicates", "too late", "corrupt", "misdelivered",
    )  # fmt: skip
    rows = [
        (
            by_number(stream),
            stream.label,
            stream.interface or UNDEFINED,
            stream.protocol,
            count(stream.expected),
            count(stream.received),
            count(stream.lost),
            percent(stream.loss_ratio),
            count(len(stream.windows)),
            count(stream.reordered),
            count(stream.duplicates),
            count(stream.too_late),
            count(stream.corrupt),
            count(stream.misdelivered),
        )
        for stream in chosen
    ]
    remark = more(len(summary.streams), len(chosen))
    return Table("Streams", columns, rows, frozenset(columns[:4]), remark)


def losses_table(summary: Summary, most: int = 50) -> Table:
    """Return how the loss of each stream is spread: windows, thinning, edge, isolated add up to lost."""
    lossy = [stream for stream in summary.streams if stream.lost]
    chosen = sorted(worst_first(lossy)[:most], key=lambda stream: stream.number)
    columns = ("stream", "lost", "in windows", "in thinning", "edge", "isolated", "loss periods", "longest period")
    rows = [
        (
            stream.label,
            count(stream.lost),
            count(sum(window.packets or 0 for window in stream.windows)),
            count(sum(item.lost for item in stream.thinning)),
            count(stream.edge),
            count(stream.isolated),
            count(stream.loss_periods),
            UNDEFINED if stream.longest_loss_period is None else f"{stream.longest_loss_period:,} packets",
        )
        for stream in chosen
    ]
    return Table("How the loss is spread", columns, rows, frozenset({"stream"}), more(len(lossy), len(chosen)))


def pattern_table(summary: Summary, most: int = 50) -> Table:
    """Return the pattern of each stream's losses: RFC 3357, RFC 3611, Gilbert, Y.1540."""
    lossy = [stream for stream in summary.streams if stream.lost and stream.pattern is not None]
    chosen = sorted(worst_first(lossy)[:most], key=lambda stream: stream.number)
    columns = (
        "stream", "mean loss period", "mean distance", "noticeable", "bursts", "burst density", "gap density",
        "Gilbert p", "Gilbert r", "unavailable seconds",
    )  # fmt: skip
    rows = []
    for stream in chosen:
        pattern = stream.pattern
        assert pattern is not None
        blocks = UNDEFINED if pattern.blocks is None else f"{pattern.unavailable_blocks:,} of {pattern.blocks:,}"
        rows.append(
            (
                stream.label,
                _packets(pattern.mean_loss_period),
                _packets(pattern.mean_inter_loss_period),
                percent(pattern.noticeable_rate),
                count(pattern.bursts),
                percent(pattern.burst_density),
                percent(pattern.gap_density),
                percent(pattern.gilbert_p),
                percent(pattern.gilbert_r),
                blocks,
            )
        )
    thresholds = summary.parameters
    unavailable = f"a second with more than {thresholds.unavailable_threshold:.0%} lost (Y.1540)"
    remark = (
        f"Noticeable: at most {thresholds.delta} packets after the loss before (RFC 3357). "
        f"Bursts: Gmin {thresholds.gmin} (RFC 3611). Unavailable: {unavailable}."
    )
    return Table(
        "Pattern of the loss", columns, rows, frozenset({"stream"}), f"{more(len(lossy), len(chosen))} {remark}".strip()
    )


def _packets(figure: float | None) -> str:
    return UNDEFINED if figure is None else f"{figure:.4g} packets"


def attribution_table(summary: Summary, most: int = 50, naming: Naming = by_label) -> Table:
    """Return where the missing packets of each stream went."""
    lossy = [stream for stream in summary.streams if stream.lost or stream.misdelivered]
    chosen = sorted(worst_first(lossy)[:most], key=lambda stream: stream.number)
    columns = ("stream", "lost", "network", "own buffer", "late", "not sent", "unknown", "misdelivered")
    rows = [
        (
            naming(stream),
            count(stream.lost),
            *(
                count(figure)
                for figure in (
                    stream.attribution.network,
                    stream.attribution.own_buffer,
                    stream.attribution.late,
                    stream.attribution.not_sent,
                    stream.attribution.unknown,
                    stream.attribution.misdelivered,
                )
            ),
        )
        for stream in chosen
    ]
    return Table("Where they went", columns, rows, frozenset({"stream"}), more(len(lossy), len(chosen)))


def delays_table(summary: Summary, most: int = 50) -> Table:
    """Return delay, IPDV and jitter of each stream that has any."""
    timed = [stream for stream in summary.streams if stream.delay.n or stream.ipdv.n]
    chosen = sorted(worst_first(timed)[:most], key=lambda stream: stream.number)
    columns = ("stream", "delay min", "p50", "p99", "p99.9", "max", "IPDV p50", "IPDV p99.9", "jitter")
    rows = []
    for stream in chosen:
        delay, ipdv = stream.delay, stream.ipdv
        figures = [
            delay.minimum_ns,
            *(delay.percentiles_ns.get(name) for name in ("50", "99", "99.9")),
            delay.maximum_ns,
            *(ipdv.percentiles_ns.get(name) for name in ("50", "99.9")),
            stream.jitter_ns,
        ]
        rows.append((stream.label, *map(duration, figures)))
    remark = "One-way delay contains the difference between the two hosts' clocks; IPDV and jitter do not."
    return Table("Delay", columns, rows, frozenset({"stream"}), f"{more(len(timed), len(chosen))} {remark}".strip())


def senders_table(summary: Summary, most: int = 50) -> Table:
    """Return the senders' own account."""
    columns = (
        "stream id",
        "group",
        "source",
        "scheduled",
        "sent",
        "refused",
        "not sent",
        "errors",
        "late p99",
        "late max",
    )
    rows = [
        (
            str(sender.stream_id),
            sender.group,
            sender.source or UNDEFINED,
            count(sender.scheduled),
            count(sender.sent),
            count(sender.refused),
            count(sender.not_sent),
            ", ".join(f"{name} {number:,}" for name, number in sorted(sender.errnos.items())) or "none",
            duration(sender.lateness.percentiles_ns.get("99")),
            duration(sender.lateness.maximum_ns),
        )
        for sender in summary.senders[:most]
    ]
    total = len(summary.senders)
    remark = f"The first {most} of {total:,}; the others in summary.json." if total > most else ""
    return Table(
        "The sender's own account", columns, rows, frozenset({"stream id", "group", "source", "errors"}), remark
    )


def limits_table(summary: Summary) -> Table:
    """Return every limit beside the figure measured against it, of several streams the worst one's."""
    words = {True: "passed", False: "FAILED", None: "cannot be judged"}
    columns: tuple[str, ...] = ("limit", "at most or as asked", "measured", "outcome")
    rows: list[tuple[str, ...]] = [
        (limit.name, limit.limit, limit.measured, words[limit.is_passed]) for limit in summary.limits
    ]
    if len(summary.streams) > 1:
        columns = (*columns, "worst stream")
        rows = [(*row, limit.stream or "all") for row, limit in zip(rows, summary.limits, strict=True)]
    return Table("Limits", columns, rows, frozenset(columns))


def rejected_table(summary: Summary) -> Table:
    """Return datagrams that were not counted in any stream: rejected by reason, misdelivered, dropped by the socket."""
    rows = [
        (f"no packet of the protocol: {reason}", count(number)) for reason, number in sorted(summary.rejected.items())
    ]
    rows.append(("misdelivered: came where it was not asked for", count(summary.misdelivered)))
    rows.append(("dropped by the receivers' own socket buffers", count(summary.socket_drops)))
    return Table("Datagrams outside the streams", ("what", "datagrams"), rows, frozenset({"what"}))


def events_table(summary: Summary, most: int = 50, zone: tzinfo = UTC) -> Table:
    """Return what happened during the run."""
    shown = sorted(summary.events, key=lambda event: event.t_ns)[:most]
    rows = [(clock(event.t_ns, zone, date=True), event.kind, event.receiver, event.text) for event in shown]
    rest = len(summary.events) - len(shown)
    name = zone_name(shown[0].t_ns, zone) if shown else "UTC"
    columns = (f"time ({name})", "event", "receiver", "what")
    remark = f"The first {len(shown)}; {rest:,} more in events.jsonl." if rest else ""
    return Table("Events", columns, rows, frozenset(columns), remark)


def notes_of(summary: Summary, most: int = 40) -> list[str]:
    """Return all caveats: of the whole, then of each stream; equal ones of several streams once."""
    notes = list(summary.notes)
    by_note: dict[str, list[str]] = {}
    for stream in summary.streams:
        for note in stream.notes:
            by_note.setdefault(note, []).append(stream.label)
    notes += [f"{note} ({_whose(labels)})" for note, labels in by_note.items()]
    hidden = len(notes) - most
    return notes if hidden <= 0 else [*notes[:most], f"{hidden:,} more notes in summary.json"]


def _whose(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{labels[0]} and {len(labels) - 1:,} more"


def filled(tables: Iterable[Table]) -> list[Table]:
    """Return the tables that have a row."""
    return [table for table in tables if table.rows]
