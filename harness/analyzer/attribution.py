"""Where the missing packets went: the sender's log, Tmax and the receiver's drop counter take their shares first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from harness.model import Attribution, StreamSummary


def shares(total: int, wants: Sequence[int]) -> list[int]:
    """Return whole shares of `total`, each at most what it wants, in proportion to the wants.

    >>> shares(10, [4, 3]), shares(5, [6, 3, 1]), shares(3, [])
    ([4, 3], [3, 2, 0], [])
    """
    wanted = sum(wants)
    if total >= wanted:
        return list(wants)
    found = [total * want // wanted for want in wants]
    rests = sorted(range(len(wants)), key=lambda index: (-(total * wants[index] % wanted), index))
    for index in rests[: total - sum(found)]:
        found[index] += 1
    return found


def attribute(lost: int | None, *, late: int, not_sent: int, own_buffer: int | None, misdelivered: int) -> Attribution:
    """Return where `lost` packets went; the parts add up to it, none is negative.

    Args:
      lost: packets lost; None for an unnumbered stream, of which nothing can be said.
      late: of those, came after Tmax.
      not_sent: of those, did not leave the sender by its own log.
      own_buffer: dropped by this host's socket buffer; None when nobody counted, and then the rest is unknown.
      misdelivered: copies that came where they were not asked for; beside the others.
    """
    if lost is None:
        return Attribution(misdelivered=misdelivered)
    late = min(late, lost)
    not_sent = min(not_sent, lost - late)
    rest = lost - late - not_sent
    if own_buffer is None:
        return Attribution(late=late, not_sent=not_sent, unknown=rest, misdelivered=misdelivered)
    own_buffer = min(own_buffer, rest)
    return Attribution(
        network=rest - own_buffer, own_buffer=own_buffer, late=late, not_sent=not_sent, misdelivered=misdelivered
    )


def share_drops(summaries: list[StreamSummary], drops: Mapping[str, int | None]) -> list[StreamSummary]:
    """Return the summaries with each receiver's socket drops attributed to its streams.

    The drops of a receiver's sockets are counted together; with several streams each takes its part of them in
    proportion to what it lost for no other known reason, and says so.
    """
    result = list(summaries)
    for receiver in {summary.receiver for summary in summaries}:
        total = drops.get(receiver)
        if total is None:
            continue
        places = [k for k, summary in enumerate(summaries) if summary.receiver == receiver]
        parts = shares(total, [summaries[k].attribution.unknown for k in places])
        for k, part in zip(places, parts, strict=True):
            known = summaries[k].attribution
            notes = summaries[k].notes
            if total and len(places) > 1 and known.unknown:
                notes = [*notes, f"{total} socket drops shared among {len(places)} streams in proportion to their loss"]
            attribution = msgspec.structs.replace(known, own_buffer=part, network=known.unknown - part, unknown=0)
            result[k] = msgspec.structs.replace(summaries[k], attribution=attribution, notes=notes)
    return result


def doubt(summary: StreamSummary, unreadable: int) -> StreamSummary:
    """Return a summary whose losses may be records that the recording lost: so many are unknown, not the network's."""
    known = summary.attribution
    part = min(known.network, unreadable)
    attribution = msgspec.structs.replace(known, network=known.network - part, unknown=known.unknown + part)
    return msgspec.structs.replace(summary, attribution=attribution)
