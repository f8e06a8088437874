"""Messages made to hurt: any bytes, too many members, too many groups. Nothing raises and everything has a bound."""

import ipaddress
import random
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analyzer import membership, membership_members, membership_timeline
from harness.capture import MembershipMessage
from harness.model import MembershipTimeline
from protocols.igmp import build_igmp
from protocols.membership import Query, Record, RecordKind, Report

S = 1_000_000_000


def raw(t_ns: int, source: int, payload: bytes, ifindex: int = 1) -> MembershipMessage:
    host, group = ipaddress.IPv4Address(source), ipaddress.IPv4Address("224.0.0.22")
    return MembershipMessage("igmp", t_ns, host, group, 1, ifindex, payload, False)


def with_checksum(payload: bytes) -> bytes:
    total = sum(int.from_bytes(payload[i : i + 2].ljust(2, b"\0")) for i in range(0, len(payload), 2) if i != 2)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return payload[:2] + (0xFFFF - total).to_bytes(2) + payload[4:]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-(2**62), 2**62),
            st.integers(0, 3),
            st.sampled_from([0x11, 0x12, 0x16, 0x17, 0x22, 0x30]),
            st.binary(min_size=0, max_size=40),
            st.integers(0, 3),
        ),
        max_size=25,
    )
)
def test_any_bytes_give_a_timeline_that_holds_together(items: list[tuple[int, int, int, bytes, int]]) -> None:
    messages = [
        raw(t, host, with_checksum(bytes([kind]) + rest.ljust(3, b"\0")), i) for t, host, kind, rest, i in items
    ]
    found = membership_timeline(messages)
    if found is None:
        assert not messages
        return
    assert msgspec.json.decode(msgspec.json.encode(found), type=MembershipTimeline) == found
    assert sum(found.unused.values()) <= found.messages == len(messages)
    for member in found.members:
        for item in member.intervals:
            assert item.start == "before" or item.end_ns is None or item.start_ns <= item.end_ns
            assert (item.end == "unknown") == (item.end_ns is None)
        edges = [edge for item in member.intervals for edge in (item.start_ns, item.end_ns) if edge is not None]
        assert edges == sorted(edges)


def test_members_beyond_the_bound_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership_members, "MAX_MEMBERS", 10)
    payload = build_igmp(Report(2, (Record(RecordKind.MODE_IS_EXCLUDE, ipaddress.ip_address("239.1.1.1")),)))
    found = membership_timeline([raw(S, host, payload) for host in range(1, 31)])
    assert found is not None
    assert len(found.members) == 10
    assert found.notes == ["20 group records beyond the first 10 members left out"]


def test_messages_beyond_the_bound_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MAX_RECORDS", 5)
    payload = build_igmp(Query(2, None, 10.0))
    found = membership_timeline([raw(k * S, 1, payload) for k in range(8)])
    assert found is not None
    assert found.queriers[0].general == 5
    assert found.unused == {"beyond what is followed": 3}
    assert found.notes == ["3 membership messages not followed: beyond 5 records on 1,024 interfaces"]


def test_interfaces_beyond_the_bound_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MAX_LINKS", 2)
    payload = build_igmp(Query(2, None, 10.0))
    found = membership_timeline([raw(S, 1, payload, k) for k in range(1, 5)], names={k: f"eth{k}" for k in range(5)})
    assert found is not None
    assert len(found.links) == 2
    assert found.unused == {"beyond what is followed": 2}


def test_reports_of_very_many_members_take_bounded_time() -> None:
    rng = random.Random(4)
    payload = build_igmp(Report(2, (Record(RecordKind.MODE_IS_EXCLUDE, ipaddress.ip_address("239.1.1.1")),)))
    messages = [raw(k, rng.randrange(1, 10**6), payload) for k in range(12_000)]
    begin = time.perf_counter()
    found = membership_timeline(messages)
    assert time.perf_counter() - begin < 10
    assert found is not None
    assert len(found.members) <= membership_members.MAX_MEMBERS
    assert any("not followed" in note for note in found.notes)
