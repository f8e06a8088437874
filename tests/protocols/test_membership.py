"""IGMP and MLD: golden messages, both directions, versions by length, floating-point codes, hostile input.

The golden messages were built with scapy 2.8 and read with tshark.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.igmp import build_igmp, parse_igmp
from protocols.membership import (
    Leave,
    Message,
    MessageError,
    Query,
    Record,
    RecordKind,
    Report,
    decode_code,
    encode_code,
)
from protocols.mld import build_mld, parse_mld

G4, S4 = IPv4Address("239.1.2.3"), IPv4Address("232.1.1.1")
G6, S6 = IPv6Address("ff15::7"), IPv6Address("ff35::1")
HOST4, HOST6 = IPv4Address("10.0.0.1"), IPv6Address("2001:db8::1")
LINK6, ALL_ROUTERS6 = IPv6Address("fe80::1"), IPv6Address("ff02::16")

IGMP: list[tuple[str, Message]] = [
    ("1100eeff00000000", Query(1, None, 10.0, is_checksum_valid=True)),
    ("1164ee9b00000000", Query(2, None, 10.0, is_checksum_valid=True)),
    (
        "1181e6e4e80101010a9200020a0000010a000002",
        Query(3, S4, 13.6, (HOST4, IPv4Address("10.0.0.2")), True, 2, 288, True),
    ),
    ("1600f8faef010203", Report(2, (Record(RecordKind.MODE_IS_EXCLUDE, G4),), True)),
    ("1700f7faef010203", Leave(2, G4, True)),
    (
        "2200f0f30000000204000000ef01020305000001e80101010a000001",
        Report(
            3,
            (Record(RecordKind.CHANGE_TO_EXCLUDE, G4), Record(RecordKind.ALLOW_NEW_SOURCES, S4, (HOST4,))),
            True,
        ),
    ),
]
MLD: list[tuple[str, str, Message]] = [
    ("ff02::1", "820059172710000000000000000000000000000000000000", Query(1, None, 10.0, is_checksum_valid=True)),
    (
        "ff15::7",
        "83007ff100000000ff150000000000000000000000000007",
        Report(1, (Record(RecordKind.MODE_IS_EXCLUDE, G6),), True),
    ),
    ("ff02::2", "84007f0900000000ff150000000000000000000000000007", Leave(1, G6, True)),
    (
        "ff35::1",
        "8200b87090000000ff3500000000000000000000000000010a7d000120010db8000000000000000000000001",
        Query(2, S6, 65.536, (HOST6,), True, 2, 125, True),
    ),
    (
        "ff02::16",
        "8f003dd90000000204000000ff15000000000000000000000000000705000001ff35000000000000000000000000000120010db8000000000000000000000001",
        Report(
            2,
            (Record(RecordKind.CHANGE_TO_EXCLUDE, G6), Record(RecordKind.ALLOW_NEW_SOURCES, S6, (HOST6,))),
            True,
        ),
    ),
]


@pytest.mark.parametrize(("packet", "message"), IGMP)
def test_igmp_golden_messages_both_ways(packet: str, message: Message) -> None:
    assert parse_igmp(bytes.fromhex(packet)) == message
    assert build_igmp(message).hex() == packet


@pytest.mark.parametrize(("destination", "packet", "message"), MLD)
def test_mld_golden_messages_both_ways(destination: str, packet: str, message: Message) -> None:
    assert parse_mld(bytes.fromhex(packet), LINK6, IPv6Address(destination)) == message
    assert build_mld(message, LINK6, IPv6Address(destination)).hex() == packet


def test_igmp_version_1_report() -> None:
    message = Report(1, (Record(RecordKind.MODE_IS_EXCLUDE, G4),), True)
    assert build_igmp(message)[0] == 0x12
    assert parse_igmp(build_igmp(message)) == message


def test_a_damaged_message_is_read_and_marked() -> None:
    packet = bytearray.fromhex(IGMP[4][0])
    packet[7] ^= 1
    assert parse_igmp(bytes(packet)) == Leave(2, IPv4Address("239.1.2.2"), False)
    destination, text, _ = MLD[2]
    packet = bytearray.fromhex(text)
    packet[23] ^= 1
    damaged = parse_mld(bytes(packet), LINK6, IPv6Address(destination))
    assert damaged.is_checksum_valid is False


def test_mld_checksum_is_unknown_without_the_addresses() -> None:
    assert parse_mld(bytes.fromhex(MLD[0][1])).is_checksum_valid is None


def test_mld_ignores_the_code_as_receivers_must() -> None:
    packet = bytearray.fromhex(MLD[2][1])
    packet[1] = 9
    assert parse_mld(bytes(packet)) == Leave(1, G6)


def test_bytes_beyond_the_fields_only_count_for_the_checksum() -> None:
    padded = bytes.fromhex(IGMP[5][0]) + b"\x00" * 6
    assert parse_igmp(padded) == IGMP[5][1]


def test_record_of_unknown_type_and_auxiliary_data_survive() -> None:
    message = Report(3, (Record(9, G4, (HOST4,), b"12345678"), Record(RecordKind.BLOCK_OLD_SOURCES, G4)), True)
    assert parse_igmp(build_igmp(message)) == message


@pytest.mark.parametrize("bits", [4, 12])
def test_codes_go_up_and_encoding_takes_the_next_shorter(bits: int) -> None:
    values = [decode_code(code, bits) for code in range(1 << bits + 4)]
    assert values == sorted(set(values))
    step = max(1, len(values) // 500)
    for code in range(0, len(values) - 1, step):
        assert encode_code(values[code], bits) == code
        assert encode_code(values[code + 1] - 1, bits) == code
    assert encode_code(values[-1] + 10**6, bits) == len(values) - 1


def test_codes_of_the_standards() -> None:
    assert [decode_code(code, 4) for code in (127, 128, 143, 0xFF)] == [127, 128, 248, 31744]
    assert [decode_code(code, 12) for code in (32767, 32768, 0xFFFF)] == [32767, 32768, 8387584]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        ("", "too short"),
        ("1164ee9b000000", "too short"),
        ("1164ee9b0000000000", "fits no version"),
        ("1164ee9b000000000000ffff", "cut off"),
        ("2200000000000001", "cut off"),
        ("220000000000000104000003ef010203", "cut off"),
        ("2200000000000001040f0000ef010203", "cut off"),
        ("1300000000000000", "type 0x13"),
    ],
)
def test_igmp_that_is_none(packet: str, reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        parse_igmp(bytes.fromhex(packet))


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        ("82", "too short"),
        ("8700000000000000", "type 135 is not MLD"),
        ("82" + "00" * 22, "cut off"),
        ("82" + "00" * 24, "fits no version"),
        ("82" + "00" * 25 + "ffff", "cut off"),
        ("8f00000000000001", "cut off"),
    ],
)
def test_mld_that_is_none(packet: str, reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        parse_mld(bytes.fromhex(packet))


@pytest.mark.parametrize(
    "message",
    [
        Leave(3, G4),
        Leave(2, G6),
        Report(2, ()),
        Report(4, ()),
        Report(3, (Record(RecordKind.MODE_IS_INCLUDE, G6),)),
        Report(3, (Record(300, G4),)),
        Report(3, (Record(1, G4, (), b"123"),)),
        Query(3, S4, 1.0, (HOST6,)),
        Query(3, S4, 1.0, robustness=8),
        Query(4, None, 1.0),
    ],
)
def test_igmp_that_cannot_be_said(message: Message) -> None:
    with pytest.raises(MessageError, match=f"no IGMPv{message.version} message can say"):
        build_igmp(message)


@pytest.mark.parametrize(
    "message", [Leave(2, G6), Leave(1, G4), Report(1, ()), Query(2, S6, 1.0, (HOST4,)), Report(3, ())]
)
def test_mld_that_cannot_be_said(message: Message) -> None:
    with pytest.raises(MessageError, match=f"no MLDv{message.version} message can say"):
        build_mld(message, LINK6, ALL_ROUTERS6)


def addresses(version: int) -> st.SearchStrategy[Any]:
    return st.integers(1, 2**32 - 1).map(IPv4Address) if version == 4 else st.integers(1, 2**128 - 1).map(IPv6Address)


@settings(max_examples=80, deadline=None)
@given(st.data(), st.sampled_from([4, 6]))
def test_any_report_survives_both_ways(data: st.DataObject, version: int) -> None:
    address = addresses(version)
    record = st.builds(
        Record,
        st.sampled_from(RecordKind),
        address,
        st.lists(address, max_size=4).map(tuple),
        st.integers(0, 3).map(lambda words: b"aux." * words),
    )
    records = tuple(data.draw(st.lists(record, max_size=5)))
    if version == 4:
        assert parse_igmp(build_igmp(Report(3, records))) == Report(3, records, True)
    else:
        packet = build_mld(Report(2, records), LINK6, ALL_ROUTERS6)
        assert parse_mld(packet, LINK6, ALL_ROUTERS6) == Report(2, records, True)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"", b"\x11", b"\x22", b"\x16", b"\x82", b"\x8f", b"\x83"]))
def test_hostile_bytes_give_a_message_or_a_message_error(noise: bytes, first: bytes) -> None:
    for parse in (parse_igmp, parse_mld):
        found: object
        try:
            found = parse(first + noise)
        except MessageError as exc:
            found = exc
        assert isinstance(found, Query | Report | Leave | MessageError)
        assert "\n" not in str(found)
