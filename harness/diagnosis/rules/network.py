"""Causes between sender and receiver: hops, fragments, bad links, full queues."""

from __future__ import annotations

import itertools

from harness.diagnosis.case import Case
from harness.diagnosis.finding import Finding, Rule, counted
from harness.diagnosis.rules.pieces import FULL_QUEUE, LOSS, WINDOW, is_multicast, witness, words
from harness.diagnosis.symptoms import Symptom
from harness.model import SenderInfo

_FAR_TTL = 8
"""More hops than any site's multicast crosses: above it, TTL is not the reason."""
_HEADERS = {4: 28, 6: 48}
_DEFAULT_MTU = 1500
_HEAVIER = 3
_TENTHS = 10


def ttl_expired(case: Case, symptom: Symptom) -> Finding | None:
    """The hop limit is used up at a router."""
    info, source = case.sender(symptom), case.source_address(symptom)
    if info is None or info.ttl > _FAR_TTL or not (symptom.is_from_start and symptom.is_to_end):
        return None
    if not is_multicast(case, symptom):
        return None
    host = case.receiver_host(symptom)
    on_link = host.interface_towards(source) if source is not None and host.addresses() else None
    is_known = source is not None and bool(host.addresses())
    if is_known and on_link is not None:
        return None
    higher = [
        each
        for other in case.manifest.senders
        if other.ttl > info.ttl and other.host == info.host
        for each in case.summary.streams
        if each.epoch == other.epoch and each.receiver == symptom.receiver and each.received
    ]
    elsewhere = [stream for stream, came in case.same_stream_elsewhere(symptom) if came]
    if not is_known and not higher and not elsewhere:
        return None
    weighing = words(case, symptom)
    weighing.say(ttl=str(info.ttl))
    weighing.add(3, info.ttl <= 1 or bool(higher), yes=f"it was sent with TTL {info.ttl}", factor=0.6)
    yes = f"the sender {source} is on no subnet of the receiver: a router lies between"
    weighing.add(3, True if is_known else None, yes=yes, unknown="whether a router lies between")
    weighing.add(
        2,
        True if higher else None,
        yes=f"{higher[0].label} with a higher TTL did arrive" if higher else "",
        unknown="a stream with a higher TTL",
    )
    yes = f"the same packets arrived at {elsewhere[0].receiver}" if elsewhere else ""
    weighing.add(2, True if elsewhere else None, yes=yes, unknown="a receiver on the sender's own link")
    witness(weighing, case, symptom, "tap", wants=False, weight=1, factor=0.1)
    return weighing.result()


def fragment_loss(case: Case, symptom: Symptom) -> Finding | None:
    """Datagrams larger than the MTU are lost, because a fragment of each is."""
    info, group = case.sender(symptom), case.group(symptom)
    if info is None or group is None:
        return None
    mtus = [
        case.receiver_host(symptom).interface(case.interface(symptom)).get("mtu"),
        case.sender_host(symptom).interface(info.interface).get("mtu"),
    ]
    mtu = min([value for value in mtus if isinstance(value, int)], default=_DEFAULT_MTU)
    size = info.size + _HEADERS[group.version]
    if size <= mtu:
        return None
    weighing = words(case, symptom)
    weighing.say(size=f"{info.size:,}", mtu=f"{mtu:,}")
    weighing.add(3, True, yes=f"datagrams of {info.size:,} bytes are {size:,} on the wire, the MTU is {mtu:,}")
    host = case.receiver_host(symptom)
    fails, asked, whole = (host.rise(name) for name in ("ReasmFails", "ReasmReqds", "ReasmOKs"))
    if fails:
        weighing.add(3, True, yes=f"ReasmFails rose by {fails:,}")
    elif asked and not whole:
        weighing.add(3, True, yes=f"{counted(asked, 'fragment')} came, and no datagram was put together")
    else:
        no = "every fragmented datagram was put together" if asked else "no fragment came"
        weighing.add(3, None if fails is None else False, no=no, unknown="the counter ReasmFails", factor=0.6)
    sizes = {each.epoch: each.size for each in case.manifest.senders}
    small = [
        each
        for each in case.summary.streams
        if each.receiver == symptom.receiver and sizes.get(each.epoch or -1, mtu) + _HEADERS[group.version] <= mtu
    ]
    ratio = symptom.stream.loss_ratio if symptom.stream is not None else None
    fine = [each for each in small if each.received and (each.loss_ratio or 0) <= (ratio or 0) / 4]
    weighing.add(
        3,
        bool(fine) if small else None,
        yes=f"{fine[0].label} with smaller datagrams lost {fine[0].lost or 0:,} of {fine[0].expected or 0:,}"
        if fine
        else "",
        no="smaller datagrams were lost as well",
        unknown="a stream of smaller datagrams",
        factor=0.3,
    )
    n_own = case.own_drops(symptom)
    weighing.add(1, not n_own, no=f"the socket's own buffer dropped {n_own:,}", factor=0.4)
    return weighing.result()


def random_loss(case: Case, symptom: Symptom) -> Finding | None:
    """Single packets are lost, here and there."""
    stream = symptom.stream
    if stream is None:
        return None
    weighing = words(case, symptom)
    n_windows = len(case.windows(symptom.receiver, symptom.group))
    text = f"{counted(symptom.n_packets, 'packet')} lost outside drop-outs"
    weighing.add(
        2,
        n_windows == 0,
        yes=f"{text}, and there is no drop-out",
        no=f"there {'are' if n_windows > 1 else 'is'} {counted(n_windows, 'drop-out')} as well",
        factor=0.9,
    )
    mean = symptom.n_packets / max(1, (stream.loss_periods or 0) - n_windows)
    weighing.add(
        2,
        mean < 3,
        yes=f"a loss is {mean:.1f} packets long on average",
        no=f"a loss is {mean:.1f} packets long on average",
        factor=0.7,
    )
    tenths = _lost_tenths(stream.series.lost)
    weighing.add(
        2,
        None if tenths is None else tenths >= min(5, (symptom.n_packets + 1) // 2),
        yes=f"{tenths} of ten equal parts of the run have losses",
        no=f"only {tenths} of ten equal parts of the run have losses",
        factor=0.6,
    )
    n_own = case.own_drops(symptom)
    weighing.add(
        2,
        n_own < symptom.n_packets / 2,
        yes="the socket's own buffer is not to blame",
        no=f"the socket's own buffer dropped {n_own:,}",
        factor=0.1,
    )
    weighing.add(1, symptom.n_packets >= 3, no="that is too few to see a pattern", factor=0.7)
    host = case.receiver_host(symptom)
    errors = host.rise("rx_errors", "errin", "rx_crc_errors")
    weighing.add(
        0.5,
        True if errors else None,
        yes=f"the interfaces' receive errors rose by {errors:,}" if errors else "",
        unknown="a counter of damaged frames that rose",
    )
    return weighing.result(0.8)


def _lost_tenths(lost: list[int]) -> int | None:
    """Return in how many tenths of the time something was lost; None when not told."""
    if len(lost) < _TENTHS:
        return None
    edges = [place * len(lost) // _TENTHS for place in range(_TENTHS + 1)]
    return sum(any(lost[first:last]) for first, last in itertools.pairwise(edges))


def shared_bottleneck(case: Case, symptom: Symptom) -> Finding | None:
    """A queue that others fill drops this stream's packets, too."""
    drops = [(host.name, name, n) for host in case.hosts.values() for name, n in (host.qdisc_drops() or {}).items()]
    is_told = any(host.qdisc_drops() is not None for host in case.hosts.values())
    if symptom.kind == "send-refused" and not (
        drops and symptom.sender is not None and _shares_its_queue(case, symptom)
    ):
        return None
    heavy = _heavier(case, symptom)
    n_dropped = sum(n for _, _, n in drops)
    if not heavy and not drops:
        return None
    weighing = words(case, symptom)
    where = f"{drops[0][1]} of {drops[0][0] or 'this host'}" if drops else ""
    weighing.add(
        4,
        None if not is_told else n_dropped >= symptom.n_packets // 2 and n_dropped > 0,
        yes=f"queues dropped {counted(n_dropped, 'packet')}, first of all {where}",
        no=f"queues dropped {counted(n_dropped, 'packet')} only",
        unknown="the drops of the queues on the way",
        factor=0.4,
    )
    if heavy:
        info, share = heavy
        text = f"{100 * share:.0f} % of its losses fall into the time of {info.group}, "
        text += f"which sends {_rate(info):,.0f} kbit/s"
        weighing.add(3, share >= 0.9, yes=text, no=text, factor=0.4)
    else:
        weighing.add(3, None, unknown="a heavier stream at the same time")
    if symptom.kind == "send-refused":
        text = f"{symptom.n_packets:,} sends met {symptom.text}, those of other streams as well: they share a queue"
        return weighing.add(3, True, yes=text).result()
    account = next(
        (each for each in case.summary.senders if symptom.stream and each.epoch == symptom.stream.epoch), None
    )
    weighing.add(
        2,
        None if account is None else not account.refused and account.not_sent <= account.scheduled // 50,
        yes="the sender sent all of it and was told no error",
        no="the sender itself did not send all of it",
        unknown="the sender's account",
        factor=0.5,
    )
    n_own = case.own_drops(symptom)
    weighing.add(1, n_own < max(1, symptom.n_packets // 2), no=f"the socket's own buffer dropped {n_own:,}", factor=0.2)
    return weighing.result()


def _shares_its_queue(case: Case, symptom: Symptom) -> bool:
    """Whether a sender met a full queue, and another stream of its host did so as well."""
    mine = case.sender(symptom)
    hosts = {(each.stream_id, each.epoch): each.host for each in case.manifest.senders}
    met = [each for each in case.summary.senders if set(each.errnos) & FULL_QUEUE]
    here = [each for each in met if mine is not None and hosts.get((each.stream_id, each.epoch)) == mine.host]
    return symptom.sender in here and len(here) > 1


def _rate(info: SenderInfo) -> float:
    return 8e6 * info.size / info.interval_ns if info.interval_ns else float("inf")


def _heavier(case: Case, symptom: Symptom) -> tuple[SenderInfo, float] | None:
    """Return the much heavier stream in whose time most of a symptom's losses fall, and their share; None for none.

    It must have begun later or ended earlier than the symptom's own stream: otherwise the times say nothing.
    """
    mine = case.sender(symptom)
    if mine is None or symptom.stream is None:
        return None
    counts = {(each.stream_id, each.epoch): each.scheduled for each in case.summary.senders}
    series = symptom.stream.series
    best: tuple[SenderInfo, float] | None = None
    for info in case.manifest.senders:
        if info.epoch == mine.epoch or _rate(info) < _HEAVIER * _rate(mine):
            continue
        start_ns, end_ns = _span(info, counts)
        own_start_ns, own_end_ns = _span(mine, counts)
        if start_ns <= own_start_ns + 200_000_000 and end_ns >= own_end_ns - 200_000_000:
            continue
        if symptom.kind == "window":
            inside = max(0, min(end_ns + 300_000_000, symptom.end_ns) - max(start_ns, symptom.start_ns))
            share = inside / max(1, symptom.duration_ns)
        else:
            times = [(series.start_ns + place * series.bin_ns, n) for place, n in enumerate(series.lost) if n]
            within = sum(n for t_ns, n in times if start_ns - series.bin_ns <= t_ns <= end_ns + 300_000_000)
            share = within / max(1, sum(n for _, n in times))
        if share >= 0.5 and (best is None or share > best[1]):
            best = (info, share)
    return best


def _span(info: SenderInfo, counts: dict[tuple[int, int], int]) -> tuple[int, int]:
    n = counts.get((info.stream_id, info.epoch), 0)
    return info.first_due_ns, info.first_due_ns + n * info.interval_ns


RULES = (
    Rule(
        "ttl-expired",
        "{group} is sent with TTL {ttl} and a router lies between sender and {receiver}",
        WINDOW,
        ttl_expired,
        "nothing beyond the router, everything on the sender's own link; the sender's address is on no subnet of the "
        "receiver",
        "the run with --ttl 16",
        "send with a TTL above the number of routers on the way",
        "RFC 1112 6.1; measured: TTL 1 leaves no counter anywhere",
    ),
    Rule(
        "fragment-loss",
        "Datagrams of {size} bytes to {group} exceed the MTU of {mtu} and lose fragments on the way",
        LOSS,
        fragment_loss,
        "only sizes above the MTU are lost; ReasmFails rises, smaller datagrams all arrive",
        "the run with --size below the MTU",
        "send datagrams that fit the MTU; let fragments through filters and switches",
        "RFC 8900; RFC 791 3.2; measured with non-first fragments dropped",
    ),
    Rule(
        "random-loss",
        "Single packets of {group} are lost on the way to {receiver}, {n} in all: a bad link, radio, "
        "or a queue that is full "
        "for moments",
        frozenset({"scattered"}),
        random_loss,
        "no drop-out, isolated losses over the whole run, the socket's own buffer not to blame",
        "error counters of the ports on the way; the same run by another cable or path",
        "check cables, optics, duplex and radio; look at the ports' error and discard counters",
        "RFC 3357; RFC 3611 4.7.2",
    ),
    Rule(
        "shared-bottleneck",
        "A full queue on the way drops {group} while heavier traffic shares it ({when})",
        LOSS | {"send-refused"},
        shared_bottleneck,
        "a queue's drops rise, the sender has no errno, losses fall into the time of a heavier stream",
        "the queue's counters (tc -s qdisc) and the run without the heavier stream",
        "raise the rate of the bottleneck, shape the heavier stream, or give this one a class of its own (--dscp)",
        "tc(8); RFC 7567",
    ),
)
