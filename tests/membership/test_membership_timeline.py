"""Who asked, who answered, who joined and left: worked by hand, message by message."""

import ipaddress
from collections.abc import Sequence

import pytest

from harness.analyzer import membership_timeline
from harness.capture import MembershipMessage
from harness.model import UNDEFINED_NS, Member, MemberInterval, MembershipTimeline
from protocols.igmp import build_igmp
from protocols.membership import Leave, Message, Query, Record, RecordKind, Report
from protocols.mld import build_mld

S = 1_000_000_000
T0 = 1_700_000_000 * S
GROUP = ipaddress.ip_address("239.1.2.3")
ROUTER, OTHER, ANN, BOB = "10.0.0.1", "10.0.0.9", "10.0.0.20", "10.0.0.21"
ASKED, NEWS = RecordKind.MODE_IS_EXCLUDE, RecordKind.CHANGE_TO_EXCLUDE


def igmp(second: float, host: str, message: Message, ifindex: int = 1) -> MembershipMessage:
    return MembershipMessage(
        "igmp", T0 + round(second * S), ipaddress.ip_address(host), ipaddress.ip_address("224.0.0.1"), 1, ifindex,
        build_igmp(message), False,
    )  # fmt: skip


def mld(second: float, host: str, message: Message, ttl: int = 1) -> MembershipMessage:
    source, destination = ipaddress.IPv6Address(host), ipaddress.IPv6Address("ff02::16")
    payload = build_mld(message, source, destination)
    return MembershipMessage("mld", T0 + round(second * S), source, destination, ttl, 1, payload, False)


def query(second: float, host: str = ROUTER, group: str | None = None, response_s: float = 10.0) -> MembershipMessage:
    return igmp(second, host, Query(2, ipaddress.ip_address(group) if group else None, response_s))


def report(second: float, host: str) -> MembershipMessage:
    return igmp(second, host, Report(2, (Record(ASKED, GROUP),)))


def report3(second: float, host: str, kind: RecordKind, *sources: str) -> MembershipMessage:
    return igmp(second, host, Report(3, (Record(kind, GROUP, tuple(map(ipaddress.ip_address, sources))),)))


def timeline(messages: Sequence[MembershipMessage], until: float) -> MembershipTimeline:
    found = membership_timeline(messages, (T0, T0 + round(until * S)), {1: "eth0", 2: "eth1"})
    assert found is not None
    return found


def member(found: MembershipTimeline, host: str) -> Member:
    return next(item for item in found.members if item.host == host)


def spans(item: Member) -> list[tuple[float, float | None, str, str, float]]:
    def second(ns: int | None) -> float | None:
        return None if ns is None else (ns - T0) / S

    return [(second(i.start_ns), second(i.end_ns), i.start, i.end, second(i.expires_ns)) for i in item.intervals]  # type: ignore[misc]  # start and expiry are never None


def test_no_message_gives_no_timeline() -> None:
    assert membership_timeline([], (T0, T0 + S)) is None


def test_join_and_leave_are_an_interval_with_both_edges() -> None:
    found = timeline([report(1, ANN), igmp(7, ANN, Leave(2, GROUP))], 10)
    ann = member(found, ANN)
    assert (ann.interface, ann.family, ann.group, ann.version, ann.reports) == ("eth0", "IGMP", "239.1.2.3", 2, 1)
    assert spans(ann) == [(1, 7, "joined", "left", 261)]


def test_a_member_that_nobody_asks_expires_after_260_seconds() -> None:
    found = timeline([report(5, ANN)], 600)
    assert found.links[0].lifetime_ns == 260 * S
    assert (found.links[0].interval_source, found.links[0].robustness) == ("default", 2)
    assert spans(member(found, ANN)) == [(5, 265, "joined", "expired", 265)]
    assert [(gap.kind, gap.start_ns, gap.end_ns) for gap in found.gaps] == [("no_querier", T0, T0 + 600 * S)]


def test_the_expiry_to_come_is_said_while_it_has_not_come() -> None:
    assert spans(member(timeline([report(5, ANN)], 264.9), ANN)) == [(5, None, "joined", "unknown", 265)]
    assert spans(member(timeline([report(5, ANN)], 265), ANN)) == [(5, 265, "joined", "expired", 265)]


def test_answers_to_queries_keep_a_membership_alive() -> None:
    messages = [item for k in range(6) for item in (query(125 * k), report(125 * k + 3, ANN))]
    found = timeline(messages, 700)
    assert spans(member(found, ANN)) == [(3, None, "seen", "unknown", 5 * 125 + 3 + 260)]
    assert found.gaps == []


def test_a_report_after_the_expiry_begins_a_new_interval() -> None:
    found = timeline([report(0, ANN), report(300, ANN)], 310)
    assert spans(member(found, ANN)) == [(0, 260, "joined", "expired", 260), (300, None, "joined", "unknown", 560)]


def test_in_version_2_the_report_of_one_counts_for_all_and_the_quiet_one_is_suppressed() -> None:
    messages = [report(1, ANN), report(2, BOB)]
    messages += [item for k in range(1, 5) for item in (query(125 * k), report(125 * k + 4, ANN))]
    found = timeline(messages, 520)
    bob = member(found, BOB)
    assert spans(bob) == [(2, None, "joined", "unknown", 504 + 260)]
    assert (bob.suppressed, member(found, ANN).suppressed, bob.reports) == (4, 0, 1)


def test_rounds_that_both_answer_are_no_suppression() -> None:
    rounds = [(query(125 * k), report(125 * k + 1, ANN), report(125 * k + 2, BOB)) for k in range(4)]
    found = timeline([item for messages in rounds for item in messages], 400)
    assert [item.suppressed for item in found.members] == [0, 0]


def test_a_suppressed_host_that_speaks_again_counts_the_rounds_between() -> None:
    messages = [report(1, ANN), report(2, BOB)]
    for k in range(1, 4):
        messages += [query(125 * k), report(125 * k + 1, ANN if k < 3 else BOB)]
    found = timeline(messages, 400)
    assert (member(found, BOB).suppressed, member(found, ANN).suppressed) == (2, 1)


def test_in_version_3_every_host_answers_for_itself() -> None:
    general = Query(3, None, 10.0, (), False, 2, 125)
    messages = [report3(1, ANN, NEWS), report3(2, BOB, NEWS)]
    for k in range(1, 5):
        messages += [igmp(125 * k, ROUTER, general), report3(125 * k + 4, ANN, ASKED)]
    found = timeline(messages, 520)
    assert spans(member(found, BOB)) == [(2, 262, "joined", "expired", 262)]
    assert member(found, ANN).intervals[0].end == "unknown"
    assert member(found, BOB).suppressed == 0


def test_a_group_specific_query_without_an_answer_ends_the_group_early() -> None:
    messages = [report(1, ANN), report(2, BOB), igmp(50, ANN, Leave(2, GROUP)), query(50, ROUTER, "239.1.2.3", 1.0)]
    found = timeline(messages, 100)
    assert spans(member(found, ANN)) == [(1, 50, "joined", "left", 262)]
    assert spans(member(found, BOB)) == [(2, 52, "joined", "expired", 52)]
    assert (found.queriers[0].specific, found.queriers[0].specific_groups) == (1, ["239.1.2.3"])


def test_a_group_specific_query_that_is_answered_ends_nothing() -> None:
    messages = [report(2, BOB), query(50, ROUTER, "239.1.2.3", 1.0), report(50.5, BOB)]
    assert spans(member(timeline(messages, 100), BOB)) == [(2, None, "joined", "unknown", 310.5)]


def test_a_leave_as_first_word_means_a_member_since_before() -> None:
    found = timeline([igmp(9, ANN, Leave(2, GROUP)), igmp(9.5, ANN, Leave(2, GROUP))], 20)
    assert spans(member(found, ANN)) == [(0, 9, "before", "left", 269)]


@pytest.mark.parametrize(
    ("kind", "expected"), [(NEWS, "joined"), (ASKED, "seen"), (RecordKind.ALLOW_NEW_SOURCES, "joined")]
)
def test_version_3_says_itself_whether_it_joins_or_answers(kind: RecordKind, expected: str) -> None:
    found = timeline([report3(1, ANN, kind, "10.0.0.5")], 10)
    assert member(found, ANN).intervals[0].start == expected


def test_version_3_leaves_by_including_nothing() -> None:
    left = report3(8, ANN, RecordKind.CHANGE_TO_INCLUDE)
    again = report3(8.7, ANN, RecordKind.CHANGE_TO_INCLUDE)
    assert spans(member(timeline([report3(1, ANN, NEWS), left, again], 10), ANN)) == [(1, 8, "joined", "left", 261)]


def test_a_source_specific_member_leaves_with_its_last_source() -> None:
    allow, block = RecordKind.ALLOW_NEW_SOURCES, RecordKind.BLOCK_OLD_SOURCES
    messages = [
        report3(1, ANN, allow, "10.0.0.5"),
        report3(2, ANN, allow, "10.0.0.6"),
        report3(3, ANN, block, "10.0.0.5"),
    ]
    ann = member(timeline(messages, 10), ANN)
    assert (ann.mode, ann.sources, spans(ann)[0][1]) == ("include", ["10.0.0.6"], None)
    ann = member(timeline([*messages, report3(4, ANN, block, "10.0.0.6")], 10), ANN)
    assert spans(ann)[0][1] == 4


def test_a_block_from_a_host_whose_filter_is_not_known_ends_nothing() -> None:
    found = timeline([report3(3, ANN, RecordKind.BLOCK_OLD_SOURCES, "10.0.0.5")], 10)
    assert found.members == []


def test_blocking_a_source_of_an_any_source_member_keeps_it_a_member() -> None:
    found = timeline([report3(1, ANN, NEWS), report3(2, ANN, RecordKind.BLOCK_OLD_SOURCES, "10.0.0.5")], 10)
    assert (member(found, ANN).mode, member(found, ANN).sources) == ("exclude", ["10.0.0.5"])
    assert spans(member(found, ANN))[0][1] is None


def test_the_interval_is_measured_when_nobody_states_it() -> None:
    found = timeline([query(second) for second in (0, 5, 25, 45, 65)], 70)
    (querier,) = found.queriers
    assert (querier.address, querier.version, querier.general, querier.specific) == (ROUTER, 2, 5, 0)
    assert (querier.interval_ns, querier.longest_ns, querier.max_response_ns) == (20 * S, 20 * S, 10 * S)
    link = found.links[0]
    assert (link.interval_ns, link.interval_source, link.lifetime_ns) == (20 * S, "measured", 50 * S)


def test_the_interval_that_the_querier_states_counts_before_the_measured_one() -> None:
    stated = Query(3, None, 5.0, (), False, 3, 60)
    found = timeline([igmp(second, ROUTER, stated) for second in (0, 20, 40, 60)], 70)
    link = found.links[0]
    assert (link.interval_ns, link.interval_source, link.robustness, link.lifetime_ns) == (60 * S, "stated", 3, 185 * S)
    assert found.queriers[0].stated_interval_ns == 60 * S


def test_two_queries_are_too_few_to_measure_an_interval() -> None:
    found = timeline([query(0), query(31)], 60)
    assert found.links[0].interval_source == "default"
    assert found.queriers[0].interval_ns == 31 * S


def test_gaps_name_where_they_lie_and_who_asked_last() -> None:
    found = timeline([query(250), query(375), query(500), query(900)], 1_100)
    assert [(gap.kind, (gap.start_ns - T0) // S, (gap.end_ns - T0) // S, gap.querier) for gap in found.gaps] == [
        ("before_first", 0, 250, ""),
        ("between", 500, 900, ROUTER),
        ("after_last", 900, 1_100, ROUTER),
    ]
    assert found.gap_factor == 1.5
    assert found.gaps[0].expected_ns == 125 * S


def test_a_wait_of_just_one_and_a_half_intervals_is_no_gap() -> None:
    assert timeline([query(0), query(187.5)], 200).gaps == []
    assert len(timeline([query(0), query(187.6)], 200).gaps) == 1


def test_another_querier_is_a_change_and_a_proxy_query_of_a_switch_is_none() -> None:
    found = timeline([query(0, OTHER), query(60, "0.0.0.0"), query(125, OTHER), query(250, ROUTER)], 260)
    assert [(item.before, item.after, item.t_ns) for item in found.changes] == [(OTHER, ROUTER, T0 + 250 * S)]
    assert [item.address for item in found.queriers] == [OTHER, "0.0.0.0", ROUTER]


def test_times_of_general_queries_are_kept_in_order() -> None:
    assert timeline([query(10), query(135)], 200).links[0].query_ns == [T0 + 10 * S, T0 + 135 * S]


def test_interfaces_are_kept_apart() -> None:
    messages = [report(1, ANN), igmp(2, ANN, Report(2, (Record(ASKED, GROUP),)), ifindex=2)]
    found = timeline([*messages, igmp(3, ANN, Leave(2, GROUP), ifindex=2)], 10)
    assert [(item.interface, item.intervals[0].end) for item in found.members] == [
        ("eth0", "unknown"),
        ("eth1", "left"),
    ]


def test_mld_is_followed_like_igmp() -> None:
    group = ipaddress.ip_address("ff15::7")
    messages = [
        mld(0, "fe80::1", Query(2, None, 10.0, (), False, 2, 125)),
        mld(2, "fe80::20", Report(2, (Record(ASKED, group),))),
        mld(3, "fe80::21", Report(1, (Record(ASKED, group),))),
        mld(9, "fe80::21", Leave(1, group)),
    ]
    found = timeline(messages, 20)
    assert [(item.host, item.version, item.family) for item in found.members] == [
        ("fe80::20", 2, "MLD"),
        ("fe80::21", 1, "MLD"),
    ]
    assert spans(member(found, "fe80::21")) == [(3, 9, "seen", "left", 263)]
    assert found.links[0].interval_source == "stated"


def test_order_in_the_file_does_not_matter() -> None:
    messages = [query(0), report(3, ANN), igmp(50, ANN, Leave(2, GROUP)), report(70, BOB)]
    assert timeline(messages[::-1], 100) == timeline(messages, 100)


def test_what_a_router_would_drop_is_counted_and_says_nothing() -> None:
    good = report(1, ANN)
    damaged = good.payload[:-1] + b"\x99"
    v3 = report3(1, BOB, NEWS)

    def altered(payload: bytes, *, rx_ns: int = T0, is_truncated: bool = False) -> MembershipMessage:
        return MembershipMessage("igmp", rx_ns, good.source, good.destination, 1, 1, payload, is_truncated)

    messages = [
        altered(damaged),
        altered(v3.payload[:10]),
        altered(b"\x22"),
        altered(b""),
        altered(v3.payload, is_truncated=True),
        altered(good.payload, rx_ns=UNDEFINED_NS),
        altered(b"\x14" + good.payload[1:]),
        mld(1, "fe80::20", Report(1, (Record(ASKED, ipaddress.ip_address("ff15::7")),)), ttl=64),
    ]
    found = timeline(messages, 10)
    assert found.members == []
    assert found.links == []
    assert found.messages == 8
    assert found.unused == {
        "wrong checksum": 1, "malformed": 3, "cut off by the capture": 1, "without a time": 1,
        "of another IGMP type": 1, "hop limit other than 1": 1,
    }  # fmt: skip


def test_only_untimed_messages_without_a_known_extent_are_no_crash() -> None:
    message = MembershipMessage(
        "igmp", UNDEFINED_NS, ipaddress.ip_address(ANN), ipaddress.ip_address(ROUTER), 1, 1, b"", False
    )
    found = membership_timeline([message])
    assert found is not None
    assert (found.start_ns, found.end_ns) == (0, 0)


def test_an_interval_is_a_plain_value() -> None:
    found = timeline([report(1, ANN)], 10)
    assert found.members[0].intervals == [
        MemberInterval(start_ns=T0 + S, end_ns=None, start="joined", end="unknown", expires_ns=T0 + 261 * S)
    ]
