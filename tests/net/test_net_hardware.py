"""Stamps of network cards: what drivers answer, recorded and made up, and the card's clock against realtime."""

import errno
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from net_helpers import close_all, next_port, payloads, read_all

from harness.errors import HarnessError, InterfaceError, UsageError
from harness.model import Membership, PacketFlag, parse_endpoint
from harness.net import _hardware, batch
from harness.net._control import ControlParser
from harness.net._darwin import DarwinPlatform
from harness.net._hardware import Comparison, HardwareClock, open_hardware_clock, parse_comparison, parse_offer
from harness.net._linux import SO_TIMESTAMPING, LinuxPlatform
from harness.net._slots import ALL_CONTROL_BYTES
from harness.net._windows import WindowsPlatform
from harness.net.batch import PathChoice
from harness.net.opening import open_receiver
from harness.net.platform import PLATFORM

S, MS = 10**9, 10**6
LOOPBACK = bytes.fromhex("41000000 1a000000 ffffffff" + 32 * "00")
"""What the loopback answers: software stamps only."""
CARD = struct.pack("=IIiI3II3I", 0x41, 0x7F, 3, 3, 0, 0, 0, 0b11, 0, 0, 0)
"""A card as most are: every kind of stamp, filters none and all."""
PTP_ONLY = struct.pack("=IIiI3II3I", 0x41, 0x7F, 0, 3, 0, 0, 0, 1 << 12 | 1, 0, 0, 0)


def test_offers_are_read_from_the_drivers_answer() -> None:
    loopback, card, ptp_only = map(parse_offer, (LOOPBACK, CARD, PTP_ONLY))
    assert loopback.capabilities == ("software-transmit", "software-receive", "software-system-clock")
    assert (loopback.phc_index, loopback.stamps_all, loopback.has_hardware) == (-1, False, False)
    assert card.capabilities == _hardware._CAPABILITIES
    assert (card.phc_index, card.stamps_all, card.has_hardware) == (3, True, True)
    assert not ptp_only.has_hardware  # it stamps what PTP sends, not what we do


@pytest.mark.skipif(PLATFORM.name != "linux", reason="needs Linux")
def test_the_loopback_offers_software_only_and_says_so() -> None:
    assert _hardware.device_ioctl("lo", 0x8946, struct.pack("=I40x", 0x41)) == LOOPBACK
    with pytest.raises(InterfaceError, match=r"^lo has no hardware stamps .*software-receive.*use --stamps kernel$"):
        open_hardware_clock("lo")
    with pytest.raises(InterfaceError, match="no interface nope0"):
        open_hardware_clock("nope0")


class Driver:
    """Answers as the driver of a card does, and notes what is asked."""

    def __init__(self, receive_filter: int = 0, refuse: int = 0) -> None:
        self.config = struct.pack("=iii", 0, 1, receive_filter)
        self.refuse = refuse
        self.n_set = 0

    def ioctl(self, _: str, request: int, argument: bytes) -> bytes:
        if request == 0x8946:
            return CARD
        if request == 0x89B1:
            return self.config
        assert request == 0x89B0
        if self.refuse:
            raise OSError(self.refuse, os.strerror(self.refuse))
        self.config, self.n_set = argument, self.n_set + 1
        return argument


@pytest.fixture
def card_clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stand-ins for /dev/ptp3 and its readings."""
    (tmp_path / "ptp3").touch()
    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, flags: opened(str(path).replace("/dev/", f"{tmp_path}/"), flags))
    monkeypatch.setattr(_hardware, "_read_comparison", lambda _: Comparison(37 * S, 100 * S, 500))


def test_a_card_is_switched_on_and_left_as_it_was(card_clock: None) -> None:
    driver = Driver()
    clock = open_hardware_clock("eth0", driver.ioctl)
    assert struct.unpack("=iii", driver.config) == (0, 1, 1)  # its transmit mode stays
    assert (clock.interface, clock.device, clock.error_bound_ns) == ("eth0", "/dev/ptp3", 500)
    clock.close()
    assert struct.unpack("=iii", driver.config) == (0, 1, 0)


def test_a_card_that_stamps_everything_already_is_left_alone(card_clock: None) -> None:
    driver = Driver(receive_filter=1)
    open_hardware_clock("eth0", driver.ioctl).close()
    assert driver.n_set == 0


def test_refusals_name_the_interface_and_the_remedy(card_clock: None) -> None:
    with pytest.raises(InterfaceError, match=r"^eth0 refuses .*EPERM.*needs root.*--stamps kernel$"):
        open_hardware_clock("eth0", Driver(refuse=errno.EPERM).ioctl)


@pytest.mark.skipif(os.path.exists("/dev/ptp3"), reason="has the clock that must be missing")
def test_a_card_whose_clock_cannot_be_read_is_refused() -> None:
    driver = Driver()
    with pytest.raises(InterfaceError, match=r"^eth0 stamps by the card's own clock /dev/ptp3, which cannot be read"):
        open_hardware_clock("eth0", driver.ioctl)
    assert driver.n_set == 0


def test_the_tightest_sample_of_a_comparison_counts() -> None:
    def at(ns: int) -> tuple[int, int]:
        return ns // S, ns % S

    def answer(*times: int) -> bytes:
        fields = [field for ns in times for field in at(ns)]
        return struct.pack("=I12x" + 51 * "qI4x", (len(times) - 1) // 2, *fields, *(102 - len(fields)) * [0])

    found = parse_comparison(answer(10 * S, 47 * S, 10 * S + 8000, 47 * S + 8100, 10 * S + 10_000))
    assert found == Comparison(37 * S - 900, 47 * S + 8100, 1000)


def clock_of(comparisons: list[Comparison], now: Callable[[], int] = lambda: 0) -> HardwareClock:
    left = iter(comparisons)
    return HardwareClock("eth0", "/dev/ptp0", lambda: next(left), monotonic=now)


def test_stamps_are_moved_by_offset_and_drift() -> None:
    now = [0]
    clock = clock_of(
        [Comparison(37 * S, 100 * S, 300), Comparison(37 * S + 2000, 100 * S + 100 * MS, 400)], lambda: now[0]
    )
    assert clock.realtime_of(np.array([100 * S + 5])).tolist() == [63 * S + 5]
    assert clock.realtime_of(np.zeros(0, np.int64)).tolist() == []
    now[0] = 100 * MS  # compared again: 20 ppm fast
    stamps = np.array([100 * S + 100 * MS, 100 * S + 150 * MS])
    assert clock.realtime_of(stamps).tolist() == [63 * S + 100 * MS - 2000, 63 * S + 150 * MS - 3000]
    assert (clock.first.offset_ns, clock.last.offset_ns) == (37 * S, 37 * S + 2000)
    assert clock.error_bound_ns == 400 + 2000  # until then no drift was known


def test_a_clock_that_was_set_teaches_no_drift() -> None:
    clock = clock_of([Comparison(0, 0, 100), Comparison(5 * MS, 100 * MS, 100)])
    clock.compare_again()
    assert clock.realtime_of(np.array([200 * MS])).tolist() == [195 * MS]
    assert clock.error_bound_ns == 5 * MS + 100


def test_a_card_that_is_gone_keeps_its_last_comparison() -> None:
    def compare() -> Comparison:
        if not called:
            called.append(1)
            return Comparison(7, 0, 1)
        raise OSError(errno.ENODEV, "gone")

    called: list[int] = []
    clock = HardwareClock("eth0", "/dev/ptp0", compare)
    clock.compare_again()
    assert clock.last == Comparison(7, 0, 1)


def three_stamps(software_ns: int, card_ns: int) -> bytes:
    return struct.pack("=6q", *divmod(software_ns, S), 0, 0, *divmod(card_ns, S))


def test_three_stamps_are_read_alike_on_both_paths() -> None:
    cases = [(5 * S + 1, 42 * S + 7), (6 * S, 0), (0, 43 * S)]
    control = np.zeros((4, ALL_CONTROL_BYTES), np.uint8)
    parser = ControlParser(
        control, np.zeros(4, [("destination", "u1", 16), ("ifindex", "u4"), ("ttl", "u1"), ("rx_ns", "i8")])
    )
    for row, case in enumerate(cases):
        data = three_stamps(*case)
        message = struct.pack("=Qii", 16 + len(data), 1, SO_TIMESTAMPING) + data
        control[row, : len(message)] = np.frombuffer(message, np.uint8)
        found = LinuxPlatform().decode([(1, SO_TIMESTAMPING, data)])
        assert (found.rx_ns or 0, found.hardware_ns or 0) == case
    parser.parse(np.array([64, 64, 64, 0], np.uintp))
    assert parser.has_stamp.tolist() == [True, True, True, False]
    assert list(zip(parser.rx_ns.tolist(), parser.hardware_ns.tolist(), strict=True))[:3] == cases
    assert parser.hardware_ns[3] == 0


@pytest.mark.skipif(PLATFORM.name != "linux", reason="needs Linux")
@pytest.mark.parametrize("path", ["batch", "portable"])
def test_stamps_of_the_card_replace_the_kernels_and_are_moved(
    path: PathChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[int] = []
    clock = HardwareClock("lo", "/dev/ptp0", lambda: Comparison(37 * S, 0, 9), lambda: closed.append(1), lambda: 0)
    monkeypatch.setattr(LinuxPlatform, "hardware_clock", lambda *_: clock)
    group = parse_endpoint(f"127.0.0.1:{next_port()}")
    (receiver,) = open_receiver([Membership(group, "lo")], path=path, stamps="hardware")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for row in payloads(3, 64):
            sender.sendto(row, (str(group.address), group.port))
    assert receiver.rx_source == "hardware"
    _, _, meta = read_all(receiver, 3)
    assert receiver.n_without_hardware == 3  # the loopback has no card: the kernel's own stamps, for real
    stamped = (meta["flags"] & int(PacketFlag.USER_STAMP)) == 0
    assert stamped.any()
    monkeypatch.setattr(type(receiver._reader), "hardware_ns", np.array([0, 137 * S, 0]), raising=False)
    if path == "portable":
        receiver._reader.hardware_ns[:] = [0, 137 * S, 0] + [0] * (len(receiver._reader.hardware_ns) - 3)
    kernel_ns = int(meta["rx_ns"][0])
    receiver._move(meta, clock)
    assert meta["rx_ns"][0] == kernel_ns
    assert meta["rx_ns"][1] == 100 * S
    assert receiver.n_without_hardware == 5
    receiver.close()
    assert closed == [1]


@pytest.mark.parametrize("system", [DarwinPlatform, WindowsPlatform])
def test_other_systems_refuse_by_name(system: type[DarwinPlatform | WindowsPlatform]) -> None:
    with pytest.raises(
        UsageError, match=r"\(en0\) can be had on Linux only, this is (macOS|Windows); use --stamps kernel"
    ):
        system().hardware_clock("en0")


@pytest.mark.parametrize("system", [DarwinPlatform, WindowsPlatform])
def test_transmit_stamps_are_refused_by_name_elsewhere(
    system: type[DarwinPlatform | WindowsPlatform], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "PLATFORM", system())
    with pytest.raises(UsageError, match=f"--tx-stamps needs the batch path, which is Linux's; this is {system.name}"):
        batch.choose_path("auto", False, True)


class Options:
    """Stands in for a socket; notes what is set."""

    def __init__(self) -> None:
        self.names: list[tuple[int, int]] = []

    def setsockopt(self, level: int, option: int, value: object) -> None:
        assert value
        self.names.append((level, option))


@pytest.mark.parametrize(("system", "stamp"), [(DarwinPlatform, (0xFFFF, 0x400)), (LinuxPlatform, (1, 35))])
def test_who_wants_no_kernel_stamps_asks_for_none(
    system: type[DarwinPlatform | LinuxPlatform], stamp: tuple[int, int]
) -> None:
    for stamps, expected in (("user", "user"), ("kernel", "kernel")):
        sock = Options()
        assert system().request_ancillary(sock, 4, stamps) == expected  # type: ignore[arg-type] # stands in for one
        assert (stamp in sock.names) is (stamps == "kernel")


def test_what_cannot_be_is_refused_before_anything_is_opened() -> None:
    group = parse_endpoint(f"239.77.9.1:{next_port()}")
    with pytest.raises(UsageError, match="share a stamp"):
        open_receiver([Membership(group, "lo")], stamps="hardware", offload=True)
    with pytest.raises(UsageError, match="name the one interface"):
        open_receiver([Membership(group)], stamps="hardware")
    with pytest.raises(HarnessError, match="lo has no hardware stamps"):
        open_receiver([Membership(group, "lo")], stamps="hardware")


@pytest.mark.parametrize("path", ["batch", "portable"])
def test_stamps_by_this_program_are_flagged(path: PathChoice) -> None:
    group = parse_endpoint(f"127.0.0.1:{next_port()}")
    sockets = open_receiver([Membership(group, "lo")], path=path, stamps="user")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", (str(group.address), group.port))
    _, _, meta = read_all(sockets[0], 1)
    assert sockets[0].rx_source == "user"
    assert meta["flags"][0] & int(PacketFlag.USER_STAMP)
    close_all(sockets)
