"""A case: all that is known of a run, with the questions that the rules ask of it.

Of the manifest's scenario only what was asked to be sent and received is kept: what a lab did to itself is no evidence.
What a sender did to its own stream is, as its log is; it comes with the evidence.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from harness.diagnosis.allotment import allot
from harness.diagnosis.egress import Egress, egress_of
from harness.diagnosis.elsewhere import queries_heard, tapped_beside
from harness.diagnosis.igmp import View, view_of
from harness.diagnosis.snapshots import Snapshots
from harness.diagnosis.symptoms import Symptom, address_of, find_symptoms
from harness.diagnosis.witnesses import Ears, Hearing
from harness.errors import UsageError
from harness.model import Event, IPAddress, Manifest, ReceiverInfo, SenderInfo, StreamSummary, Summary, parse_address
from harness.model.witness import Evidence, SenderImpairment, WitnessKind, WitnessSeries
from harness.units import format_duration

NEAR_NS = 1_500_000_000
"""A change this close to a window's edge may be its cause: links take a second to say that they are down."""

WITNESSES: dict[WitnessKind, str] = {
    "tap": "the capture tap",
    "second-socket": "the second socket",
    "reopened-socket": "the reopened socket",
    "unicast-twin": "the unicast twin",
}
_KEPT = ("stream", "receiver", "host")


class Case:
    """The inputs of a diagnosis."""

    def __init__(self, summary: Summary, manifest: Manifest, evidence: Evidence) -> None:
        self.summary, self.manifest, self.evidence = summary, manifest, evidence
        self._views: dict[tuple[str, str], View] = {}
        self._egress: dict[int, Egress | None] = {}
        self._cache: dict[tuple[str, str, str, str | None], Ears] = {}
        self.hosts = {host.name: Snapshots.of(host) for host in evidence.hosts}
        self.scenario: dict[str, list[dict[str, Any]]] = {
            name: [
                {key: value for key, value in entry.items() if key != "impair"}
                for entry in manifest.resolved.get(name) or []
                if isinstance(entry, dict)
            ]
            for name in _KEPT
        }
        self.symptoms: list[Symptom] = find_symptoms(summary, manifest, evidence.impairments)
        self.symptoms += [*self._astray(), *self._older_versions()]

    def _astray(self) -> list[Symptom]:
        """Return a symptom for each stream that left by another interface than expected."""
        found = []
        for info in self.manifest.senders:
            egress = self.egress_of_info(info)
            if egress is not None and egress.astray:
                streams = [each for each in self.summary.streams if each.epoch == info.epoch]
                found.append(
                    Symptom(
                        kind="egress",
                        stream=streams[0] if streams else None,
                        group=info.group,
                        start_ns=egress.astray[0][1],
                        end_ns=egress.astray[-1][2],
                        n_packets=egress.n_astray,
                        sender=next((each for each in self.summary.senders if each.epoch == info.epoch), None),
                    )
                )
        return found

    def _older_versions(self) -> list[Symptom]:
        """Return a symptom for each receiver whose interface fell back to an older IGMP version during the run."""
        found = []
        for info in self.manifest.receivers:
            symptom = Symptom(kind="igmp-version", receiver=info.name, group=info.groups[0] if info.groups else "")
            host, name = self.receiver_host(symptom), self.interface(symptom)
            group = self.group(symptom)
            was, now = (host.membership_version(name, is_after=is_after) for is_after in (False, True))
            if group is not None and group.version == 4 and was is not None and now is not None and now < was:
                found.append(symptom)
        return found

    # Who is who

    def receiver(self, symptom: Symptom) -> ReceiverInfo | None:
        """Return the receiver of a symptom."""
        return next((info for info in self.manifest.receivers if info.name == symptom.receiver), None)

    def interface(self, symptom: Symptom) -> str | None:
        """Return the name of the interface where a symptom's packets arrive, or should."""
        info = self.receiver(symptom)
        if info is not None and info.interface:
            return info.interface
        return symptom.stream.interface if symptom.stream is not None else None

    def receiver_host(self, symptom: Symptom) -> Snapshots:
        """Return the snapshots of the receiver's host; empty ones where there are none."""
        return self._host(symptom.receiver.partition("/")[0])

    def sender_host(self, symptom: Symptom) -> Snapshots:
        """Return the snapshots of the sender's host; empty ones where there are none."""
        info = self.sender(symptom)
        return self._host(info.host) if info is not None else Snapshots("")

    def _host(self, name: str) -> Snapshots:
        if name in self.hosts:
            return self.hosts[name]
        return next(iter(self.hosts.values())) if len(self.hosts) == 1 else Snapshots(name)

    def sender(self, symptom: Symptom) -> SenderInfo | None:
        """Return what the sender of a symptom's stream was asked for; None when it is not of this run."""
        source = symptom.sender or symptom.stream
        if source is None:
            return None
        senders = self.manifest.senders
        known = [each for each in senders if (each.stream_id, each.epoch) == (source.stream_id, source.epoch)]
        return known[0] if known else next((each for each in senders if each.group == symptom.group), None)

    def group(self, symptom: Symptom) -> IPAddress | None:
        """Return the address that a symptom's packets are sent to; None when there is none to read."""
        return self.address(address_of(symptom.group))

    @staticmethod
    def address(text: str) -> IPAddress | None:
        """Return an address without its zone, None for what is none."""
        try:
            return parse_address(text.partition("%")[0])
        except UsageError:
            return None

    def source_address(self, symptom: Symptom) -> IPAddress | None:
        """Return the address that a symptom's packets come from."""
        texts = [symptom.stream.source if symptom.stream is not None else ""]
        info = self.sender(symptom)
        texts += [info.source] if info is not None else []
        found = (self.address(address_of(text)) for text in texts if text)
        return next((each for each in found if each is not None and not each.is_unspecified), None)

    # Who heard

    def series(self, kind: WitnessKind, symptom: Symptom) -> list[WitnessSeries]:
        """Return the witnesses of a kind beside a symptom's receiver, of its group and its source."""
        found = [
            each
            for host in self.evidence.hosts
            for each in host.witnesses
            if each.kind == kind and each.receiver == symptom.receiver and each.direction == "in"
            if each.group == symptom.group
        ]
        source = self.source_address(symptom)
        mine = [each for each in found if each.source and self.address(address_of(each.source)) == source]
        silent = [each for each in found if not each.source]
        if source is None or mine:
            return mine or found
        return silent or [msgspec.structs.replace(each, counts=[0] * len(each.counts)) for each in found]

    def hearing(self, kind: WitnessKind, symptom: Symptom) -> Hearing:
        """Return whether a witness of a kind heard during a symptom, and how much."""
        n_due = symptom.n_packets if symptom.n_packets > 1 else None
        return self._ears(kind, symptom).hearing(symptom.start_ns, symptom.end_ns, n_due)

    def _ears(self, kind: WitnessKind, symptom: Symptom) -> Ears:
        wanted = self.interface(symptom)
        key = (kind, symptom.receiver, symptom.group, wanted)
        if key not in self._cache:
            quiet = [
                (each.start_ns, each.end_ns)
                for each in self.symptoms
                if each.kind == "window" and each.receiver == symptom.receiver and each.group == symptom.group
            ]
            series = self.series(kind, symptom)
            if kind == "tap":
                series = [each for each in series if not each.interface or wanted in (None, each.interface)]
            self._cache[key] = Ears(series, quiet)
        return self._cache[key]

    def heard(self, kind: WitnessKind, symptom: Symptom) -> bool | None:
        """Return whether a witness of a kind heard during a symptom; None when it cannot be told."""
        return self.hearing(kind, symptom).is_heard

    def left(self, symptom: Symptom) -> Hearing:
        """Return whether the sender's tap saw a symptom's packets leave."""
        info = self.sender(symptom)
        if info is None:
            return Hearing(None, why="the sender is not of this run")
        taps = [
            each
            for each in self._host(info.host).witnesses
            if each.kind == "tap" and each.direction == "out" and each.group == symptom.group
        ]
        n_due = symptom.n_packets if symptom.n_packets > 1 else None
        return Ears(taps, []).hearing(symptom.start_ns, symptom.end_ns, n_due)

    def egress(self, symptom: Symptom) -> Egress | None:
        """Return by which interfaces a symptom's packets left; None without the sender's taps and routes."""
        info = self.sender(symptom)
        return self.egress_of_info(info) if info is not None else None

    def egress_of_info(self, info: SenderInfo) -> Egress | None:
        """Return by which interfaces a sender's packets left."""
        if info.stream not in self._egress:
            group = self.address(address_of(info.group))
            self._egress[info.stream] = egress_of(info, group, self._host(info.host)) if group is not None else None
        return self._egress[info.stream]

    def impairment(self, symptom: Symptom) -> SenderImpairment | None:
        """Return what the sender of a symptom's stream did to it on purpose; None for a sender that did nothing."""
        stream = symptom.stream
        mine = (
            each
            for each in self.evidence.impairments
            if stream is not None and (each.stream_id, each.epoch) == (stream.stream_id, stream.epoch)
        )
        return next(mine, None)

    def own_drops(self, symptom: Symptom) -> int:
        """Return how many of a symptom's packets the receiver's own socket buffer dropped, as far as can be told."""
        n_own = symptom.stream.attribution.own_buffer if symptom.stream is not None else 0
        if not n_own or symptom.kind not in ("window", "scattered"):
            return 0
        mine = [each for each in self.symptoms if each.stream is symptom.stream]
        windows = [each for each in mine if each.kind == "window"]
        n_scattered = sum(each.n_packets for each in mine if each.kind == "scattered")
        reached = [(each.n_packets, self.heard("tap", each) is not False) for each in windows]
        of_windows, of_scattered = allot(n_own, reached, n_scattered)
        if symptom.kind == "scattered":
            return of_scattered
        return next((n for each, n in zip(windows, of_windows, strict=True) if each is symptom), 0)

    def system_rise(self, name: str) -> int | None:
        """Return the rise of the run's own watch on a system counter, over all hosts; None when nobody watched."""
        rises = [rise for key, rise in self.manifest.system_counters.items() if key.endswith(f".{name}")]
        return sum(rises) if rises else None

    def same_stream_elsewhere(self, symptom: Symptom) -> list[tuple[StreamSummary, bool]]:
        """Return the same stream at other receivers, each with whether it came there during the symptom."""
        mine = symptom.stream
        if mine is None:
            return []
        return [
            (
                each,
                not any(
                    window.start_ns < symptom.end_ns and window.end_ns > symptom.start_ns for window in each.windows
                ),
            )
            for each in self.summary.streams
            if each.receiver != mine.receiver and each.group == mine.group
            if each.epoch == mine.epoch and each.stream_id == mine.stream_id and (each.received or each.windows)
        ]

    def is_same_machine(self, one: str, other: str) -> bool:
        """Whether two receivers are on one machine, by their hosts' names, declarations and hardware addresses."""
        names = [label.partition("/")[0] for label in (one, other)]
        shares = {str(each.get("name")): each.get("shares") for each in self.scenario["host"]}
        homes = [shares.get(name) or name for name in names]
        if homes[0] == homes[1]:
            return True
        hardware = [self.hosts[name].hardware if name in self.hosts else set() for name in names]
        return bool(hardware[0]) and hardware[0] == hardware[1]

    # What changed, and when

    def changes_near(self, kind: str, t_ns: int, *, host: str = "", near_ns: int = NEAR_NS) -> list[Event]:
        """Return observed changes of a kind close to a moment, those of other hosts left out where that is told."""
        return [
            event
            for event in self.summary.events
            if event.kind == kind and abs(event.t_ns - t_ns) <= near_ns and self._concerns(event, host)
        ]

    def changes(self, kind: str, host: str = "") -> list[Event]:
        """Return all observed changes of a kind."""
        return [event for event in self.summary.events if event.kind == kind and self._concerns(event, host)]

    def _concerns(self, event: Event, host: str) -> bool:
        """Whether an event is of a host: runs over several hosts write "name: text"."""
        name, colon, _ = event.text.partition(": ")
        known = {each.name for each in self.manifest.hosts} | set(self.hosts)
        return not host or not colon or name not in known or name == host

    def is_other_interface(self, event: Event, symptom: Symptom) -> bool:
        """Whether an event names an interface that is neither the receiver's nor the sender's."""
        info = self.sender(symptom)
        mine = {self.interface(symptom), info.interface if info is not None else None} - {None}
        known = {name for host in self.hosts.values() for name, _, _ in host.addresses()}
        named = {name for name in known if name in event.text.replace(":", " ").split()}
        return bool(mine) and bool(named) and not named & mine

    def cures(self, symptom: Symptom) -> list[Event]:
        """Return joins and reopenings of a symptom's receiver within it, its first and last moment left out."""
        return [
            event
            for event in self.summary.events
            if event.kind in ("reopen", "join")
            and event.receiver in ("", symptom.receiver)
            and symptom.start_ns + NEAR_NS // 3 < event.t_ns <= symptom.end_ns + NEAR_NS // 3
        ]

    def is_cured_by(self, symptom: Symptom) -> Event | None:
        """Return the join or reopening right before a symptom ended; None when it did not end by one."""
        if symptom.is_to_end:
            return None
        found = [event for event in self.cures(symptom) if symptom.end_ns - event.t_ns <= NEAR_NS]
        return found[-1] if found else None

    def windows(self, receiver: str, group: str = "") -> list[Symptom]:
        """Return the drop-outs of a receiver, by time."""
        mine = [each for each in self.symptoms if each.kind == "window" and each.receiver == receiver]
        return sorted((each for each in mine if not group or each.group == group), key=lambda each: each.start_ns)

    # Memberships on the wire

    def igmp(self, symptom: Symptom) -> View:
        """Return the queries and reports that concern a symptom's group at its receiver."""
        key = (symptom.receiver, symptom.group)
        if key not in self._views:
            host = self.receiver_host(symptom)
            own = {str(address) for _, address, _ in [*host.addresses(), *host.addresses(is_after=True)]}
            self._views[key] = view_of(
                self.summary.membership, host.name, self.interface(symptom), self.group(symptom), own
            )
        return self._views[key]

    def versions(self, symptom: Symptom) -> tuple[int | None, int | None]:
        """Return the version of IGMP or MLD that the receiver spoke before and after; None where not told.

        Of MLD no system tells: an interface that has just fallen back in IGMP has a querier that was set to older
        versions, most likely of both.
        """
        host, name, group = self.receiver_host(symptom), self.interface(symptom), self.group(symptom)
        member = self.igmp(symptom).member
        if group is not None and group.version == 6 and member is not None and member.version == 1:
            return 2, 1
        return host.membership_version(name, is_after=False), host.membership_version(name, is_after=True)

    def reported_on(self, symptom: Symptom) -> set[str]:
        """Return the interfaces of the receiver's host from which a report for the group was seen to leave."""
        group, host = self.group(symptom), self.receiver_host(symptom)
        own = {str(address) for _, address, _ in [*host.addresses(), *host.addresses(is_after=True)]}
        members = self.summary.membership.members if self.summary.membership is not None else []
        found = set()
        for each in members:
            place, _, bare = each.interface.replace("/", ":").rpartition(":")
            if each.group == str(group) and each.host in own and place in ("", host.name):
                found.add(bare)
        return found

    def asked_elsewhere(self, symptom: Symptom, start_ns: int, end_ns: int) -> int | None:
        """Return how many general queries another interface heard on the receiver's network; None if none listened."""
        group, interface = self.group(symptom), self.interface(symptom)
        if group is None or interface is None:
            return None
        mine = (self.receiver_host(symptom).name, interface)
        places = tapped_beside(mine, self.manifest, self.hosts)
        return queries_heard(self.summary.membership, places, group.version, start_ns, end_ns)

    # Words

    def clock(self, t_ns: int) -> str:
        """Return a moment as people write it, in UTC to the millisecond."""
        return datetime.fromtimestamp(t_ns // 1_000_000 / 1_000, UTC).strftime("%H:%M:%S.%f")[:-3]

    def when(self, symptom: Symptom) -> str:
        """Return from when to when and how long."""
        length = format_duration(symptom.duration_ns)
        return f"{self.clock(symptom.start_ns)} to {self.clock(symptom.end_ns)} UTC ({length})"

    def words(self, symptom: Symptom) -> dict[str, str]:
        """Return what every sentence may be filled with."""
        return {
            "group": symptom.group or "the group",
            "receiver": f"receiver {symptom.receiver}" if symptom.receiver else "the receiver",
            "interface": self.interface(symptom) or "the interface that the kernel chose",
            "when": self.when(symptom),
            "n": f"{symptom.n_packets:,}",
        }
