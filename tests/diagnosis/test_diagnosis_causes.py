"""Every cause of the table comes first on its own case, and falls when its evidence is taken away."""

import msgspec
import pytest
from diagnosis_cases import Run, Stream, at, drop_rule, snapshot
from diagnosis_scenarios import POSITIVE, UPSTREAM
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.diagnosis import catalogue, diagnose
from harness.diagnosis.allotment import allot
from harness.diagnosis.rules import RULES
from harness.model import Verdict

SOCKETS = ("second-socket", "reopened-socket")


def verdicts(run: Run) -> list[Verdict]:
    return diagnose(*run.build())


def score(run: Run, name: str) -> float:
    return next((each.score for each in verdicts(run) if each.name == name), 0.0)


@pytest.mark.parametrize("case", POSITIVE)
def test_the_cause_comes_first(case: str) -> None:
    name, make = POSITIVE[case]
    first, *rest = verdicts(make())
    assert first.name == name
    assert first.evidence_for
    assert all(each.score <= first.score for each in rest)
    assert all(each.score < first.score for each in rest), "no other rule may tie with the true cause"


@pytest.mark.parametrize("case", sorted(set(POSITIVE) - {"igmp-downgraded"}))
def test_no_evidence_is_needed_to_end_in_a_verdict(case: str) -> None:
    _, make = POSITIVE[case]
    summary, manifest, _ = make().build()
    bare = diagnose(summary, manifest)
    assert bare
    assert bare[0].name != "ok"


@pytest.mark.parametrize("case", sorted(set(POSITIVE) - {"blind", "not-sent", "sender-stopped"}))
def test_without_witnesses_and_snapshots_no_cause_is_surer(case: str) -> None:
    name, make = POSITIVE[case]
    summary, manifest, evidence = make().build()
    with_all, without = diagnose(summary, manifest, evidence), diagnose(summary, manifest)
    told = next((each.score for each in without if each.name == name), 0.0)
    assert told <= with_all[0].score


@pytest.mark.parametrize(
    ("case", "absent"),
    [
        ("socket-blocked", {"second-socket", "reopened-socket", "tap", "unicast-twin"}),
        ("host-firewall", {"second-socket", "reopened-socket", "tap", "unicast-twin"}),
        ("mute-querier", {"tap", "unicast-twin"}),
        ("app-blocked", {"tap"}),
        ("outage", {"tap"}),
        ("link-flap", {"tap", "unicast-twin"}),
        ("interface-reborn", {"reopened-socket"}),
    ],
)
def test_the_score_falls_without_these_witnesses(case: str, absent: set[str]) -> None:
    name, make = POSITIVE[case]
    run = make()
    run.absent = absent
    assert score(run, name) < score(make(), name)


@pytest.mark.parametrize(
    "case", ["mute-querier", "querier-off", "queries-lost", "reports-lost", "rogue-querier", "snooping-flushed"]
)
def test_membership_is_not_blamed_where_igmp_was_not_captured(case: str) -> None:
    name, make = POSITIVE[case]
    run = make()
    run.is_igmp_watched = False
    assert score(run, name) < score(make(), name) / 2


@pytest.mark.parametrize(
    ("case", "counter"),
    [("rp-filter", "IPReversePathFilter"), ("slow-reader", "RcvbufErrors"), ("fragments", "ReasmFails")],
)
def test_the_score_falls_without_the_counter(case: str, counter: str) -> None:
    name, make = POSITIVE[case]
    run = make()
    run.counters[counter] = 0
    assert score(run, name) < score(make(), name)


def test_rp_filter_is_out_of_the_question_when_its_counter_stands_still() -> None:
    run = POSITIVE["rp-filter"][1]()
    run.counters["IPReversePathFilter"] = 0
    assert "rp-filter" not in [each.name for each in verdicts(run)]


def test_a_filter_without_a_counting_rule_is_less_sure() -> None:
    run = Run().gap(8.0, 10.0, *SOCKETS)
    run.after("rx")["firewall"]["nft"].append(drop_rule(None))
    found = verdicts(run)
    assert 0.3 < score(run, "host-filter") < score(POSITIVE["host-firewall"][1](), "host-filter")
    assert any("whether this rule met" in each.settled_by for each in found)


def test_an_outage_that_the_tap_saw_is_no_filter() -> None:
    run = Run().gap(8.0, 10.0, *UPSTREAM, "unicast-twin")
    run.reports = [t for t in run.reports if not 9.9 < t < 10.1]
    assert verdicts(run)[0].name == "network-outage"


def test_link_down_needs_a_change_of_a_link() -> None:
    run = Run().gap(8.0, 10.0, *UPSTREAM, "unicast-twin")
    assert "link-down" not in [each.name for each in verdicts(run)]


def test_a_link_of_another_interface_is_not_blamed() -> None:
    run = POSITIVE["link-flap"][1]()
    run.events.clear()
    run.after("rx")["interfaces"]["eth0"]["carrier_changes"] = 2
    run.snapshots["rx"]["interfaces"]["wlan0"] = {"index": 8, "addresses": [{"address": "10.3.0.1", "prefix": 24}]}
    run.event(8.1, "link", "rx: wlan0 down (no carrier)")
    assert "link-down" not in [each.name for each in verdicts(run)]


def test_ttl_is_not_blamed_on_one_link() -> None:
    run = Run().gap(0.0, 20.0, *UPSTREAM, kind="never_received")
    assert "ttl-expired" not in [each.name for each in verdicts(run)]


def test_an_open_group_is_not_lost_to_a_renumbered_sender() -> None:
    run = POSITIVE["source-changed"][1]()
    run.receivers = [each for each in run.receivers if each.name == "asm"]
    assert "source-changed" not in [each.name for each in verdicts(run)]


def test_the_name_of_macos_is_never_said_on_linux() -> None:
    run = POSITIVE["macos"][1]()
    for host in run.snapshots.values():
        host["versions"]["system"] = "Debian GNU/Linux 12"
    names = [each.name for each in verdicts(run)]
    assert names[0] == "os-policy-suspected"
    assert "macos-local-network" not in names
    assert not any("macOS Local Network" in each.sentence for each in verdicts(run))


@pytest.mark.parametrize("without", ["errno", "launcher"])
def test_macos_needs_both_the_errno_and_the_other_launcher(without: str) -> None:
    run = POSITIVE["macos"][1]()
    if without == "errno":
        run.events.clear()
    else:
        run.streams, run.receivers = run.streams[:1], run.receivers[:1]
    assert "macos-local-network" not in [each.name for each in verdicts(run)]


def test_two_causes_both_stand_among_the_first_three() -> None:
    run = POSITIVE["host-firewall"][1]()
    run.event(14.0, "link", "rx: eth0 down (no carrier)").event(15.9, "link", "rx: eth0 up")
    run.gap(14.0, 16.0, *UPSTREAM, "unicast-twin")
    assert {"host-filter", "link-down"} <= {each.name for each in verdicts(run)[:3]}


def test_a_drop_out_and_a_bad_link_both_stand_among_the_first_three() -> None:
    run = POSITIVE["link-flap"][1]()
    run.stream.isolated = 40
    run.stream.lost_at = [0.5 * k for k in range(40)]
    names = [each.name for each in verdicts(run)[:3]]
    assert names[0] == "link-down"
    assert "random-loss" in names


@pytest.mark.parametrize("has_tap", [True, False])
def test_a_slow_reader_and_a_bad_link_both_stand_among_the_first_three(has_tap: bool) -> None:
    run = POSITIVE["slow-reader"][1]()
    run.stream.isolated = 40
    run.stream.lost_at = [0.5 * k for k in range(40)]
    run.absent = set() if has_tap else {"tap"}
    first, second, *_ = verdicts(run)
    assert (first.name, second.name) == ("receiver-overflow", "random-loss")
    assert first.score > 0.7
    assert second.score > 0.25
    assert any("200 of the 240 packets lost" in text for text in first.evidence_for)
    assert "40 in all" in second.sentence


def test_drops_that_cannot_account_for_a_drop_out_account_for_the_losses_outside() -> None:
    run = POSITIVE["outage"][1]()
    run.stream.isolated = run.stream.own_buffer = 40
    run.stream.lost_at = [0.5 * k for k in range(40)]
    run.counters["RcvbufErrors"] = 40
    assert {each.name for each in verdicts(run)[:2]} == {"network-outage", "receiver-overflow"}


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2000),
    st.lists(st.tuples(st.integers(1, 1000), st.booleans()), max_size=6),
    st.integers(0, 1000),
)
def test_drops_are_allotted_once_and_to_what_arrived(
    n_own: int, drop_outs: list[tuple[int, bool]], n_scattered: int
) -> None:
    found, of_scattered = allot(n_own, drop_outs, n_scattered)
    room = [n if has_arrived else 0 for n, has_arrived in drop_outs]
    assert all(0 <= n <= most for n, most in zip(found, room, strict=True))
    assert 0 <= of_scattered <= n_scattered
    assert sum(found) + of_scattered == min(n_own, sum(room) + n_scattered)


def test_a_few_damaged_records_explain_no_drop_out() -> None:
    run = POSITIVE["link-flap"][1]()
    run.unreadable = 20
    assert [each.name for each in verdicts(run)] == [each.name for each in verdicts(POSITIVE["link-flap"][1]())]


def test_an_outage_says_what_is_known_of_the_sender() -> None:
    run = POSITIVE["outage"][1]()
    assert "they left the sender's host" in verdicts(run)[0].sentence
    run.is_out_watched = False
    assert "by its own log the sender sent them" in verdicts(run)[0].sentence
    run.senders = []
    assert "whether they were sent at all is not known" in verdicts(run)[0].sentence


def test_a_refusal_that_names_its_host_alone_is_of_that_host() -> None:
    run = POSITIVE["membership-limit"][1]()
    run.events = [msgspec.structs.replace(each, text=f"rx: {each.text}", receiver="") for each in run.events]
    (first, *_) = verdicts(run)
    assert first.sentence.startswith("The kernel refused receiver rx one more group")
    assert any("21 groups were joined, igmp_max_memberships is 20" in text for text in first.evidence_for)


def test_short_drop_outs_of_a_full_buffer_are_no_membership_s() -> None:
    run = Run()
    run.gap(9.54, 9.66).stream.own_buffer = 12  # too short for any witness, and a lifetime after a report
    run.counters["RcvbufErrors"] = 12
    assert [each.name for each in verdicts(run)] == ["receiver-overflow"]


def test_a_renamed_scenario_tells_nothing() -> None:
    for case, (_, make) in POSITIVE.items():
        plain, told = make(), make()
        told.notes["event"] = [{"action": "impair", "at": "3s", "impair": {"kind": "link-down", "at": "rx:eth0"}}]
        told.event(3.0, "note", "impair: link-down rx:eth0 down")
        told.event(3.0, "impair", "link-down rx:eth0 down")
        assert verdicts(plain) == verdicts(told), case


def test_what_is_missing_is_named() -> None:
    run = POSITIVE["blind"][1]()
    (first, *_) = verdicts(run)
    assert first.name == "cannot-tell"
    assert "no word from the capture tap" in first.sentence
    assert "not known here: the capture tap" in first.settled_by
    assert "a capture of IGMP and MLD" in first.settled_by


def test_every_row_is_whole() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert all((rule.sentence, rule.evidence, rule.settled_by, rule.remedy, rule.source)), rule.name
        assert rule.symptoms, rule.name


def test_every_row_has_a_positive_case_and_stands_in_the_catalogue() -> None:
    names = {rule.name for rule in RULES}
    assert {name for name, _ in POSITIVE.values()} == names
    assert [row.name for row in catalogue()] == ["ok", *(rule.name for rule in RULES)]
    assert not any("{" in row.sentence + row.remedy for row in catalogue())


def test_evidence_has_figures_and_times() -> None:
    (first, *_) = verdicts(POSITIVE["link-flap"][1]())
    assert any("no carrier" in text and ":" in text for text in first.evidence_for)
    assert at(8.0) < at(10.0)


@pytest.mark.parametrize("case", POSITIVE)
def test_the_same_evidence_gives_the_same_verdicts(case: str) -> None:
    _, make = POSITIVE[case]
    assert verdicts(make()) == verdicts(make())


@pytest.mark.parametrize("case", POSITIVE)
def test_evidence_of_a_stranger_changes_nothing_about_the_first(case: str) -> None:
    name, make = POSITIVE[case]
    run = make()
    run.snapshots["stranger"] = {
        "counters": {"ip": {"IPReversePathFilter": 1}},
        "interfaces": {"eth9": {"index": 3, "addresses": [{"address": "192.0.2.7", "prefix": 24}]}},
        "firewall": {"nft": [drop_rule(3)]},
    }
    run.afters["stranger"] = {
        "counters": {"ip": {"IPReversePathFilter": 4_000}},
        "firewall": {"nft": [drop_rule(9_000)]},
    }
    run.hosts.append({"name": "stranger"})
    run.event(5.0, "route", "stranger: 192.0.2.0/24 added").event(
        8.0, "address", "stranger: 192.0.2.9/24 added on eth9"
    )
    if case != "source-changed":
        run.event(8.2, "link", "stranger: eth9 down (no carrier)")
    assert verdicts(run)[0].name == name


def test_a_report_that_left_by_the_wrong_interface_tells_as_well_as_the_table() -> None:
    run = POSITIVE["wrong-interface"][1]()
    run.snapshots["rx"]["memberships"]["inet"].clear()
    run.reported_on = "rx:eth1"
    first = verdicts(run)[0]
    assert first.name == "joined-wrong-interface"
    assert "joined on eth1" in first.evidence_for[0]


def test_a_querier_that_asks_more_often_than_it_says_is_missed_as_soon() -> None:
    run = Run()
    run.queries, run.reports = [1.3, 2.8, 4.3, 5.8], [-0.5, 1.5, 2.9, 4.4, 5.9]
    run.stated_every = 125.0
    run.gap(12.4, 20.0, *UPSTREAM, kind="stopped")
    assert verdicts(run)[0].name == "querier-lost"


def test_a_sender_that_goes_on_from_another_address_is_heard_where_any_source_will_do() -> None:
    run = Run()
    run.streams = [Stream(run).gap(8.0, 20.0, "stopped"), Stream(run, source="10.0.0.9").gap(0.0, 8.0, "late_start")]
    run.streams[0].last_rx, run.streams[1].first_rx = 8.0, 8.0
    assert [each.name for each in verdicts(run)] == ["ok"]


def test_streams_that_meet_a_full_queue_together_share_a_bottleneck() -> None:
    run = Run()
    run.senders.append(run.sender(epoch=2, group="239.1.1.2:5000"))
    run.streams.append(Stream(run, epoch=2, group="239.1.1.2:5000"))
    for epoch, refused in ((1, 14), (2, 900)):
        run.accounts[epoch] = {"sent": 2000 - refused, "refused": refused, "errnos": {"ENOBUFS": refused}}
        run.streams[epoch - 1].not_sent = refused
    assert verdicts(run)[0].name == "not-sent"
    run.after("tx")["qdiscs"][0]["drops"] = 4800
    assert verdicts(run)[0].name == "shared-bottleneck"


def test_a_filter_that_was_gone_by_the_end_is_still_suspected() -> None:
    run = Run().gap(8.0, 10.0, *SOCKETS, "unicast-twin")
    first = verdicts(run)[0]
    assert first.name == "host-filter"
    assert "none that drops was there" in first.settled_by


def test_a_downgrade_beats_the_reports_that_the_switch_ignored() -> None:
    run = Run()
    run.receivers = [msgspec.structs.replace(run.receivers[0], source="10.0.0.1")]
    run.after("rx")["memberships"]["inet"][0]["version"] = "V2"
    run.gap(9.54, 12.31, *UPSTREAM)
    assert verdicts(run)[0].name == "igmp-downgraded"


def test_packets_in_the_bin_where_the_way_changed_do_not_hide_the_other_way() -> None:
    run = POSITIVE["vpn-route"][1]()
    run.out = {"eth0": [(0.0, 8.05), (9.95, 20.0)], "tun0": [(8.0, 10.0)]}
    assert verdicts(run)[0].name == "egress-moved"


def deafened_by_queries() -> Run:
    """A receiver that hears no query after 3.2 s, and goes silent when its last report has run out."""
    run = Run().gap(9.54, 20.0, *UPSTREAM, kind="stopped")
    run.queries, run.reports = [0.2, 3.2], [-0.5, 0.3, 3.3]
    return run


def test_an_interface_elsewhere_on_the_network_tells_who_did_not_ask() -> None:
    silent, asked = deafened_by_queries(), deafened_by_queries()
    asked.other_queries = [0.2 + 3 * k for k in range(7)]
    assert verdicts(silent)[0].name == "querier-lost"
    assert any("no other interface of this network" in text for text in verdicts(silent)[0].evidence_for)
    assert verdicts(asked)[0].name == "queries-not-reaching-host"
    assert any("another interface of this network heard 2" in text for text in verdicts(asked)[0].evidence_for)


@pytest.mark.parametrize("way", ["other network", "no tap", "no address"])
def test_an_interface_that_cannot_hear_this_network_s_queries_tells_nothing(way: str) -> None:
    told = []
    for other_queries in ([], [0.2 + 3 * k for k in range(7)]):
        run = deafened_by_queries()
        run.other_queries = other_queries
        if way == "other network":
            run.snapshots["tx"] = snapshot("10.9.0.1")
        elif way == "no tap":
            run.is_out_watched = False
        else:
            run.snapshots["tx"]["interfaces"]["eth0"]["addresses"] = []
        told.append(verdicts(run))
    assert told[0] == told[1]
    assert "no other tap on this network" in told[0][0].settled_by
