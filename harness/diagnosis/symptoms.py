"""What is to be explained: each drop-out, scattered loss, refusal or oddity of a run, by itself.

What a run did to itself is no symptom: a leave until the next join, a receiver that joined after the stream began, a
sender that was interrupted; nor is a stall without loss, unless stalls come like clockwork.
"""

from __future__ import annotations

import functools
import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.model import Event, Manifest, ReceiverInfo, SenderSummary, StreamSummary, Summary, Window
from harness.model.witness import SenderImpairment
from harness.units import NS_PER_S

SymptomKind = Literal[
    "window",
    "scattered",
    "bursty",
    "send-refused",
    "join-refused",
    "peer-refused",
    "egress",
    "igmp-version",
    "not-sent",
    "impaired",
]
"""A drop-out; losses outside drop-outs; delivery in bursts; refusals; packets on another interface than expected; an
interface that fell back to an older IGMP version; packets that the sender did not send, or left out on purpose."""

MAX_WINDOWS = 200
"""Windows of a stream that are explained one by one, the longest first."""
SHORT_PACKETS, SHORT_NS = 10, 300_000_000
"""A window below both is part of the scattered losses: a random loss makes runs of three, too."""
START_NS, END_NS = NS_PER_S, 200_000_000
"""What may be missing at the edges of a healthy run: reports take a moment, and so do ends."""
LEAVE_NS = 500_000_000
LEFT_OUT = 0.9
"""Share of a window that a sender left out on purpose, from which on the window needs no other explanation."""
MIN_SHARE_NOT_SENT = 0.02
MIN_NOT_SENT = 5
_OPEN_ENDED = ("stopped", "stopped_or_ended", "silent_end")
_AT_START = ("late_start", "silent_start")
_NO_LOSS = ("stall", "silent_start")
_MIN_BURSTS = 5


@dataclass(frozen=True, kw_only=True)
class Symptom:
    """One thing to explain.

    Attributes:
      stream: whose; None for what concerns no stream that was heard of.
      receiver, group: at which receiver, and of which endpoint; "" when it concerns none.
      start_ns, end_ns: when.
      n_packets: packets missing; what it weighs beside other symptoms.
      is_from_start, is_to_end: nothing was heard before it, or after it.
      text: errno and the like.
      sender: whose account it stands in.
    """

    kind: SymptomKind
    stream: StreamSummary | None = None
    receiver: str = ""
    group: str = ""
    start_ns: int = 0
    end_ns: int = 0
    n_packets: int = 1
    is_from_start: bool = False
    is_to_end: bool = False
    period_ns: int | None = None
    text: str = ""
    sender: SenderSummary | None = None

    @property
    def duration_ns(self) -> int:
        """Length in ns."""
        return self.end_ns - self.start_ns


def find_symptoms(summary: Summary, manifest: Manifest, impairments: Sequence[SenderImpairment] = ()) -> list[Symptom]:
    """Return all symptoms but those that only evidence shows (`egress`, `igmp-version`), in the order of streams.

    What a sender left out of its own stream on purpose, by its record, is a symptom of its own and part of no other.
    """
    receivers = {info.name: info for info in manifest.receivers}
    found = [
        symptom
        for stream in summary.streams
        for symptom in _of_stream(stream, receivers, summary, manifest, LeftOut.of(stream, impairments))
    ]
    for sender in summary.senders:
        found += _of_sender(sender, summary, manifest)
    hosts = {info.name for info in manifest.hosts}
    for event in summary.events:
        if event.kind == "errno" and "cannot join" in event.text:
            host = event.text.partition(": ")[0]  # a run over several hosts puts it before what it cannot assign
            found.append(
                Symptom(
                    kind="join-refused",
                    receiver=event.receiver or (host if host in hosts else ""),
                    start_ns=event.t_ns,
                    end_ns=event.t_ns,
                    text=event.text,
                )
            )
    return found


def _of_silence(stream: StreamSummary, info: ReceiverInfo | None, manifest: Manifest) -> Iterator[Symptom]:
    """Yield the symptom of a group of which nothing came and nothing is known."""
    end_ns = manifest.end.t_ns if manifest.end is not None else None
    if info is not None and info.joined_ns is not None and end_ns is not None and end_ns - info.joined_ns > START_NS:
        yield Symptom(
            kind="window",
            stream=stream,
            receiver=stream.receiver,
            group=stream.group,
            start_ns=info.joined_ns,
            end_ns=info.left_ns or end_ns,
            is_from_start=True,
            is_to_end=True,
        )


def _of_stream(
    stream: StreamSummary,
    receivers: dict[str, ReceiverInfo],
    summary: Summary,
    manifest: Manifest,
    left_out: LeftOut,
) -> Iterator[Symptom]:
    events, streams = summary.events, summary.streams
    lost, not_sent = stream.lost or 0, stream.attribution.not_sent
    if lost and not_sent >= 0.9 * lost:
        return  # the sender's account is the symptom
    info = receivers.get(stream.receiver)
    of_stream = functools.partial(Symptom, stream=stream, receiver=stream.receiver, group=stream.group)
    if not stream.received and not stream.windows:
        yield from _of_silence(stream, info, manifest)
    unusual = [
        window
        for window in stream.windows
        if not _is_usual(window, stream, info, events, manifest) and not _is_taken_over(window, stream, streams)
    ]
    short = [window for window in unusual if _is_short(window)]
    long = [window for window in unusual if not _is_short(window)]
    n_impaired = 0
    for place, window in enumerate(sorted(long, key=lambda each: -each.duration_ns)):
        n_missing = window.packets if window.packets is not None else 1
        n_left_out = min(n_missing, left_out.within(window))
        n_impaired += n_left_out
        if n_left_out >= LEFT_OUT * n_missing or place >= MAX_WINDOWS:
            continue
        start_ns = max(window.start_ns, _joined_ns(stream, info, events) or 0)
        yield of_stream(
            kind="window",
            start_ns=min(start_ns, window.end_ns),
            end_ns=window.end_ns,
            n_packets=n_missing - n_left_out,
            is_from_start=window.kind in ("never_received", *_AT_START),
            is_to_end=window.kind in ("never_received", *_OPEN_ENDED),
            period_ns=window.period_ns,
        )
    scattered = (stream.isolated or 0) + (stream.edge or 0) + sum(each.lost for each in stream.thinning)
    scattered += sum(window.packets or 0 for window in short)
    n_in_windows = sum(map(left_out.within, stream.windows)) - sum(map(left_out.within, short))
    n_left_out = min(scattered, left_out.n - n_in_windows)
    n_impaired, scattered = n_impaired + n_left_out, scattered - n_left_out
    if stream.first_rx_ns is not None and stream.last_rx_ns is not None:
        whole = functools.partial(of_stream, start_ns=stream.first_rx_ns, end_ns=stream.last_rx_ns)
        if scattered:
            yield whole(kind="scattered", n_packets=scattered)
        if n_impaired:
            yield whole(kind="impaired", n_packets=n_impaired)
    bursts = burst_period(stream)
    if bursts is not None and lost <= 0.01 * (stream.expected or 0):
        yield of_stream(
            kind="bursty",
            start_ns=stream.first_rx_ns or 0,
            end_ns=stream.last_rx_ns or 0,
            period_ns=bursts[0],
            text=f"{bursts[1]}",
        )


class LeftOut:
    """The numbers of the probes that a stream's own sender left out or damaged, on its record.

    Attributes:
      n: how many.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = sorted(set(numbers))
        self.n = len(self._numbers)

    @classmethod
    def of(cls, stream: StreamSummary, impairments: Sequence[SenderImpairment]) -> LeftOut:
        """Return those of one stream."""
        mine = [each for each in impairments if (each.stream_id, each.epoch) == (stream.stream_id, stream.epoch)]
        return cls(number for each in mine for number in (*(each.dropped or ()), *(each.corrupted or ())))

    def within(self, window: Window) -> int:
        """Return how many of them lie within a window; 0 for one without numbers.

        >>> window = Window(kind="mid_run", first_seq=4, last_seq=6, start_ns=0, end_ns=1, packets=3)
        >>> LeftOut([3, 4, 6, 9]).within(window)
        2
        """
        if window.first_seq is None or window.last_seq is None:
            return 0
        return bisect_right(self._numbers, window.last_seq) - bisect_left(self._numbers, window.first_seq)


def _joined_ns(stream: StreamSummary, info: ReceiverInfo | None, events: list[Event]) -> int | None:
    """Return when a stream's group was joined first: by the events, as a group may come later than its receiver."""
    told = [
        event.t_ns
        for event in events
        if event.kind == "join"
        and event.receiver in ("", stream.receiver)
        and f"{address_of(stream.group)})" in event.text
    ]
    if told:
        return min(told)
    return info.joined_ns if info is not None else None


def _is_short(window: Window) -> bool:
    return window.duration_ns < SHORT_NS and window.packets is not None and window.packets < SHORT_PACKETS


def _is_usual(
    window: Window, stream: StreamSummary, info: ReceiverInfo | None, events: list[Event], manifest: Manifest
) -> bool:
    """Whether a window is what every healthy run has, or what the run did to itself."""
    if window.kind in _NO_LOSS or window.packets == 0:
        return True
    joined_ns = _joined_ns(stream, info, events)
    if window.kind in _AT_START and joined_ns is not None and window.end_ns <= joined_ns + START_NS:
        return True
    if window.kind in _AT_START and joined_ns is None and window.duration_ns < START_NS:
        return True
    if window.kind in _OPEN_ENDED and window.duration_ns < END_NS:
        return True
    if info is not None and info.left_ns is not None and window.start_ns >= info.left_ns - END_NS:
        return True
    if window.kind in _OPEN_ENDED and manifest.end is not None and window.start_ns >= manifest.end.t_ns - END_NS:
        return True
    return any(
        event.kind == "leave"
        and event.receiver in ("", stream.receiver)
        and f"{address_of(stream.group)})" in event.text
        and abs(window.start_ns - event.t_ns) < LEAVE_NS
        for event in events
    )


def _is_taken_over(window: Window, stream: StreamSummary, streams: list[StreamSummary]) -> bool:
    """Whether the same sender was heard from another address in the time of a window: then nothing is missing."""
    for other in streams:
        is_same = (other.receiver, other.group, other.epoch, other.stream_id) == (
            stream.receiver, stream.group, stream.epoch, stream.stream_id,
        )  # fmt: skip
        if is_same and stream.epoch is not None and other.source != stream.source:
            first_ns, last_ns = other.first_rx_ns, other.last_rx_ns
            if first_ns is not None and last_ns is not None:
                covered_ns = min(last_ns, window.end_ns) - max(first_ns, window.start_ns)
                if covered_ns >= 0.8 * window.duration_ns:
                    return True
    return False


def _of_sender(sender: SenderSummary, summary: Summary, manifest: Manifest) -> Iterator[Symptom]:
    same = [each for each in manifest.senders if (each.stream_id, each.epoch) == (sender.stream_id, sender.epoch)]
    start_ns = same[0].first_due_ns if same else 0
    end_ns = start_ns + (same[0].interval_ns * sender.scheduled if same else 0)
    stream = next((each for each in summary.streams if each.epoch == sender.epoch), None)
    of_sender = functools.partial(
        Symptom, sender=sender, stream=stream, group=sender.group, start_ns=start_ns, end_ns=end_ns
    )
    peer = sender.errnos.get("ECONNREFUSED", 0)
    if peer:
        # the kernel tells of one in many, and none arrives
        yield of_sender(kind="peer-refused", n_packets=sender.scheduled, text="ECONNREFUSED")
    if sender.refused > peer:
        names = ", ".join(sorted(name for name in sender.errnos if name != "ECONNREFUSED"))
        yield of_sender(kind="send-refused", n_packets=sender.refused - peer, text=names)
    was_cut = manifest.end is not None and manifest.end.reason == "interrupted"
    if not was_cut and sender.not_sent >= max(MIN_NOT_SENT, MIN_SHARE_NOT_SENT * sender.scheduled):
        yield of_sender(kind="not-sent", n_packets=sender.not_sent)


def burst_period(stream: StreamSummary) -> tuple[int, int] | None:
    """Return the period in ns and the number of bursts in which a stream was delivered without loss; None for neither.

    A gap is a run of bins in which packets were due and none came; gaps must cover half of the time, and successive
    bursts lie apart by their median within a tenth, for at least four in five of them.
    """
    series = stream.series
    if not series.due or len(series.due) != len(series.received) or stream.first_rx_ns is None:
        return None
    rows = list(zip(series.due, series.received, strict=True))
    filled = [place for place, (_, came) in enumerate(rows) if came]
    starts: list[int] = []
    empty = 0
    for before, after in itertools.pairwise(filled):
        due = sum(pair[0] for pair in rows[before + 1 : after])
        if after - before > 2 and due >= 3:
            starts.append(after)
            empty += after - before - 1
    if len(starts) < _MIN_BURSTS or 2 * empty < filled[-1] - filled[0]:
        return None
    steps = [after - before for before, after in itertools.pairwise(starts)]
    middle = sorted(steps)[len(steps) // 2]
    if 5 * sum(10 * abs(step - middle) <= max(middle, 10) for step in steps) < 4 * len(steps):
        return None
    return round((starts[-1] - starts[0]) / len(steps) * series.bin_ns), len(starts)


def address_of(group: str) -> str:
    """Return the address of an endpoint's text.

    >>> address_of("239.1.2.3:5000"), address_of("[ff15::1]:5000")
    ('239.1.2.3', 'ff15::1')
    """
    return group.rpartition(":")[0].strip("[]")
