"""Quantities as people write them, "250ms", "10Mbit/s", "1kpps", "8MB", to integers and back.

A number without a unit is refused: "--duration 60" has meant minutes to somebody.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from harness.errors import UnitError, nearest

NS_PER_S = 1_000_000_000
MAX_DURATION_NS = 10 * 366 * 86_400 * NS_PER_S
"""Ten years: beyond any run, and far from the edge of a 64-bit count of nanoseconds."""

_DURATION = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_S,
    "min": 60 * NS_PER_S,
    "h": 3_600 * NS_PER_S,
    "d": 86_400 * NS_PER_S,
}
_SIZE = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_PPS = {"pps": 1, "kpps": 10**3, "Mpps": 10**6}
_BPS = {"bit/s": 1, "kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}
_BPS |= {"bps": 1, "kbps": 10**3, "Mbps": 10**6, "Gbps": 10**9}
_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S*)\s*")


def _split(text: str, units: dict[str, int], what: str, example: str) -> Decimal:
    """Return the quantity in the base unit of `units`."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(f"{what} {text!r} is not a number with a unit, such as {example}")
    number, unit = match.groups()
    if not unit:
        raise UnitError(f"{what} {text!r} has no unit; write {example} (units: {', '.join(units)})")
    if unit not in units:
        raise UnitError(f"{what} {text!r} has the unknown unit {unit!r}{nearest(unit, units)}")
    try:
        return Decimal(number) * units[unit]
    except ArithmeticError as exc:  # decimal's overflow
        raise UnitError(f"{what} {text!r} is out of range") from exc


def parse_duration(text: str) -> int:
    """Return a duration in nanoseconds; "0" alone needs no unit.

    Raises:
      UnitError: no number, no unit, an unknown unit, negative, or longer than ten years.

    >>> parse_duration("250ms"), parse_duration("1.5 s"), parse_duration("2min")
    (250000000, 1500000000, 120000000000)
    """
    if text.strip() == "0":
        return 0
    value = _split(text, _DURATION, "duration", "60s or 250ms")
    if not 0 <= value <= MAX_DURATION_NS:
        raise UnitError(f"duration {text!r} lies outside 0 s to ten years")
    return round(value)


def parse_size(text: str) -> int:
    """Return a number of bytes; a plain integer means bytes.

    Raises:
      UnitError: no number, an unknown unit, a fraction of a byte, or negative.

    >>> parse_size("8MB"), parse_size("64KiB"), parse_size("200")
    (8000000, 65536, 200)
    """
    value = Decimal(text.strip()) if text.strip().isdecimal() else _split(text, _SIZE, "size", "200, 200B or 8MB")
    if value < 0 or value != int(value) or value > 2**62:
        raise UnitError(f"size {text!r} is not a whole, non-negative number of bytes")
    return int(value)


def parse_ratio(text: str) -> float:
    """Return a ratio from "1%", "0.5 %" or "0.01".

    Raises:
      UnitError: not a number, or outside 0 to 100 %.

    >>> parse_ratio("1%"), parse_ratio("0.25")
    (0.01, 0.25)
    """
    bare = text.strip()
    scale = 100 if bare.endswith("%") else 1
    try:
        value = float(Decimal(bare.removesuffix("%").strip()) / scale)
    except InvalidOperation as exc:
        raise UnitError(f"ratio {text!r} is neither a percentage such as 1% nor a number from 0 to 1") from exc
    if not 0 <= value <= 1:
        raise UnitError(f"ratio {text!r} lies outside 0 to 100 %")
    return value


@dataclass(frozen=True, slots=True)
class Rate:
    """A sending rate: packets per second, or bits of UDP payload per second, or as fast as the kernel takes them.

    Exactly one of `pps` and `bps` is set; neither means "max".
    """

    pps: float | None = None
    bps: float | None = None

    @property
    def is_max(self) -> bool:
        """Whether the rate is unlimited."""
        return self.pps is None and self.bps is None

    def interval_ns(self, size: int) -> int:
        """Return the time between two packets of `size` bytes of UDP payload, in ns; 0 when unlimited.

        >>> Rate(pps=1000).interval_ns(200), Rate(bps=1_600_000).interval_ns(200)
        (1000000, 1000000)
        """
        if self.pps is not None:
            return max(1, round(NS_PER_S / self.pps))
        if self.bps is not None:
            return max(1, round(size * 8 * NS_PER_S / self.bps))
        return 0

    def __str__(self) -> str:
        if self.pps is not None:
            return format_scaled(self.pps, "pps")
        return "max" if self.bps is None else format_scaled(self.bps, "bit/s")


def parse_rate(text: str) -> Rate:
    """Return a rate from "1kpps", "10Mbit/s" or "max".

    Raises:
      UnitError: not a rate, zero, negative, below one packet a day or above a billion packets per second.

    >>> parse_rate("1kpps"), str(parse_rate("10Mbit/s"))
    (Rate(pps=1000.0, bps=None), '10 Mbit/s')
    """
    if text.strip() == "max":
        return Rate()
    value = float(_split(text, {**_PPS, **_BPS}, "rate", "1kpps, 10Mbit/s or max"))
    if not math.isfinite(value) or value <= 0:
        raise UnitError(f"rate {text!r} sends nothing; use a positive rate such as 1kpps, or max")
    is_pps = any(text.strip().endswith(unit) for unit in _PPS)
    if is_pps and not 1 / 86_400 <= value <= 1e9:
        raise UnitError(f"rate {text!r} is absurd: between one packet a day and 1000 Mpps can be asked for")
    if not is_pps and not 1 <= value <= 1e13:
        raise UnitError(f"rate {text!r} is absurd: between 1 bit/s and 10000 Gbit/s can be asked for")
    return Rate(pps=value) if is_pps else Rate(bps=value)


def format_scaled(value: float, unit: str) -> str:
    """Return a value with a decimal prefix and three significant digits, "1.25 kpps".

    >>> format_scaled(1250, "pps"), format_scaled(0, "B"), format_scaled(8e6, "B")
    ('1.25 kpps', '0 B', '8 MB')
    """
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * 0.9995:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def format_duration(ns: float) -> str:
    """Return a duration for people, three significant digits in the unit that fits.

    >>> format_duration(1_300_000_000), format_duration(42_000), format_duration(-5_000_000), format_duration(0)
    ('1.3 s', '42 µs', '-5 ms', '0 s')
    >>> format_duration(5_400 * 10**9)
    '1 h 30 min'
    """
    size = abs(ns)
    if size == 0:
        return "0 s"
    for factor, unit in ((1, "ns"), (1_000, "µs"), (1_000_000, "ms"), (NS_PER_S, "s")):
        if size < factor * 999.5 and (unit != "s" or size < 99.95 * NS_PER_S):
            return f"{ns / factor:.3g} {unit}"
    sign = "-" if ns < 0 else ""
    seconds = round(size / NS_PER_S)
    if seconds < 3_600:
        return f"{sign}{seconds // 60} min {seconds % 60} s"
    if seconds < 86_400:
        return f"{sign}{seconds // 3_600} h {seconds % 3_600 // 60} min"
    return f"{sign}{seconds // 86_400} d {seconds % 86_400 // 3_600} h"
