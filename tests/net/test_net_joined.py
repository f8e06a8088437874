"""Which datagrams were asked for: the table against a slow and obvious rule."""

import ipaddress

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model import DATAGRAM_DTYPE, IPAddress, address_bytes
from harness.net.joined import Wanted, WantedTable

GROUPS = [ipaddress.ip_address(text) for text in ("239.1.1.1", "239.1.1.2", "10.0.0.1", "ff15::1", "ff02::1")]
SOURCES = [ipaddress.ip_address(text) for text in ("10.0.0.7", "10.0.0.8", "fd00::7")]
FOREVER = 2**63 - 1
Row = tuple[IPAddress | None, int, IPAddress | None, int]

wanted_entries = st.lists(
    st.builds(
        Wanted,
        st.sampled_from(GROUPS),
        st.integers(0, 3),
        st.sampled_from([None, *SOURCES]),
        st.sampled_from([50, 100, FOREVER]),
    ),
    max_size=8,
)
rows = st.lists(
    st.tuples(
        st.sampled_from([None, *GROUPS]), st.integers(0, 3), st.sampled_from(SOURCES), st.sampled_from([0, 50, 51, 101])
    ),
    min_size=1,
    max_size=10,
)


def is_asked_for(wanted: list[Wanted], row: Row) -> bool:
    destination, ifindex, source, rx_ns = row
    if not wanted or destination is None:
        return True
    for one in wanted:
        is_source = one.source is None or one.source == source
        is_interface = one.ifindex == 0 or ifindex in (0, one.ifindex)
        if one.destination == destination and is_source and is_interface and rx_ns <= one.until_ns:
            return True
    return False


@settings(max_examples=300, deadline=None)
@given(wanted=wanted_entries, batch=rows)
def test_the_table_follows_the_rule(wanted: list[Wanted], batch: list[Row]) -> None:
    meta = np.zeros(len(batch), DATAGRAM_DTYPE)
    for record, (destination, ifindex, source, rx_ns) in zip(meta, batch, strict=True):
        if destination is not None:
            record["destination"] = np.frombuffer(address_bytes(destination), np.uint8)
        if source is not None:
            record["source"] = np.frombuffer(address_bytes(source), np.uint8)
        record["ifindex"], record["rx_ns"], record["source_port"], record["size"] = ifindex, rx_ns, 77, 1234
    assert WantedTable(wanted).is_stray(meta).tolist() == [not is_asked_for(wanted, row) for row in batch]


def test_a_thousand_destinations_are_told_apart() -> None:
    addresses = [ipaddress.ip_address(0xEF000000 + n) for n in range(2000)]
    table = WantedTable([Wanted(address, 5) for address in addresses[::2]])
    meta = np.zeros(2000, DATAGRAM_DTYPE)
    meta["destination"] = [np.frombuffer(address_bytes(address), np.uint8) for address in addresses]
    meta["ifindex"] = 5
    assert table.is_stray(meta).tolist() == [False, True] * 1000
    meta["ifindex"] = 6
    assert table.is_stray(meta).all()


def test_an_empty_batch_has_no_strays() -> None:
    empty = np.zeros(0, DATAGRAM_DTYPE)
    for wanted in ([], [Wanted(GROUPS[0])], [Wanted(GROUPS[0]), Wanted(GROUPS[1])]):
        assert WantedTable(wanted).is_stray(empty).tolist() == []
