"""The Summary: what an analysis found, as values. It goes to `summary.json` and `--json` as it stands here.

Plots and reports are made from a Summary alone. Undefined is None (null in JSON), never 0. Times are integer
nanoseconds; `*_ns` on the sender's time line unless said otherwise; sequence numbers are extended ones.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from harness.model.membership import MembershipTimeline

SUMMARY_VERSION = 1

WindowClass = Literal[
    "never_received", "late_start", "stopped", "stopped_or_ended", "periodic", "mid_run",  # schedule known
    "outage", "stall", "silence", "silent_start", "silent_end",  # schedule unknown: edges on the receiver's time line
]  # fmt: skip
"""Class of a drop-out window; the first row with a schedule, the second without one."""


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A drop-out window: packets first_seq..last_seq not received, over the half-open [start_ns, end_ns).

    Attributes:
      kind: the class (JSON: "class").
      first_seq, last_seq: extended numbers of the first and last packet missing; None when none is numbered.
      packets: how many are missing; 0 for a stall, None for an unnumbered silence.
      period_ns: the period of the train that this window belongs to, for the class "periodic".
      is_interpolated: the edges stand between the stamps of neighbours, since the stream has no fixed interval and no
        sender's log was given.
    """

    kind: WindowClass = msgspec.field(name="class")
    first_seq: int | None
    last_seq: int | None
    start_ns: int
    end_ns: int
    packets: int | None
    period_ns: int | None = None
    is_interpolated: bool = False

    @property
    def duration_ns(self) -> int:
        """Length of the window in ns."""
        return self.end_ns - self.start_ns


class Thinning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A burst of losses (RFC 3611 4.7.2) that holds no drop-out window; density = lost / packets of the burst."""

    first_seq: int
    last_seq: int
    lost: int
    density: float
    start_ns: int | None
    end_ns: int | None


class Attribution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the missing packets went, as far as the evidence tells; the six figures add up to `lost` + `misdelivered`.

    `network` is what remains of `lost` after `own_buffer` (dropped by this host's socket buffer), `late` (came after
    Tmax) and `not_sent` (the sender's own log says that it did not leave). `unknown` takes what cannot be told apart,
    for instance when the socket offers no drop counter. `misdelivered` came, but not where it was asked for.
    """

    network: int = 0
    own_buffer: int = 0
    misdelivered: int = 0
    late: int = 0
    not_sent: int = 0
    unknown: int = 0


class Distribution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A distribution of times in ns, from a sketch whose percentiles are good to `relative_error`.

    Attributes:
      n: samples; with 0 every other figure is None.
      minimum_ns, maximum_ns: exact.
      mean_ns: exact mean, rounded to a float.
      percentiles_ns: {"50": ..., "90": ..., "99": ..., "99.9": ...} by RFC 2330 11.3.
      edges_ns, counts: a histogram for plots; len(edges_ns) = len(counts) + 1.
    """

    n: int
    minimum_ns: int | None = None
    maximum_ns: int | None = None
    mean_ns: float | None = None
    percentiles_ns: dict[str, float] = {}
    relative_error: float = 0.0
    edges_ns: list[float] = []
    counts: list[int] = []


class LossPattern(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How losses are spread over a stream, in sending order; None is undefined. Thresholds stand in Parameters.

    Attributes:
      mean_loss_period: packets (RFC 3357 6.3). mean_inter_loss_period: packets (6.4), the first left out.
      noticeable_rate: losses at most `delta` packets after the loss before, per loss (RFC 3357 6.1).
      bursts, burst_density, gap_density, mean_burst_packets: RFC 3611 4.7.2 with Gmin.
      gilbert_p, gilbert_r: P(lost | received before), P(received | lost before).
      blocks: whole blocks of one second of the schedule (Y.1540), None without a fixed interval.
      unavailable_blocks: of those, with a loss ratio above `unavailable_threshold`.
    """

    mean_loss_period: float | None
    mean_inter_loss_period: float | None
    noticeable_rate: float | None
    bursts: int
    burst_density: float | None
    gap_density: float | None
    mean_burst_packets: float | None
    gilbert_p: float | None
    gilbert_r: float | None
    blocks: int | None
    unavailable_blocks: int | None


class Reordering(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Reordering by RFC 4737, first copies only.

    Attributes:
      reordered: Type-P-Reordered packets, s < NextExp (3.3).
      ratio: reordered / received (4.1); None when nothing was received.
      extent_max, extent_mean: RFC 4737 4.2, in packets; None when nothing was reordered.
      late_time_max_ns: RFC 4737 4.3; None when undefined.
      beyond_horizon: reordered packets whose extent reaches farther back than the analysis keeps; theirs is a bound.
    """

    reordered: int
    ratio: float | None
    extent_max: int | None = None
    extent_mean: float | None = None
    late_time_max_ns: int | None = None
    beyond_horizon: int = 0


class Mark(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A single packet worth a dot on the sequence plot."""

    kind: Literal["reordered", "duplicate", "too_late", "corrupt"]
    rx_ns: int
    seq: int


class Series(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts over time in equal bins; bin k covers [start_ns + k * bin_ns, start_ns + (k + 1) * bin_ns).

    `due` and `lost` stand on the sender's time line where a schedule is known, are interpolated between arrivals where
    not, and are [] for unnumbered streams; `received` and the rest stand on the receiver's.
    `first_seq` and `last_seq` are the extremes of the extended numbers received in a bin,
    `delay_min_ns` and `delay_max_ns` of the one-way delay; None for an empty bin.
    """

    start_ns: int
    bin_ns: int
    received: list[int]
    due: list[int] = []
    lost: list[int] = []
    first_seq: list[int | None] = []
    last_seq: list[int | None] = []
    delay_min_ns: list[int | None] = []
    delay_max_ns: list[int | None] = []


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the times of missing packets are known.

    Attributes:
      source: "probe" (schedule carried by the packets), "log" (the sender's log), "given" (command line), "observed"
        (interval estimated from arrivals: the passive rules apply) or "interpolated" (aperiodic probe, no log).
      first_due_ns, interval_ns: None when not known; interval 0 = aperiodic.
      sent: packets scheduled; None when not known, and then tail loss cannot be told from an ended stream.
    """

    source: Literal["probe", "log", "given", "observed", "interpolated"]
    first_due_ns: int | None = None
    interval_ns: int | None = None
    sent: int | None = None


class StreamSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything found out about one stream.

    Attributes:
      number, receiver, source, group, interface, protocol, stream_id, epoch, key: as in StreamInfo.
      expected: packets that should have come; None when that cannot be known (unnumbered).
      received: first copies that came within Tmax.
      lost: expected - received; None when expected is None. Windows + thinning + edge + isolated = lost.
      too_late: first copies that came after Tmax; they count as lost.
      corrupt: packets that failed their check.
      misdelivered: copies that came where they were not asked for.
      jitter_ns: RFC 3550 6.4.1 at the end of the stream; None with fewer than two packets or no send time.
      longest_gap_ns: largest time between consecutive arrivals of first copies; None with fewer than two, and for a
        stream whose schedule is known, where the windows say more.
      pattern: how the losses are spread; None when what was expected cannot be known.
      join_delay_ns: from the receiver's join to the first packet (RFC 3918 6.1, at the host); None when the stream
        began after the join, or nobody knows when it did.
      edge: losses in a window's burst but outside the window. isolated: the rest.
      notes: sentences for the reader, each a caveat on these figures ("clock offset removed: 2.5 s").
    """

    number: int
    receiver: str
    source: str
    group: str
    interface: str | None
    protocol: str
    stream_id: int | None
    epoch: int | None
    key: dict[str, str]
    label: str
    schedule: Schedule
    first_rx_ns: int | None
    last_rx_ns: int | None
    expected: int | None
    received: int
    lost: int | None
    duplicates: int
    reordered: int | None
    too_late: int
    corrupt: int
    misdelivered: int
    loss_ratio: float | None
    loss_periods: int | None
    longest_loss_period: int | None
    windows: list[Window]
    thinning: list[Thinning]
    isolated: int | None
    edge: int | None
    attribution: Attribution
    delay: Distribution
    ipdv: Distribution
    jitter_ns: float | None
    reordering: Reordering | None
    series: Series
    longest_gap_ns: int | None = None
    pattern: LossPattern | None = None
    join_delay_ns: int | None = None
    marks: list[Mark] = []
    notes: list[str] = []


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happened during a run, on the common time axis (realtime time line of the run).

    `kind` is one of join, leave, reopen, link, errno, note, boot, clock_step, start, end, overflow, stream,
    end_of_stream.
    """

    t_ns: int
    kind: str
    text: str
    monotonic_ns: int | None = None
    receiver: str = ""


class SenderSummary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sender says of itself: it is the witness for `not_sent`, and a late sender is not a loss.

    `lateness` is the time from due to sent; `errnos` counts refused sends by errno name.
    """

    stream_id: int
    epoch: int
    source: str
    group: str
    scheduled: int
    sent: int
    refused: int
    not_sent: int
    errnos: dict[str, int]
    lateness: Distribution


class Limit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One limit beside the figure measured against it; `is_passed` None when the figure is undefined.

    `stream` is the label of the stream that the figure is of, the worst of several; "" for a limit on the whole.
    """

    name: str
    limit: str
    measured: str
    is_passed: bool | None
    stream: str = ""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ranked explanation of what was found, or "ok"; a diagnosis fills these in."""

    name: str
    sentence: str
    score: float = 1.0
    evidence_for: list[str] = []
    evidence_against: list[str] = []
    settled_by: str = ""
    remedy: str = ""


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The thresholds that stand behind the figures.

    Attributes:
      tmax_ns: later than this after sending is lost; None for never.
      min_packets, min_duration_ns: shortest drop-out window.
      gmin: RFC 3611, in packets. delta: loss constraint of RFC 3357 6.1, in packets.
      unavailable_threshold: c1 of Y.1540, a loss ratio, over blocks of one second.
      silence_factor, silence_floor_ns: a passive silence is longer than factor * interval, and than the floor.
      horizon: packets up to which the analysis of late packets is exact.
    """

    tmax_ns: int | None = None
    min_packets: int = 3
    min_duration_ns: int = 0
    gmin: int = 16
    delta: int = 16
    unavailable_threshold: float = 0.2
    silence_factor: int = 3
    silence_floor_ns: int = 0
    horizon: int = 1024


class Summary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of analyzing one recording.

    Attributes:
      version: of this layout; another one is refused by name.
      path: what was analyzed, as the user named it.
      rejected: datagrams that were no packet of the protocol, by reason {"too short": 3}.
      monotonic_offset_ns: subtract it from a time to get the receiving host's monotonic clock; None when not known.
      unreadable: packet records that the recording lost to damage: what they held counts as lost, on nobody's account.
      socket_drops: datagrams that the receivers' own socket buffers dropped; None when the platform cannot say.
      membership: queries, reports and leaves of a capture; None where none were looked for or none came.
      notes: caveats on the whole ("torn tail: 3 records dropped").
    """

    version: int = SUMMARY_VERSION
    path: str = ""
    parameters: Parameters
    streams: list[StreamSummary]
    senders: list[SenderSummary] = []
    events: list[Event] = []
    rejected: dict[str, int] = {}
    misdelivered: int = 0
    socket_drops: int | None = None
    unreadable: int = 0
    monotonic_offset_ns: int | None = None
    limits: list[Limit] = []
    verdicts: list[Verdict] = []
    notes: list[str] = []
    membership: MembershipTimeline | None = None
