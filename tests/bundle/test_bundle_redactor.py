"""The redactor: consistent, injective, idempotent; fields keep their width; spellings of one value share a token."""

from __future__ import annotations

import ipaddress
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bundle import Redactor
from harness.bundle.addresses import Addresses, eui64_of, stays_mac, stays_v4
from harness.model import Event, Summary
from harness.model.scenario import Host

V4 = st.ip_addresses(v=4)
V6 = st.ip_addresses(v=6) | st.integers(0, 2**64 - 1).map(lambda low: ipaddress.IPv6Address((0xFE80 << 112) | low))
MAC = st.binary(min_size=6, max_size=6)
NAME = st.from_regex(r"[a-z][a-z0-9]{1,9}(-[a-z][a-z0-9]{1,4})?", fullmatch=True)


def kept_v6(address: ipaddress.IPv6Address) -> bool:
    """The rule once more, by the library's words and the RFCs' prefixes."""
    stays = [ipaddress.IPv6Network(text) for text in ("fe80::/10", "fc00::/7", "ff00::/8", "2001:db8::/32", "::/127")]
    return any(address in network for network in stays)


@settings(max_examples=60, deadline=None)
@given(st.lists(V4 | V6 | MAC, min_size=1, max_size=30))
def test_addresses_are_replaced_one_to_one_and_once_for_all(values: list[object]) -> None:
    addresses = Addresses()
    pairs = []
    for value in values:
        if isinstance(value, bytes):
            pairs.append((addresses.learn_mac, addresses.mac, int.from_bytes(value)))
        elif isinstance(value, ipaddress.IPv4Address):
            pairs.append((addresses.learn_v4, addresses.v4, int(value)))
        else:
            assert isinstance(value, ipaddress.IPv6Address)
            pairs.append((addresses.learn_v6, addresses.v6, int(value)))
    for learn, _, number in pairs:
        learn(number)
    images: dict[str, dict[int, int]] = {}
    for _, turn, number in pairs:
        once = turn(number)
        assert turn(number) == once, "the same value, the same token"
        assert turn(once) == once, "a token stays"
        images.setdefault(turn.__name__, {})[number] = once
    for image in images.values():
        assert len(set(image.values())) == len(image), "two values, two tokens"


@settings(max_examples=60, deadline=None)
@given(V4, V6, MAC)
def test_what_identifies_is_replaced_and_nothing_else(
    v4: ipaddress.IPv4Address, v6: ipaddress.IPv6Address, mac: bytes
) -> None:
    addresses = Addresses()
    addresses.learn_v4(int(v4))
    addresses.learn_v6(int(v6))
    addresses.learn_mac(int.from_bytes(mac))
    is_kept = not v4.is_global or v4.is_multicast or v4.is_reserved
    assert stays_v4(int(v4)) == (addresses.v4(int(v4)) == int(v4))
    assert is_kept or addresses.v4(int(v4)) != int(v4)
    if not kept_v6(v6) and v6.ipv4_mapped is None:
        assert ipaddress.IPv6Address(addresses.v6(int(v6))) in ipaddress.IPv6Network("2001:db8::/32")
    number = int.from_bytes(mac)
    assert (addresses.mac(number) == number) == (stays_mac(number))
    assert bool(mac[0] & 1) <= stays_mac(number), "a group's address is nobody's"


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["host", "user", "ssid", "serial"]), NAME), max_size=6),
    st.lists(V4, max_size=4),
    MAC,
)
def test_texts_are_redacted_consistently_and_stay_so(
    names: list[tuple[str, str]], v4: list[ipaddress.IPv4Address], mac: bytes
) -> None:
    taken = "host-1 user-2 192.0.2.1 02:00:00:00:00:01"
    document = {
        "said": [{kind: name} for kind, name in names],
        "text": " ".join([*(f"<{name}>" for _, name in names), *map(str, v4), mac.hex(":")]),
        "taken": taken,
    }
    redactor = Redactor()
    redactor.learn(document)
    once = redactor.value(document)
    assert redactor.value(once) == once
    assert redactor.value(document) == once
    tokens = [token for pairs in redactor.mapping().values() for token in pairs.values()]
    assert len(set(tokens)) == len(tokens)
    assert not set(tokens) & set(taken.split()), "a token never is what somebody is called already"
    for kind, name in names:
        mapping = redactor.mapping()
        known = {each.casefold() for pairs in mapping.values() for each in pairs}
        if name in known:
            assert f"<{name}>" not in json.dumps(once), (kind, name)


@settings(max_examples=60, deadline=None)
@given(MAC)
def test_every_spelling_of_a_hardware_address_follows(mac: bytes) -> None:
    number = int.from_bytes(mac)
    eui = eui64_of(number).to_bytes(8)
    link_local = ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + eui)
    bare = mac.hex()
    spellings = [
        mac.hex(":"),
        mac.hex("-"),
        f"{bare[:4]}.{bare[4:8]}.{bare[8:]}",
        f"enx{bare}",
        f"x{bare}y",
        str(link_local),
    ]
    redactor = Redactor()
    redactor.learn(spellings[:1])
    shown = [redactor.text(text) for text in spellings]
    token = bytes.fromhex(shown[0].replace(":", ""))
    assert len(token) == 6
    assert [len(text) for text in shown[:5]] == [len(text) for text in spellings[:5]]
    assert [re.sub(r"[-:.xy]|^en", "", text) for text in shown[1:5]] == [token.hex()] * 4
    if not mac[0] & 1:
        assert ipaddress.IPv6Address(shown[5]).packed[8:] == eui64_of(int.from_bytes(token)).to_bytes(8)


@pytest.mark.parametrize(
    "text",
    [
        "12:30:45.123", "2026-11-22 20:02:41", "version 6.18.44", "std::vector", "::1", "10.0.0.1:5004", "ff15::7",
        "239.1.2.3", "255.255.255.0", "fe80::1%eth0", "1.5/10 lost", "0000000C", "01:00:5e:01:02:03", "a:b", "",
        "00000000-0000-0000-0000-000000000000", "999.1.2.3",
    ],
)  # fmt: skip
def test_what_only_looks_like_an_address_stays(text: str) -> None:
    redactor = Redactor()
    redactor.learn(text)
    assert redactor.text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("8.8.8.8.53 > 10.0.0.1", "192.0.2.1.53 > 10.0.0.1"),
        ("v8.8.8.8/24", "v192.0.2.1/24"),
        ("8.8.8/24 link#4", "192.0.2.1/24 link#4"),
        ("[2606:4700::11]:53", "[2001:db8:0:1::1]:53"),
        ("2606:4700::11.53", "2001:db8:0:1::1.53"),
        ("::ffff:8.8.8.8", "::ffff:192.0.2.1"),
        ("0A080808:0035 0808080A", "010200C0:0035 C0000201"),
        ("0:1c:42:0:0:8", "02:00:00:00:00:01"),
        ("ff:12:34:56:00:1c:42:00:00:08", "ff:12:34:56:02:00:00:00:00:01"),
        ("00:1c:42:ff:fe:00:00:08", "02:00:00:ff:fe:00:00:01"),
        ("550E8400-E29B-41D4-A716-446655440000", "00000000-0000-4000-8000-000000000001"),
    ],
)
def test_spellings_of_tools(text: str, shown: str) -> None:
    redactor = Redactor()
    redactor.learn(text)
    assert redactor.text(text) == shown


def test_a_name_is_replaced_in_every_escape_and_a_short_one_as_a_word_only() -> None:
    redactor = Redactor()
    redactor.learn({"ssid": 'Café "5G" & co', "user": "al", "hostname": "Desk-Seven.corp.example"})
    shown = redactor.value(
        [
            "Café \"5G\" & co", json.dumps("Café \"5G\" & co"), "Caf%C3%A9%20%225G%22%20%26%20co",
            "Café &quot;5G&quot; &amp; co", "al", "normal", "al_notes", "desk-seven", "DESK-SEVEN.local",
            "x.corp.example",
        ]
    )  # fmt: skip
    assert shown[:4] == ["ssid-1", '"ssid-1"', "ssid-1", "ssid-1"]
    assert shown[4:] == ["user-1", "normal", "user-1_notes", "host-1", "host-1.local", "x.domain-1"]


def test_names_of_everybody_stay() -> None:
    redactor = Redactor()
    redactor.learn({"user": "root", "host": "localhost", "path": "/Users/Shared/x", "ssid": "", "serial": "None"})
    assert redactor.text("root at localhost in /Users/Shared") == "root at localhost in /Users/Shared"
    assert not any(redactor.mapping().values())


def test_vocabulary_of_a_noun_stays_even_if_a_machine_is_called_so() -> None:
    redactor = Redactor()
    redactor.learn({}, [("host", "local"), ("host", "namespace"), ("user", "Mia")])
    shown = redactor.noun(Host(name="namespace", kind="namespace", namespace="of mia"))
    assert (shown.kind, shown.namespace) == ("namespace", "of user-1")
    assert shown.name == "host-1" or shown.name == "host-2"
    event = redactor.noun(Event(t_ns=5, kind="note", text="MIA"))
    assert (event.t_ns, event.text) == (5, "user-1")


def test_nothing_learned_changes_nothing_but_addresses() -> None:
    redactor = Redactor()
    assert redactor.text("a plain text") == "a plain text"
    assert redactor.value({"n": 5, "b": True, "none": None, "f": 0.5}) == {"n": 5, "b": True, "none": None, "f": 0.5}
    assert Summary.__struct_fields__[0] == "version"
