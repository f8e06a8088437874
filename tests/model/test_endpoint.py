import pytest

from harness.errors import UsageError
from harness.model import Endpoint, Membership, parse_address, parse_endpoint


@pytest.mark.parametrize(
    ("text", "version", "is_multicast", "zone"),
    [
        ("239.1.2.3:5000", 4, True, None),
        ("10.0.0.1:1", 4, False, None),
        ("[ff15::7]:65535", 6, True, None),
        ("[ff02::1%eth0]:5000", 6, True, "eth0"),
        ("255.255.255.255:9", 4, False, None),
    ],
)
def test_endpoint_reads_and_prints_itself(text: str, version: int, is_multicast: bool, zone: str | None) -> None:
    endpoint = parse_endpoint(text)
    assert (str(endpoint), endpoint.version, endpoint.is_multicast, endpoint.zone) == (
        text,
        version,
        is_multicast,
        zone,
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("239.1.2.3", "no port; write GROUP:PORT, for example 239.1.2.3:5000"),
        ("ff15::7", r"no port; write GROUP:PORT, for example \[ff15::7\]:5000"),
        ("ff15::7:5000", r"stands in brackets; write \[ff15::7\]:5000"),
        ("239.1.2.3:0", "port '0' is not a number from 1 to 65535"),
        ("239.1.2.3:65536", "1 to 65535"),
        ("239.1.2.3:http", "1 to 65535"),
        ("239.1.2.3:", "1 to 65535"),
        ("239.1.2:5000", "not an IPv4 or IPv6 address"),
        ("console.local:5000", "names are not looked up"),
        ("239.1.2.3:٣", "1 to 65535"),
        ("", "no port"),
    ],
)
def test_mistake_in_an_endpoint_is_one_clear_line(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_endpoint(text)


def test_source_of_another_family_is_refused() -> None:
    with pytest.raises(UsageError, match="different IP versions"):
        Membership(parse_endpoint("239.1.2.3:5000"), source=parse_address("::1"))


def test_source_that_is_a_group_is_refused() -> None:
    with pytest.raises(UsageError, match="unicast address"):
        Membership(Endpoint(parse_address("232.1.2.3"), 5000), source=parse_address("239.1.1.1"))
