"""How far a one-way delay may be wrong: by the clocks at its two ends (RFC 7679 3.7.1)."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model import Clocks, HostInfo, Manifest, SenderInfo, StreamSummary
from harness.units import format_duration

_STAMPED_BY = {
    "kernel": "the receiver's kernel",
    "hardware": "the receiver's network card",
    "user": "the receiving program",
}

READING_NS = 1_000
"""Two clocks are read one after the other: how far a run's time line may lie from where it says."""


@dataclass(frozen=True, slots=True)
class DelayBound:
    """How far the one-way delays of a stream may be wrong by its clocks, beyond the resolution of the stamps.

    Attributes:
      bound_ns: at most so far; 0 for delays of one clock; None when nobody knows.
      clocks: which clocks these are, and whence the bound, for people.
    """

    bound_ns: int | None
    clocks: str

    @property
    def note(self) -> str:
        """The caveat that a report shows."""
        if self.bound_ns is None:
            return f"one-way delay is of two clocks, its error bound is unknown: {self.clocks}"
        if self.bound_ns == 0:
            return f"one-way delay is of one clock and exact to its stamps: {self.clocks}"
        return f"one-way delay may be wrong by {format_duration(self.bound_ns)}: {self.clocks}"


def delay_bound(stream: StreamSummary, receiver: Manifest, sender: Manifest | None = None) -> DelayBound:
    """Return the error bound of a stream's one-way delays.

    One clock stamped both ends where one run sent and received, and where two runs were made in one boot of one host:
    the monotonic clock then ties their time lines together. Otherwise the errors of two clocks add up.

    Args:
      stream: what was received.
      receiver: the manifest of the run that received it.
      sender: that of the run that sent it, when this is another one and at hand.
    """
    stamps = f"stamped by the sending program and {_STAMPED_BY[_rx_source(stream, receiver)]}"
    card_ns = receiver.clocks.card.error_bound_ns if receiver.clocks.card is not None else 0
    card = f", with {format_duration(card_ns)} of the network card's clock" if card_ns else ""
    here = _sender_of(stream, receiver)
    if here is not None and receiver.hosts:
        return _between_hosts(here, stream, receiver.hosts, stamps)
    if here is not None:
        return DelayBound(card_ns, stamps + card)
    if sender is None or _sender_of(stream, sender) is None:
        return DelayBound(
            None, f"the receiver's is {_described(receiver.clocks)}; the sender's is not known, give its run by --sent"
        )
    if sender.boot_id and sender.boot_id == receiver.boot_id:
        apart_ns = abs(_origin_ns(sender.clocks) - _origin_ns(receiver.clocks))
        return DelayBound(
            apart_ns + READING_NS + card_ns,
            f"two runs of one boot, whose time lines are {format_duration(apart_ns)} apart{card}; {stamps}",
        )
    ends = f"the sender's is {_described(sender.clocks)}; the receiver's is {_described(receiver.clocks)}{card}"
    bounds = (sender.clocks.error_bound_ns, receiver.clocks.error_bound_ns)
    if bounds[0] is None or bounds[1] is None:
        return DelayBound(None, ends)
    return DelayBound(bounds[0] + bounds[1] + card_ns, ends)


def _between_hosts(sender: SenderInfo, stream: StreamSummary, hosts: list[HostInfo], stamps: str) -> DelayBound:
    """Return the bound of a run over several hosts, whose clocks were compared with the controller's."""
    by_name = {info.name: info for info in hosts}
    name = stream.receiver.partition("/")[0]
    if sender.host == name:
        return DelayBound(0, f"{stamps}, both on {name}")
    bounds = [by_name[end].clock_error_bound_ns if end in by_name else None for end in (sender.host, name)]
    known = [
        f"{end} is {'not known' if bound is None else f'wrong by {format_duration(bound)} at most'}"
        for end, bound in zip((sender.host or "the sender", name or "the receiver"), bounds, strict=True)
    ]
    if bounds[0] is None or bounds[1] is None:
        return DelayBound(None, ", ".join(known))
    return DelayBound(bounds[0] + bounds[1], stamps if bounds == [0, 0] else ", ".join(known))


def _sender_of(stream: StreamSummary, manifest: Manifest) -> SenderInfo | None:
    """Return the run's own entry of the stream; None when the run did not send it."""
    identity = (stream.stream_id, stream.epoch)
    return next((info for info in manifest.senders if (info.stream_id, info.epoch) == identity), None)


def _rx_source(stream: StreamSummary, manifest: Manifest) -> str:
    for info in manifest.receivers:
        if info.name == stream.receiver and info.rx_source is not None:
            return info.rx_source
    return manifest.clocks.rx_source


def _origin_ns(clocks: Clocks) -> int:
    """Return where a run's time line has the monotonic clock's zero."""
    return clocks.realtime_ns - clocks.monotonic_ns


def _described(clocks: Clocks) -> str:
    bound = "unknown" if clocks.error_bound_ns is None else format_duration(clocks.error_bound_ns)
    return f"{clocks.sync}, error bound {bound}"
