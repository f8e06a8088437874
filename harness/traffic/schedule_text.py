"""The spelling of `--schedule`: "constant", "poisson:seed=7", "burst:on=100ms,off=900ms", ..."""

from __future__ import annotations

import numpy as np

from harness.errors import UnitError, UsageError, nearest
from harness.traffic.schedules import Constant, Frames, Listed, OnOff, Poisson, Ramp, Schedule
from harness.units import NS_PER_S, Rate, parse_duration, parse_rate

SPELLINGS = {
    "constant": "constant",
    "poisson": "poisson:seed=7",
    "burst": "burst:on=100ms,off=900ms",
    "ramp": "ramp:to=10kpps,over=10s",
    "frames": "frames:packets=10,every=20ms",
    "file": "file:offsets.txt",
}
_SETTINGS = {"poisson": {"seed"}, "burst": {"on", "off"}, "ramp": {"to", "over"}, "frames": {"packets", "every"}}


def parse_schedule(text: str, rate: Rate, size: int, offsets_text: str | None = None) -> Schedule:
    """Return the schedule that `text` spells, at `rate` for packets of `size` bytes.

    Args:
      text: one of SPELLINGS.
      rate: the constant rate, the Poisson mean, the rate within a burst, the start of a ramp; ignored by frames, file.
      size: UDP payload in bytes, to which a rate in bit/s refers.
      offsets_text: the content of the file that "file:" names; this module reads no file.

    Raises:
      UsageError: an unknown schedule or setting, a missing one, or a value out of range.

    >>> parse_schedule("frames:packets=2,every=20ms", Rate(), 200).offsets_ns(0, 5)
    array([       0,        0, 20000000, 20000000, 40000000])
    """
    kind, _, rest = text.partition(":")
    if kind not in SPELLINGS:
        raise UsageError(f"schedule {text!r}: unknown kind {kind!r}{nearest(kind, SPELLINGS)}")
    if kind == "constant":
        return Constant(rate.interval_ns(size))
    if kind == "file":
        if offsets_text is None:
            raise UsageError(f"schedule {text!r}: file {rest!r} was not read")
        return parse_offsets(offsets_text, rest)
    given = _settings(text, kind, rest)
    try:
        if kind == "poisson":
            return Poisson(rate.interval_ns(size), int(given.get("seed", "1")))
        if kind == "burst":
            return OnOff(rate.interval_ns(size), parse_duration(given["on"]), parse_duration(given["off"]))
        if kind == "ramp":
            to = parse_rate(given["to"]).interval_ns(size)
            start = rate.interval_ns(size)
            if not to or not start:
                raise UsageError(f"schedule {text!r}: a ramp needs two finite rates, not max")
            return Ramp(NS_PER_S / start, NS_PER_S / to, parse_duration(given["over"]))
        return Frames(int(given["packets"]), parse_duration(given["every"]))
    except KeyError as exc:
        raise UsageError(f"schedule {text!r}: {exc.args[0]} is missing; write {SPELLINGS[kind]}") from exc
    except UnitError as exc:
        raise UsageError(f"schedule {text!r}: {exc}") from exc
    except ValueError as exc:
        raise UsageError(f"schedule {text!r}: not a whole number; write {SPELLINGS[kind]}") from exc


def _settings(text: str, kind: str, rest: str) -> dict[str, str]:
    given = {}
    for part in filter(None, rest.split(",")):
        name, equals, value = part.partition("=")
        if not equals or name not in _SETTINGS[kind]:
            raise UsageError(f"schedule {text!r}: unknown setting {name!r}{nearest(name, _SETTINGS[kind])}")
        given[name] = value
    return given


def parse_offsets(text: str, name: str) -> Listed:
    r"""Return the schedule of a file: one due time a line, counted from the start, each with its unit; # comments.

    Raises:
      UsageError: a line that is no duration, or falls behind the line before; names file and line.

    >>> parse_offsets("0ms\n20ms # second\n\n45ms", "demo").listed_ns
    array([       0, 20000000, 45000000])
    """
    offsets: list[int] = []
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.partition("#")[0].strip()
        if not bare:
            continue
        try:
            offsets.append(parse_duration(bare))
        except UnitError as exc:
            raise UsageError(f"schedule {name}, line {number}: {exc}") from exc
        if len(offsets) > 1 and offsets[-1] < offsets[-2]:
            raise UsageError(f"schedule {name}, line {number}: {bare} lies before the line above it")
    return Listed(np.array(offsets, dtype=np.int64), name)
