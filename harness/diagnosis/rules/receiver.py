"""Causes at the receiving socket and in its delivery: buffers, a deaf socket, power saving, lifetimes."""

from __future__ import annotations

import statistics

from harness.diagnosis.allotment import MOST
from harness.diagnosis.case import Case
from harness.diagnosis.finding import Finding, Rule, counted
from harness.diagnosis.rules.pieces import LOSS, WINDOW, is_multicast, witness, words
from harness.diagnosis.symptoms import Symptom
from harness.units import format_duration

BEACON_NS = 102_400_000
"""100 time units of 1.024 ms: the usual beacon interval of IEEE 802.11."""
_SAME = 0.05


def receiver_overflow(case: Case, symptom: Symptom) -> Finding | None:
    """The socket's buffer was full."""
    stream, n_own = symptom.stream, case.own_drops(symptom)
    if stream is None or not n_own:
        return None
    lost, n_dropped = stream.lost or 0, stream.attribution.own_buffer
    weighing = words(case, symptom)
    text = f"the socket's own buffer dropped {n_dropped:,} of the {lost:,} packets lost"
    weighing.add(4, n_own >= MOST * symptom.n_packets, yes=text, no=text, factor=0.5)
    rise = case.receiver_host(symptom).rise("RcvbufErrors", "dropped due to full socket buffers")
    rise = rise if rise is not None else case.system_rise("receive_buffer_errors")
    weighing.add(
        2,
        None if rise is None else rise > 0,
        yes=f"RcvbufErrors rose by {rise:,}" if rise else "",
        no="RcvbufErrors did not rise",
        unknown="the counter RcvbufErrors",
        factor=0.7,
    )
    if symptom.kind == "window":
        witness(weighing, case, symptom, "tap", wants=True, weight=1, factor=0.2)
    weighing.add(0, n_dropped >= lost, no=f"{counted(lost - n_dropped, 'packet')} went missing elsewhere")
    info = case.receiver(symptom)
    weighing.say(buffer=f"{info.buffer_granted:,} bytes" if info is not None and info.buffer_granted else "its size")
    return weighing.result()


def socket_blocked(case: Case, symptom: Symptom) -> Finding | None:
    """One socket is deaf, and others of the same program are not."""
    if symptom.is_from_start and symptom.is_to_end and case.heard("second-socket", symptom) is None:
        return None
    tap, second = case.heard("tap", symptom), case.heard("second-socket", symptom)
    reopened, cure = case.heard("reopened-socket", symptom), case.is_cured_by(symptom)
    if tap is False or second is False or not (second or reopened or cure is not None):
        return None
    if second is None and reopened is None and tap is None:
        return None  # a rejoin alone cures many causes
    weighing = words(case, symptom)
    witness(weighing, case, symptom, "second-socket", wants=True, weight=4, factor=0.1)
    if cure is not None:
        weighing.add(3, True, yes=f"it ended with the {cure.kind} at {case.clock(cure.t_ns)}")
    else:
        witness(weighing, case, symptom, "reopened-socket", wants=True, weight=3, factor=0.3)
    witness(weighing, case, symptom, "tap", wants=True, weight=3, factor=0.1)
    n_own = case.own_drops(symptom)
    weighing.add(
        1, n_own < symptom.n_packets // 2 or not n_own, no=f"its buffer dropped {counted(n_own, 'packet')}", factor=0.1
    )
    host, name = case.receiver_host(symptom), case.interface(symptom)
    indexes = [host.interface(name, is_after=is_after).get("index") for is_after in (False, True)]
    if None not in indexes:
        weighing.add(0.5, indexes[0] == indexes[1], no=f"{name} was made anew", factor=0.3)
    return weighing.result()


def power_save(case: Case, symptom: Symptom) -> Finding | None:
    """Packets are held back and delivered in bursts, as an access point does for a sleeping station."""
    period_ns = symptom.period_ns or 0
    if not period_ns or symptom.stream is None:
        return None
    weighing = words(case, symptom)
    weighing.say(period=format_duration(period_ns))
    weighing.add(3, True, yes=f"{symptom.text} bursts came {format_duration(period_ns)} apart, with nothing between")
    lost = symptom.stream.lost or 0
    weighing.add(2, lost == 0, yes="nothing was lost", no=f"{counted(lost, 'packet')} went missing", factor=0.8)
    lateness = next(
        (each.lateness for each in case.summary.senders if each.epoch == symptom.stream.epoch and each.lateness.n), None
    )
    # a busy machine makes a sender late now and then; one that is the cause is late for a good part of its packets
    late_ns = lateness.percentiles_ns.get("90") if lateness is not None else None
    weighing.add(
        2,
        None if late_ns is None else late_ns < period_ns / 4,
        yes=f"the sender sent in time (90 % within {format_duration(late_ns or 0)})",
        no=f"the sender itself was late by up to {format_duration(late_ns or 0)}",
        unknown="whether the sender sent in time",
        factor=0.1,
    )
    beacons = period_ns / BEACON_NS
    weighing.add(
        1,
        abs(beacons - round(beacons)) < 0.1 and round(beacons) > 0,
        yes=f"that is {counted(round(beacons), 'beacon interval')} of 102.4 ms",
    )
    return weighing.result()


def fixed_lifetime(case: Case, symptom: Symptom) -> Finding | None:
    """Every socket or membership hears for the same time, and then no more."""
    if symptom.is_from_start or not is_multicast(case, symptom):
        return None
    lives = _lives(case, symptom)
    if len(lives) < 2 or max(lives) - min(lives) > _SAME * max(lives) + 100_000_000:
        return None
    middle_ns = round(statistics.median(lives))
    weighing = words(case, symptom)
    weighing.say(lifetime=format_duration(middle_ns))
    text = f"{len(lives)} times it stopped {format_duration(min(lives))} to {format_duration(max(lives))} after a join"
    weighing.add(4, True, yes=text).add(1, len(lives) >= 3 or None, unknown="a third time")
    view = case.igmp(symptom)
    silent = view.is_silent_at(symptom.start_ns) if view.is_watched else None
    weighing.add(
        2,
        None if silent is None else not silent,
        yes="queries went on, so that no membership ran out",
        no="nobody asked for members",
        unknown="whether queries went on",
        factor=0.3,
    )
    is_other = abs(middle_ns - view.lifetime_ns) > view.lifetime_ns // 10
    no = f"that is the lifetime of a report, {format_duration(view.lifetime_ns)}"
    weighing.add(
        1, is_other, yes=f"a report counts for {format_duration(view.lifetime_ns)}, which it is not", no=no, factor=0.3
    )
    elsewhere = [came for _, came in case.same_stream_elsewhere(symptom)]
    weighing.add(
        2,
        any(elsewhere) if elsewhere else None,
        yes="another host heard the same packets meanwhile",
        no="other hosts stopped as well",
        unknown="whether another host hears longer",
        factor=0.7,
    )
    return weighing.result()


def _lives(case: Case, symptom: Symptom) -> list[int]:
    """Return how long after a join or reopening each drop-out of a receiver began."""
    info = case.receiver(symptom)
    starts = [
        event.t_ns
        for event in case.summary.events
        if event.kind in ("join", "reopen") and event.receiver in ("", symptom.receiver)
    ]
    starts += [info.joined_ns] if info is not None and info.joined_ns is not None else []
    found: dict[int, int] = {}
    for window in case.windows(symptom.receiver, symptom.group):
        earlier = [t_ns for t_ns in starts if t_ns < window.start_ns]
        if earlier and not window.is_from_start:
            found.setdefault(max(earlier), window.start_ns - max(earlier))
    return list(found.values())


RULES = (
    Rule(
        "receiver-overflow",
        "The receive buffer of {receiver} ({buffer}) overflowed and dropped packets of {group} ({when})",
        LOSS,
        receiver_overflow,
        "the socket's drop counter and RcvbufErrors count what is missing; the tap has it",
        "the run again with a larger --buffer",
        "raise the buffer (--buffer 8MB; the system's limit is net.core.rmem_max on Linux, kern.ipc.maxsockbuf on "
        "macOS) and read the socket without stalls",
        "socket(7) SO_RCVBUF, SO_RXQ_OVFL; measured: RcvbufErrors = SO_RXQ_OVFL = missing packets",
    ),
    Rule(
        "socket-blocked-reopen-heals",
        "The socket of {receiver} went deaf for {group} while others of the same program heard it; "
        "reopening heals ({when})",
        WINDOW,
        socket_blocked,
        "the tap and a second socket hear, this one does not, a reopened one does; no counter rises",
        "a second socket and a reopened one beside the deaf one, and which process hears",
        "reopen the socket when it is silent for longer than the stream's interval allows; report "
        "the case with this run",
        "TN3179 (a denial may hold for one socket); measured with a socket filter that drops all",
    ),
    Rule(
        "power-save-like",
        "Packets of {group} reach {receiver} in bursts every {period}, without loss, as behind an "
        "access point that saves power",
        frozenset({"bursty"}),
        power_save,
        "periodic bursts, no loss, the sender in time",
        "the same receiver by cable, or with power saving off",
        "switch Wi-Fi power saving off (iw dev IF set power_save off), lower the access point's DTIM "
        "interval, use a cable",
        "IEEE 802.11 11.2.3.4 (DTIM: buffered multicast is sent after it)",
    ),
    Rule(
        "fixed-lifetime",
        "{group} is heard at {receiver} for {lifetime} after each join and then no more ({when})",
        WINDOW,
        fixed_lifetime,
        "a constant time from each join to the silence, while queries go on; other hosts hear on",
        "a campaign of rejoins on this host and on another one",
        "look for a table with an ageing time on the way: access point, IGMP proxy, security software; rejoin in time",
        "measured with a filter set that times out",
    ),
)
