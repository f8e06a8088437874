"""A builder of synthetic runs: a sender, a receiver, a switch that asks, four witnesses; and what befalls them."""

from copy import deepcopy
from typing import Any, Literal

from harness.model import (
    Attribution,
    Clocks,
    Distribution,
    End,
    Event,
    HostInfo,
    Manifest,
    Member,
    MemberInterval,
    MembershipLink,
    MembershipTimeline,
    Parameters,
    Querier,
    QuerierChange,
    ReceiverInfo,
    Schedule,
    SenderInfo,
    SenderSummary,
    Series,
    StreamSummary,
    Summary,
    Window,
)
from harness.model.witness import Evidence, HostEvidence, SenderImpairment, WitnessKind, WitnessSeries

S = 1_000_000_000
T0 = 1_795_000_000 * S
GROUP = "239.1.1.1"
ENDPOINT = f"{GROUP}:5000"
TX, RX = "10.0.0.1", "10.0.0.2"
BIN = 50_000_000
LIFETIME_S = 6.24
WITNESSES: tuple[WitnessKind, ...] = ("tap", "second-socket", "reopened-socket", "unicast-twin")


def at(seconds: float) -> int:
    """The run's second as ns on its time line."""
    return T0 + round(seconds * S)


def empty() -> Distribution:
    return Distribution(n=0)


class Stream:
    """One stream at one receiver."""

    def __init__(
        self, run: "Run", group: str = ENDPOINT, receiver: str = "rx", epoch: int = 1, source: str = TX, **more: Any
    ):
        self.run, self.group, self.receiver, self.epoch, self.source = run, group, receiver, epoch, f"{source}:4000"
        self.gaps: list[tuple[float, float, str]] = []
        self.isolated = 0
        self.lost_at: list[float] = []
        self.own_buffer = self.not_sent = 0
        self.received: list[int] | None = None
        self.rate, self.start, self.end = (
            more.pop("rate", run.rate),
            more.pop("start", 0.0),
            more.pop("end", run.seconds),
        )
        self.first_rx, self.last_rx = self.start, self.end
        assert not more

    def gap(self, start: float, end: float, kind: str = "mid_run") -> "Stream":
        self.gaps.append((start, end, kind))
        return self

    def summary(self, number: int) -> StreamSummary:
        interval = S // self.rate
        expected = round((self.end - self.start) * self.rate)
        windows = [
            Window(
                kind=kind,  # type: ignore[arg-type] # a literal, as the tests write it
                first_seq=round((start - self.start) * self.rate),
                last_seq=round((end - self.start) * self.rate) - 1,
                start_ns=at(start),
                end_ns=at(end),
                packets=round((end - start) * self.rate),
            )
            for start, end, kind in sorted(self.gaps)
        ]
        lost = sum(each.packets or 0 for each in windows) + self.isolated
        n_bins = round((self.end - self.start) * S / BIN)
        due = [round(self.rate * BIN / S)] * n_bins
        lost_bins = [0] * n_bins
        for start, end, _ in self.gaps:
            for place in range(round((start - self.start) * S / BIN), min(n_bins, round((end - self.start) * S / BIN))):
                lost_bins[place] = due[place]
        for moment in self.lost_at:
            lost_bins[min(n_bins - 1, round((moment - self.start) * S / BIN))] += 1
        received = self.received or [max(0, n - gone) for n, gone in zip(due, lost_bins, strict=True)]
        is_heard = any(received)
        return StreamSummary(
            number=number,
            receiver=self.receiver,
            source=self.source,
            group=self.group,
            interface="eth0",
            protocol="probe",
            stream_id=self.epoch,
            epoch=self.epoch,
            key={},
            label=f"{self.group} stream {self.epoch} at {self.receiver}",
            schedule=Schedule(source="log", first_due_ns=at(self.start), interval_ns=interval, sent=expected),
            first_rx_ns=at(self.first_rx) if is_heard else None,
            last_rx_ns=at(self.last_rx) if is_heard else None,
            expected=expected,
            received=expected - lost,
            lost=lost,
            duplicates=0,
            reordered=0,
            too_late=0,
            corrupt=0,
            misdelivered=0,
            loss_ratio=lost / expected,
            loss_periods=len(windows) + self.isolated,
            longest_loss_period=max([each.packets or 0 for each in windows], default=1 if self.isolated else 0),
            windows=windows,
            thinning=[],
            isolated=self.isolated,
            edge=0,
            attribution=Attribution(
                network=lost - self.own_buffer - self.not_sent, own_buffer=self.own_buffer, not_sent=self.not_sent
            ),
            delay=empty(),
            ipdv=empty(),
            jitter_ns=None,
            reordering=None,
            series=Series(start_ns=at(self.start), bin_ns=BIN, received=received, due=due, lost=lost_bins),
        )


class Run:
    """A run over two hosts, healthy until something is done to it."""

    def __init__(self, *, rate: int = 100, seconds: float = 20.0, query_every: float = 3.0):
        self.rate, self.seconds = rate, seconds
        self.queries = [0.2 + query_every * k for k in range(int(seconds / query_every) + 1)]
        self.reports = [-0.5, *[t + 0.1 for t in self.queries]]
        self.query_every = query_every
        self.stated_every: float | None = None
        self.querier_version = 3
        self.changes: list[tuple[float, str, str]] = []
        self.other_queries: list[float] = []
        self.streams = [Stream(self)]
        self.senders = [self.sender()]
        self.receivers = [
            ReceiverInfo(name="rx", groups=[ENDPOINT], interface="eth0", joined_ns=at(-0.5), counts_drops=True)
        ]
        self.events: list[Event] = []
        self.silent: dict[str, list[tuple[float, float]]] = {kind: [] for kind in WITNESSES}
        self.absent: set[str] = set()
        self.out: dict[str, list[tuple[float, float]]] = {"eth0": [(0.0, seconds)]}
        self.is_out_watched = True
        self.is_igmp_watched = True
        self.impairments: list[SenderImpairment] = []
        self.counters: dict[str, int] = {"IPReversePathFilter": 0, "RcvbufErrors": 0, "ReasmFails": 0}
        self.snapshots: dict[str, dict[str, Any]] = {"rx": snapshot(RX), "tx": snapshot(TX)}
        self.afters: dict[str, dict[str, Any]] = {}
        self.accounts: dict[int, dict[str, Any]] = {}
        self.hosts: list[dict[str, Any]] = [{"name": "tx"}, {"name": "rx"}]
        self.reported_on = "rx:eth0"
        self.end_reason = "complete"
        self.unreadable = 0
        self.notes: dict[str, Any] = {}

    @property
    def stream(self) -> Stream:
        return self.streams[0]

    def sender(self, group: str = ENDPOINT, epoch: int = 1, **more: Any) -> SenderInfo:
        values: dict[str, Any] = {
            "stream": epoch,
            "stream_id": epoch,
            "epoch": epoch,
            "group": group,
            "source": f"{TX}:4000",
            "interface": "eth0",
            "schedule": "constant",
            "first_due_ns": at(0),
            "interval_ns": S // self.rate,
            "size": 200,
            "ttl": 1,
            "host": "tx",
        }
        return SenderInfo(**(values | more))

    def gap(self, start: float, end: float, *deaf: str, kind: str = "mid_run") -> "Run":
        """Let the receiver hear nothing for a time, and these witnesses neither."""
        self.stream.gap(start, end, kind)
        for name in deaf:
            self.silent[name].append((start, end))
        return self

    def event(self, moment: float, kind: str, text: str, receiver: str = "") -> "Run":
        self.events.append(Event(t_ns=at(moment), kind=kind, text=text, receiver=receiver))
        return self

    def after(self, host: str) -> dict[str, Any]:
        """The snapshot of a host after the run, to be changed."""
        return self.afters.setdefault(host, deepcopy(self.snapshots[host]))

    def build(self) -> tuple[Summary, Manifest, Evidence]:
        return self._summary(), self._manifest(), self._evidence()

    def _series(self, kind: WitnessKind) -> WitnessSeries:
        n_bins = round(self.seconds * S / BIN)
        counts = [round(self.rate * BIN / S)] * n_bins
        for start, end in self.silent[kind]:
            for place in range(round(start * S / BIN), min(n_bins, round(end * S / BIN))):
                counts[place] = 0
        opened: list[int] = []
        if kind == "reopened-socket":  # it listens for a second in two while the receiver is silent
            spans = [
                (start + 1.1 + 2 * k, start + 2.1 + 2 * k, end)
                for start, end, _ in self.stream.gaps
                for k in range(999)
            ]
            spans = [each for each in spans if each[0] < each[2]]
            opened = [at(start) for start, _, _ in spans]
            bins = {place for start, end, _ in spans for place in range(round(start * S / BIN), round(end * S / BIN))}
            counts = [count if place in bins else 0 for place, count in enumerate(counts)]
        return WitnessSeries(
            kind=kind,
            receiver="rx",
            group=ENDPOINT,
            source=self.stream.source if any(counts) else "",
            interface="eth0" if kind == "tap" else "",
            start_ns=at(0),
            counts=counts,
            opened_ns=opened,
        )

    def _out(self, interface: str, spans: list[tuple[float, float]]) -> WitnessSeries:
        counts = [0] * round(self.seconds * S / BIN)
        for start, end in spans:
            for place in range(round(start * S / BIN), min(len(counts), round(end * S / BIN))):
                counts[place] = round(self.rate * BIN / S)
        return WitnessSeries(
            kind="tap", group=ENDPOINT, interface=interface, direction="out", start_ns=at(0), counts=counts
        )

    def _evidence(self) -> Evidence:
        heard = [self._series(kind) for kind in WITNESSES if kind not in self.absent]
        out = [self._out(name, spans) for name, spans in self.out.items()] if self.is_out_watched else []
        hosts = []
        for name, before in self.snapshots.items():
            now = deepcopy(self.afters.get(name, before))
            if name == "rx" and "counters" in now:
                now["counters"] = {"ip": {key: 5 + rise for key, rise in self.counters.items()}}
            witnesses = heard if name == "rx" else out if name == "tx" else []
            hosts.append(HostEvidence(name=name, before=before, after=now, witnesses=witnesses))
        return Evidence(hosts=hosts, impairments=self.impairments)

    def _manifest(self) -> Manifest:
        return Manifest(
            kind="run",
            created="",
            command=[],
            resolved={"host": self.hosts, "stream": [], "receiver": [], "event": self.notes.get("event", [])},
            clocks=Clocks(realtime_ns=at(-1), monotonic_ns=0),
            hosts=[HostInfo(name=each["name"], kind="lab") for each in self.hosts],
            receivers=self.receivers,
            senders=self.senders,
            end=End(reason=self.end_reason, t_ns=at(self.seconds + 0.5)),
        )

    def _summary(self) -> Summary:
        senders = []
        for info in self.senders:
            n = next(
                (round((each.end - each.start) * each.rate) for each in self.streams if each.epoch == info.epoch), 2000
            )
            values: dict[str, Any] = {
                "scheduled": n,
                "sent": n,
                "refused": 0,
                "not_sent": 0,
                "errnos": {},
            } | self.accounts.get(info.epoch, {})
            senders.append(
                SenderSummary(
                    stream_id=info.stream_id,
                    epoch=info.epoch,
                    source=info.source,
                    group=info.group,
                    lateness=Distribution(n=n, percentiles_ns={"90": 200_000.0, "99": 300_000.0}),
                    **values,
                )
            )
        return Summary(
            parameters=Parameters(),
            streams=[each.summary(number) for number, each in enumerate(self.streams)],
            senders=senders,
            events=sorted(self.events, key=lambda event: event.t_ns),
            membership=self._timeline() if self.is_igmp_watched else None,
            unreadable=self.unreadable,
        )

    def _timeline(self) -> MembershipTimeline:
        link: dict[str, Any] = {
            "family": "IGMP",
            "interval_ns": round(self.query_every * S),
            "robustness": 2,
            "max_response_ns": 240_000_000,
        }
        source: Literal["stated", "default"] = "stated" if self.queries else "default"
        lifetime = round(LIFETIME_S * S) if self.queries else 260 * S
        interval = link["interval_ns"] if self.queries else 125 * S
        if self.stated_every is not None:
            interval, lifetime = round(self.stated_every * S), round((2 * self.stated_every + 0.24) * S)
        links = [
            MembershipLink(
                interface="rx:eth0",
                query_ns=[at(t) for t in self.queries],
                lifetime_ns=lifetime,
                interval_source=source,
                **(link | {"interval_ns": interval}),
            )
        ]
        if self.other_queries:
            times = [at(t) for t in self.other_queries]
            links.append(
                MembershipLink(
                    interface="tx:eth0", query_ns=times, lifetime_ns=lifetime, interval_source=source, **link
                )
            )
        queriers = []
        if self.queries:
            queriers.append(
                Querier(
                    interface="rx:eth0",
                    family="IGMP",
                    address="10.0.0.254",
                    version=self.querier_version,
                    general=len(self.queries),
                    specific=0,
                    first_ns=at(self.queries[0]),
                    last_ns=at(self.queries[-1]),
                    interval_ns=round(self.query_every * S),
                    longest_ns=None,
                    stated_interval_ns=None,
                    robustness=None,
                    max_response_ns=240_000_000,
                    general_ns=[at(t) for t in self.queries],
                    specific_ns=[],
                    specific_groups=[],
                )
            )
        interval_of = MemberInterval(start_ns=at(-0.5), end_ns=None, start="joined", end="unknown", expires_ns=at(99))
        members = [
            Member(
                interface=self.reported_on,
                family="IGMP",
                host=RX,
                group=GROUP,
                version=3,
                mode="exclude",
                reports=len(self.reports),
                suppressed=0,
                report_ns=[at(t) for t in self.reports],
                intervals=[interval_of],
            )
        ]
        changes = [
            QuerierChange(interface="rx:eth0", family="IGMP", t_ns=at(t), before=before, after=after)
            for t, before, after in self.changes
        ]
        return MembershipTimeline(
            start_ns=at(-1),
            end_ns=at(self.seconds),
            messages=99,
            unused={},
            gap_factor=1.5,
            links=links,
            queriers=queriers,
            changes=changes,
            gaps=[],
            members=members if self.reports else [],
        )


def snapshot(
    address: str, *, system: str = "Debian GNU/Linux 12", interfaces: tuple[str, ...] = ("eth0",)
) -> dict[str, Any]:
    """A host's words about itself: one interface with one address, quiet counters, an open filter."""
    number = address.rpartition(".")[2]
    return {
        "versions": {"system": system, "kernel": "Linux 6.18"},
        "interfaces": {
            name: {
                "index": 2 + place,
                "mac": f"02:00:00:00:{place:02}:{int(number):02}",
                "mtu": 1500,
                "carrier_changes": 2,
                "addresses": [
                    {"family": "inet", "address": address if not place else f"10.0.{place}.{number}", "prefix": 24}
                ],
            }
            for place, name in enumerate(interfaces)
        },
        "routes": {
            "inet": [
                {"dst": "default", "gateway": "10.0.0.254", "dev": "eth0", "flags": []},
                {"dst": "10.0.0.0/24", "dev": "eth0", "protocol": "kernel", "scope": "link", "flags": []},
            ],
            "rules": [
                {"priority": 0, "src": "all", "table": "local"},
                {"priority": 32766, "src": "all", "table": "main"},
            ],
        },
        "memberships": {"inet": [{"interface": "eth0", "group": GROUP, "users": 1, "version": "V3"}]},
        "settings": {
            "net.ipv4.igmp_max_memberships": "20",
            "net.ipv4.conf.all.rp_filter": "0",
            "net.ipv4.conf.eth0.rp_filter": "0",
            "net.ipv4.conf.eth0.force_igmp_version": "0",
        },
        "counters": {"ip": {"IPReversePathFilter": 5, "RcvbufErrors": 5, "ReasmFails": 5}},
        "qdiscs": [{"dev": "eth0", "kind": "noqueue", "handle": "0:", "drops": 0}],
        "firewall": {"nft": [{"metainfo": {"json_schema_version": 1}}]},
    }


def drop_rule(packets: int | None, *, chain: str = "input", what: str = "udp") -> dict[str, Any]:
    """An nft rule that drops."""
    counter = [{"counter": {"packets": packets, "bytes": 0}}] if packets is not None else []
    match = {"match": {"op": "==", "left": {"payload": {"protocol": what, "field": "dport"}}, "right": 5000}}
    return {
        "rule": {
            "family": "inet",
            "table": "filter",
            "chain": chain,
            "handle": 7,
            "expr": [match, *counter, {"drop": None}],
        }
    }
