"""Stamps of the network card (Linux): what the driver offers, switching it on, and the card's clock against realtime.

A card stamps by a clock of its own (PHC, /dev/ptpN). Disciplined or not, it is another time line than the system's,
often that of TAI, 37 s ahead. So it is compared with realtime while it is in use (PTP_SYS_OFFSET), and every stamp is
moved by the difference, drift included, that the comparisons around it give.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import InterfaceError, errno_text

_SIOCETHTOOL, _SIOCSHWTSTAMP, _SIOCGHWTSTAMP = 0x8946, 0x89B0, 0x89B1
_ETHTOOL_GET_TS_INFO = 0x41
_TS_INFO = struct.Struct("=IIiI3II3I")
"""`struct ethtool_ts_info`: command, capabilities, index of the clock, transmit modes, -, receive filters, -."""
_CONFIG = struct.Struct("=iii")
"""`struct hwtstamp_config`: flags, transmit mode, receive filter."""
_FILTER_ALL = 1
_CAPABILITIES = (
    "hardware-transmit",
    "software-transmit",
    "hardware-receive",
    "software-receive",
    "software-system-clock",
    "hardware-legacy-clock",
    "hardware-raw-clock",
)
"""The bits of the capabilities from the lowest, by the names that `ethtool -T` gives them."""

_N_SAMPLES = 9
_PTP_SYS_OFFSET = 0x4340_3D05
_SAMPLES = struct.Struct("=I12x" + 51 * "qI4x")
"""`struct ptp_sys_offset`: how many samples, then realtime, card, realtime, card, ..., realtime."""

_COMPARE_EVERY_NS = 100_000_000
_STEP_NS = 1_000_000
"""A larger change between two comparisons means that somebody set one of the clocks: no drift is told from it."""

Ioctl = Callable[[str, int, bytes], bytes]
"""Asks the driver of an interface: name, request, argument -> argument as the driver left it. Raises OSError."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What `ethtool -T` shows of an interface.

    Attributes:
      capabilities: names of the stamps that it can give.
      phc_index: number of the card's clock; -1 for none.
      stamps_all: whether the card can stamp every arrival, and not those of PTP alone.
    """

    capabilities: tuple[str, ...]
    phc_index: int
    stamps_all: bool

    @property
    def has_hardware(self) -> bool:
        """Whether the card can stamp our datagrams as they arrive."""
        needed = {"hardware-receive", "hardware-raw-clock"}
        return self.stamps_all and self.phc_index >= 0 and needed <= set(self.capabilities)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The card's clock minus realtime, when by the card's clock, and how far that may be wrong, in ns."""

    offset_ns: int
    at_ns: int
    error_ns: int


class HardwareClock:
    """The clock of a card, compared with realtime again while stamps are moved by it.

    Args:
      interface: the card's interface.
      device: the clock's name, for the manifest.
      compare: compares it with realtime.
      on_close: gives back what was changed for it.
      monotonic: in ns, paces the comparisons.

    Attributes:
      first, last: the first and the newest comparison.
      error_bound_ns: how far a moved stamp may be wrong, by the worst comparison so far.
    """

    def __init__(
        self,
        interface: str,
        device: str,
        compare: Callable[[], Comparison],
        on_close: Callable[[], None] = lambda: None,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.interface, self.device = interface, device
        self._compare, self._on_close, self._monotonic = compare, on_close, monotonic
        self._next_ns = monotonic() + _COMPARE_EVERY_NS
        self.first = self.last = compare()
        self.error_bound_ns = self.first.error_ns
        self._drift = 0.0

    def realtime_of(self, stamps_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return stamps of the card's clock, just read, as realtime; shape (n,), n = 0 allowed."""
        if self._monotonic() >= self._next_ns:
            self.compare_again()
        ages = stamps_ns - self.last.at_ns
        moved: NDArray[np.int64] = stamps_ns - self.last.offset_ns - np.rint(ages * self._drift).astype(np.int64)
        return moved

    def compare_again(self) -> None:
        """Compare the clocks now, and learn their drift and how wrong the last foretelling was."""
        self._next_ns = self._monotonic() + _COMPARE_EVERY_NS
        before = self.last
        try:
            now = self._compare()
        except OSError:  # the card is gone, and stamps nothing any more
            return
        elapsed_ns = now.at_ns - before.at_ns
        if elapsed_ns <= 0:
            return
        change_ns = now.offset_ns - before.offset_ns
        strayed_ns = abs(change_ns - round(elapsed_ns * self._drift))
        self.error_bound_ns = max(self.error_bound_ns, now.error_ns + strayed_ns)
        self._drift = change_ns / elapsed_ns if abs(change_ns) < _STEP_NS else 0.0
        self.last = now

    def close(self) -> None:
        """Leave the card as it was found."""
        self._on_close()


def parse_offer(answer: bytes) -> Offer:
    """Return what a driver's answer to ETHTOOL_GET_TS_INFO says.

    >>> parse_offer(struct.pack("=IIiI3II3I", 0x41, 0b11010, -1, 0, 0, 0, 0, 0, 0, 0, 0)).capabilities
    ('software-transmit', 'software-receive', 'software-system-clock')
    """
    _, bits, index, _, _, _, _, filters, *_ = _TS_INFO.unpack(answer)
    capabilities = tuple(name for place, name in enumerate(_CAPABILITIES) if bits >> place & 1)
    return Offer(capabilities, index, bool(filters >> _FILTER_ALL & 1))


def parse_comparison(answer: bytes) -> Comparison:
    """Return the tightest of the samples of a PTP_SYS_OFFSET answer.

    Each reading of the card stands between two of realtime, and is taken to fall in their middle.
    """
    n_samples, *fields = _SAMPLES.unpack(answer)
    times = [seconds * 1_000_000_000 + ns for seconds, ns in zip(fields[::2], fields[1::2], strict=True)]
    triples = [tuple(times[2 * n : 2 * n + 3]) for n in range(n_samples)]
    before, card, after = min(triples, key=lambda triple: abs(triple[2] - triple[0]))
    return Comparison(card - (before + after) // 2, card, (abs(after - before) + 1) // 2)


def device_ioctl(interface: str, request: int, argument: bytes) -> bytes:
    """Ask the driver of an interface; see `Ioctl`."""
    buffer = ctypes.create_string_buffer(argument, len(argument))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, request, struct.pack("16sP16x", interface.encode(), ctypes.addressof(buffer)))
    return buffer.raw


def read_offer(interface: str, ioctl: Ioctl = device_ioctl) -> Offer:
    """Return which stamps an interface offers; none for a driver that does not know the question.

    Raises:
      InterfaceError: no such interface.
    """
    try:
        return parse_offer(ioctl(interface, _SIOCETHTOOL, _TS_INFO.pack(_ETHTOOL_GET_TS_INFO, *10 * [0])))
    except OSError as exc:
        if exc.errno == errno.ENODEV:
            raise InterfaceError(f"no interface {interface}; see harness interfaces") from exc
        return Offer((), -1, False)


def open_hardware_clock(interface: str, ioctl: Ioctl = device_ioctl) -> HardwareClock:
    """Have a card stamp every arrival and return its clock.

    What was set before, by a PTP daemon perhaps, is set again when the clock is closed; its transmit mode stays.

    Raises:
      InterfaceError: the card offers no such stamps, refuses to give them, or its clock cannot be read.
    """
    offer = read_offer(interface, ioctl)
    if not offer.has_hardware:
        offered = ", ".join(offer.capabilities) or "nothing"
        filters = "" if offer.stamps_all else ", and no receive filter for all packets"
        raise InterfaceError(
            f"{interface} has no hardware stamps for what arrives (ethtool -T {interface}): "
            f"it offers {offered}{filters}; use --stamps kernel"
        )
    device = f"/dev/ptp{offer.phc_index}"
    try:
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as exc:
        raise InterfaceError(
            f"{interface} stamps by the card's own clock {device}, which cannot be read: {errno_text(exc.errno or 0)}; "
            "without it its stamps are of no known time: allow it to this user, or use --stamps kernel"
        ) from exc
    try:
        before = _switch_on(interface, ioctl)

        def give_back() -> None:
            os.close(fd)
            if before is not None:
                with contextlib.suppress(OSError):  # the interface is gone
                    ioctl(interface, _SIOCSHWTSTAMP, before)

        return HardwareClock(interface, device, lambda: _read_comparison(fd), give_back)
    except OSError as exc:
        os.close(fd)
        raise InterfaceError(
            f"{interface} refuses to stamp what arrives: {errno_text(exc.errno or 0)}; "
            "it needs root (CAP_NET_ADMIN), or use --stamps kernel"
        ) from exc


def _switch_on(interface: str, ioctl: Ioctl) -> bytes | None:
    """Switch on stamps for all arrivals; return the setting to give back, None when nothing was changed."""
    try:
        before = ioctl(interface, _SIOCGHWTSTAMP, _CONFIG.pack(0, 0, 0))
    except OSError:  # drivers that can only be told, not asked
        before = _CONFIG.pack(0, 0, 0)
    flags, transmit, receive = _CONFIG.unpack(before)
    if receive == _FILTER_ALL:
        return None
    ioctl(interface, _SIOCSHWTSTAMP, _CONFIG.pack(flags, transmit, _FILTER_ALL))
    return before


def _read_comparison(fd: int) -> Comparison:
    argument = bytearray(_SAMPLES.pack(_N_SAMPLES, *102 * [0]))
    fcntl.ioctl(fd, _PTP_SYS_OFFSET, argument)
    return parse_comparison(bytes(argument))
