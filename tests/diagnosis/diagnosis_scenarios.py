"""The positive case of every cause, as the lab's table describes it, from the builder's healthy run."""

from collections.abc import Callable

import msgspec
from diagnosis_cases import ENDPOINT, RX, Run, S, Stream, at, drop_rule, snapshot

from harness.model.witness import SenderImpairment

SOCKETS = ("second-socket", "reopened-socket")
UPSTREAM = ("tap", *SOCKETS)
ALL = (*UPSTREAM, "unicast-twin")


def membership_expired() -> Run:
    run = Run()
    run.queries, run.reports = [], [-0.5, 0.5]
    run.gap(6.5, 12.0, *UPSTREAM).event(12.0, "reopen", "sockets closed and opened again", "rx")
    run.reports += [12.0]
    run.gap(18.0, 20.0, *UPSTREAM, kind="stopped")
    return run


def querier_lost() -> Run:
    run = Run()
    run.queries, run.reports = [0.2, 3.2], [-0.5, 0.3, 3.3]
    return run.gap(9.54, 20.0, *UPSTREAM, kind="stopped")


def queries_not_reaching() -> Run:
    run = Run()
    run.other_queries = run.queries
    run.queries, run.reports = [0.2, 3.2], [-0.5, 0.3, 3.3]
    return run.gap(9.54, 20.0, *UPSTREAM, kind="stopped")


def reports_lost() -> Run:
    run = Run()
    run.reports = [-0.5, 0.3, 3.3, 12.3, 15.3, 18.3]
    return run.gap(9.54, 12.31, *UPSTREAM)


def reports_lost_beyond_the_tap() -> Run:
    return Run().gap(9.54, 15.31, *UPSTREAM)


def querier_changed() -> Run:
    run = Run()
    run.queries, run.reports = [0.2, 3.2, 4.0, 12.2, 15.2, 18.2], [-0.5, 0.3, 3.3, 4.1, 12.3, 15.3, 18.3]
    run.changes = [(4.0, "10.0.0.254", "10.0.0.9"), (12.2, "10.0.0.9", "10.0.0.254")]
    return run.gap(10.34, 12.31, *UPSTREAM)


def snooping_state_lost() -> Run:
    return Run().gap(7.4, 9.31, *UPSTREAM)


def igmp_downgraded() -> Run:
    run = Run()
    run.querier_version = 2
    run.receivers = [msgspec.structs.replace(run.receivers[0], source="10.0.0.1")]
    run.after("rx")["memberships"]["inet"][0]["version"] = "V2"
    return run


def ttl_expired() -> Run:
    run = Run()
    run.snapshots["rx"] = snapshot("10.9.0.2")
    run.receivers.append(msgspec.structs.replace(run.receivers[0], name="near"))
    run.streams.append(Stream(run, receiver="near"))
    return run.gap(0.0, 20.0, *UPSTREAM, kind="never_received")


def joined_wrong_interface() -> Run:
    run = Run()
    run.snapshots["rx"] = snapshot(RX, interfaces=("eth0", "eth1"))
    run.snapshots["rx"]["memberships"]["inet"][0]["interface"] = run.reported_on = "eth1"
    run.snapshots["rx"]["routes"]["inet"][0]["dev"] = "eth1"
    run.receivers = [msgspec.structs.replace(run.receivers[0], interface=None)]
    return run.gap(0.0, 20.0, *UPSTREAM, kind="never_received")


def membership_lost_reopen() -> Run:
    run = Run()
    run.after("rx")["interfaces"]["eth0"]["index"] = 9
    run.event(8.0, "link", "rx: eth0 removed").event(8.3, "link", "rx: eth0 added")
    return run.gap(8.0, 20.0, "second-socket", kind="stopped")


def link_down() -> Run:
    run = Run()
    run.after("rx")["interfaces"]["eth0"]["carrier_changes"] = 4
    run.event(8.1, "link", "rx: eth0 down (no carrier)").event(9.9, "link", "rx: eth0 up")
    return run.gap(8.0, 10.0, *ALL)


def rp_filter() -> Run:
    run = Run()
    run.streams = [Stream(run, source="172.16.5.5")]
    run.counters["IPReversePathFilter"] = 2000
    run.snapshots["rx"]["settings"]["net.ipv4.conf.eth0.rp_filter"] = "1"
    return run.gap(0.0, 20.0, *SOCKETS, kind="never_received")


def receiver_overflow() -> Run:
    run = Run()
    run.stream.own_buffer = 200
    run.counters["RcvbufErrors"] = 200
    return run.gap(8.0, 10.0, "second-socket")


def fragment_loss() -> Run:
    run = Run()
    run.senders = [run.sender(size=3000), run.sender(epoch=2, size=200, group="239.1.1.2:5000")]
    run.streams.append(Stream(run, epoch=2, group="239.1.1.2:5000"))
    run.counters["ReasmFails"] = 2000
    return run.gap(0.0, 20.0, *SOCKETS, kind="never_received")


def random_loss() -> Run:
    run = Run()
    run.stream.isolated = 40
    run.stream.lost_at = [0.5 * k for k in range(40)]
    return run


def host_filter() -> Run:
    run = Run()
    run.after("rx")["firewall"]["nft"].append(drop_rule(200))
    return run.gap(8.0, 10.0, *SOCKETS)


def source_changed() -> Run:
    run = Run()
    run.receivers = [
        msgspec.structs.replace(run.receivers[0], source="10.0.0.1"),
        msgspec.structs.replace(run.receivers[0], name="asm"),
    ]
    run.streams.append(Stream(run, receiver="asm", epoch=7, source="10.0.0.77"))
    run.after("tx")["interfaces"]["eth0"]["addresses"][0]["address"] = "10.0.0.77"
    run.event(8.0, "address", "tx: 10.0.0.1/24 removed on eth0")
    return run.gap(8.0, 20.0, *UPSTREAM, kind="stopped")


def membership_limit() -> Run:
    run = Run()
    run.receivers = [msgspec.structs.replace(run.receivers[0], groups=[f"239.1.1.{k}:5000" for k in range(21)])]
    return run.event(
        -0.4, "errno", "cannot join (*, 239.1.1.20) on eth0: ENOBUFS (No buffer space available); raise the limit", "rx"
    )


def power_save() -> Run:
    run = Run()
    run.stream.received = [(31 if k % 6 == 5 else 0) for k in range(400)]
    return run


def socket_blocked() -> Run:
    return Run().gap(3.0, 20.0, kind="stopped")


def send_refused_locally() -> Run:
    run = Run()
    run.senders = [run.sender(interface=None)]
    run.snapshots["tx"]["routes"]["inet"].append({"type": "unreachable", "dst": "224.0.0.0/4", "flags": []})
    run.accounts[1] = {"sent": 0, "refused": 2000, "errnos": {"EHOSTUNREACH": 2000}}
    run.stream.not_sent = 2000
    run.out = {"eth0": []}
    run.event(0.0, "errno", f"tx: send to {ENDPOINT} refused: EHOSTUNREACH (No route to host)")
    return run.gap(0.0, 20.0, *UPSTREAM, kind="never_received")


def os_policy() -> Run:
    run = Run()
    run.hosts.append({"name": "other", "shares": "rx"})
    run.receivers.append(msgspec.structs.replace(run.receivers[0], name="other"))
    run.streams.append(Stream(run, receiver="other"))
    return run.gap(3.0, 20.0, *SOCKETS, kind="stopped")


def os_policy_send() -> Run:
    run = Run()
    run.hosts.append({"name": "other", "shares": "tx"})
    run.senders.append(run.sender(epoch=2, group="239.1.1.2:5000", host="other"))
    run.accounts[1] = {"sent": 0, "refused": 2000, "errnos": {"EHOSTUNREACH": 2000}}
    run.stream.not_sent = 2000
    run.out = {"eth0": []}
    return run.gap(0.0, 20.0, *UPSTREAM, kind="never_received")


def transient_refusal() -> Run:
    run = Run()
    run.accounts[1] = {"sent": 1800, "refused": 200, "errnos": {"EHOSTUNREACH": 200}}
    run.stream.not_sent = 200
    run.event(0.0, "errno", f"tx: send to {ENDPOINT} refused: EHOSTUNREACH (No route to host)")
    run.event(2.0, "errno", f"tx: send to {ENDPOINT} works again")
    return run.gap(0.0, 2.0, *UPSTREAM, kind="late_start")


def fixed_lifetime() -> Run:
    run = Run()
    run.gap(4.0, 7.0, *UPSTREAM).event(7.0, "reopen", "sockets closed and opened again", "rx")
    run.gap(11.5, 15.0, *UPSTREAM).event(15.0, "reopen", "sockets closed and opened again", "rx")
    run.gap(19.5, 20.0, *UPSTREAM, kind="stopped")
    run.receivers.append(msgspec.structs.replace(run.receivers[0], name="other"))
    run.streams.append(Stream(run, receiver="other"))
    return run


def unicast_path_only() -> Run:
    run = Run()
    run.senders.append(run.sender(epoch=2, group="10.0.0.2:6000"))
    run.streams.append(Stream(run, epoch=2, group="10.0.0.2:6000").gap(8.0, 20.0, "stopped"))
    run.accounts[2] = {"sent": 1400, "refused": 600, "errnos": {"ECONNREFUSED": 600}}
    return run


def egress_mismatch() -> Run:
    run = Run()
    run.senders = [run.sender(interface=None)]
    run.out = {"eth0": [], "eth1": [(0.0, 20.0)]}
    run.snapshots["tx"]["routes"]["rules"].append(
        {"priority": 100, "src": "all", "ipproto": "udp", "dport": 53, "table": "9"}
    )
    return run.gap(0.0, 20.0, *UPSTREAM, kind="never_received")


def egress_moved() -> Run:
    run = Run()
    run.senders = [run.sender(interface=None)]
    run.out = {"eth0": [(0.0, 8.0), (10.0, 20.0)], "tun0": [(8.0, 10.0)]}
    run.event(8.0, "route", "tx: default dev tun0 added").event(10.0, "route", "tx: default dev tun0 removed")
    return run.gap(8.0, 10.0, *UPSTREAM)


def shared_bottleneck() -> Run:
    run = Run()
    run.senders.append(
        run.sender(epoch=2, group="239.1.1.2:5000", first_due_ns=at(8), interval_ns=S // 5000, size=1400)
    )
    run.streams.append(Stream(run, epoch=2, group="239.1.1.2:5000", rate=5000, start=8.0, end=12.0))
    run.stream.isolated = 30
    run.stream.lost_at = [11.0 + 0.02 * k for k in range(30)]
    run.after("tx")["qdiscs"][0]["drops"] = 5000
    run.gap(8.2, 10.7, *UPSTREAM)
    return run


def network_outage() -> Run:
    run = Run()
    run.queries = run.reports = []
    run.is_igmp_watched = False
    return run.gap(8.0, 10.0, *ALL)


def cannot_tell() -> Run:
    run = network_outage()
    run.absent = set(ALL)
    return run


def not_sent() -> Run:
    run = Run()
    run.accounts[1] = {"sent": 1800, "not_sent": 200}
    run.stream.not_sent = 200
    return run.gap(8.0, 10.0, *UPSTREAM)


def sender_stopped() -> Run:
    run = Run()
    run.accounts[1] = {"sent": 1000, "not_sent": 1000}
    run.stream.not_sent = 1000
    return run.gap(10.0, 20.0, *UPSTREAM, kind="stopped")


def macos_local_network() -> Run:
    run = os_policy()
    for name in ("rx", "tx"):
        run.snapshots[name]["versions"]["system"] = "macOS 15.1"
    return run.event(3.0, "errno", "rx: EHOSTUNREACH (No route to host)", "rx")


def impaired_at_sender() -> Run:
    run = Run()
    run.stream.isolated = 20
    run.stream.lost_at = [12.0 + 0.3 * k for k in range(20)]
    dropped = [*range(800, 1000), *range(1200, 1800, 30)]
    run.impairments = [
        SenderImpairment(stream_id=1, epoch=1, loss="2%", dropouts_ns=[(8 * S, 10 * S)], dropped=dropped, corrupted=[])
    ]
    run.out = {"eth0": [(0.0, 8.0), (10.0, 20.0)]}
    return run.gap(8.0, 10.0, *UPSTREAM)


def recording_damaged() -> Run:
    run = Run().gap(8.0, 10.0)
    run.unreadable = 210
    return run


POSITIVE: dict[str, tuple[str, Callable[[], Run]]] = {
    "mute-querier": ("membership-expired", membership_expired),
    "querier-off": ("querier-lost", querier_lost),
    "queries-lost": ("queries-not-reaching-host", queries_not_reaching),
    "reports-lost": ("reports-lost", reports_lost),
    "reports-lost-beyond-the-tap": ("reports-lost", reports_lost_beyond_the_tap),
    "rogue-querier": ("querier-changed", querier_changed),
    "snooping-flushed": ("snooping-state-lost", snooping_state_lost),
    "igmp-downgraded": ("igmp-downgraded", igmp_downgraded),
    "ttl-one": ("ttl-expired", ttl_expired),
    "wrong-interface": ("joined-wrong-interface", joined_wrong_interface),
    "interface-reborn": ("membership-lost-reopen", membership_lost_reopen),
    "link-flap": ("link-down", link_down),
    "rp-filter": ("rp-filter", rp_filter),
    "slow-reader": ("receiver-overflow", receiver_overflow),
    "fragments": ("fragment-loss", fragment_loss),
    "random-loss": ("random-loss", random_loss),
    "host-firewall": ("host-filter", host_filter),
    "source-changed": ("source-changed", source_changed),
    "membership-limit": ("membership-limit", membership_limit),
    "power-save": ("power-save-like", power_save),
    "socket-blocked": ("socket-blocked-reopen-heals", socket_blocked),
    "send-refused": ("send-refused-locally", send_refused_locally),
    "app-blocked": ("os-policy-suspected", os_policy),
    "app-blocked-send": ("os-policy-suspected", os_policy_send),
    "first-send-refused": ("transient-local-refusal", transient_refusal),
    "fixed-lifetime": ("fixed-lifetime", fixed_lifetime),
    "unicast-path-only": ("unicast-path-only", unicast_path_only),
    "egress-mismatch": ("egress-mismatch", egress_mismatch),
    "vpn-route": ("egress-moved", egress_moved),
    "shared-bottleneck": ("shared-bottleneck", shared_bottleneck),
    "outage": ("network-outage", network_outage),
    "blind": ("cannot-tell", cannot_tell),
    "impaired": ("impaired-at-sender", impaired_at_sender),
    "damaged": ("recording-damaged", recording_damaged),
    "not-sent": ("not-sent", not_sent),
    "sender-stopped": ("sender-stopped", sender_stopped),
    "macos": ("macos-local-network", macos_local_network),
}
