"""How much of a capture's membership messages is kept."""

import ipaddress
from pathlib import Path

import pytest
from capture_files import Frame, enhanced, ethernet, interface, ip4, section

from harness.capture import Skip, open_capture, reader
from protocols.igmp import build_igmp
from protocols.membership import Leave


def test_messages_beyond_a_number_of_bytes_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_MEMBERSHIP_BYTES", 25)
    message = build_igmp(Leave(2, ipaddress.IPv4Address("239.1.2.3")))
    frame = Frame(ethernet(ip4(message, bytes([10, 0, 0, 1]), bytes([224, 0, 0, 2]), protocol=2, ttl=1)))
    path = tmp_path / "many.pcapng"
    path.write_bytes(section() + interface() + enhanced(frame) * 5)
    capture = open_capture(path)
    capture.scan()
    assert len(capture.memberships) == 3
    assert capture.counters == {Skip.TOO_MANY_MEMBERSHIPS: 2}
