"""A wire's spec with its quantities read: integers in ns, ratios from 0 to 1, sets of numbers. Checked whole."""

from __future__ import annotations

import bisect
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.errors import ScenarioError, UsageError
from harness.lab.wire.spec import Fault, Gilbert, PowerSaveFault, Range, WireSpec, _Selecting
from harness.model.endpoint import parse_address, parse_endpoint
from harness.units import parse_duration, parse_rate, parse_ratio

NEVER_NS = 2**63 - 1
T = TypeVar("T")


class Numbers:
    """A set of whole numbers given as runs; made to be asked often.

    Args:
      runs: first and last of each, in any order; they may overlap.

    >>> 105 in Numbers([(100, 109), (5, 5)]), 6 in Numbers([(100, 109), (5, 5)])
    (True, False)
    """

    def __init__(self, runs: Iterable[tuple[int, int]]) -> None:
        merged = list[list[int]]()
        for first, last in sorted(runs):
            if merged and first <= merged[-1][1] + 1:
                merged[-1][1] = max(last, merged[-1][1])
            else:
                merged.append([first, last])
        self._firsts = [first for first, _ in merged]
        self._lasts = [last for _, last in merged]

    def __contains__(self, number: int) -> bool:
        place = bisect.bisect_right(self._firsts, number) - 1
        return place >= 0 and number <= self._lasts[place]


@dataclass(frozen=True, slots=True)
class GilbertPlan:
    """`Gilbert` as probabilities."""

    p: float
    r: float
    good: float
    bad: float


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the matching frames; all None means all of them."""

    ratio: float | None = None
    gilbert: GilbertPlan | None = None
    seqs: Numbers | None = None
    nths: Numbers | None = None


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One fault; the durations of kinds that have none are 0.

    Attributes:
      spec: as written, for what needs no reading.
      label: its name in records.
      address: destination that matches; None: any.
      port: destination port that matches; None: any.
      from_ns, until_ns: [from, until) on the wire's timeline.
      seed: text that seeds its generators.
    """

    spec: Fault
    label: str
    address: bytes | None
    port: int | None
    from_ns: int
    until_ns: int
    selection: Selection
    seed: str
    delay_ns: int = 0
    jitter_ns: int = 0
    timeout_ns: int = 0
    interval_ns: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One wire; `cap_pps` None means the default, `sequence` is offset and bytes."""

    faults: tuple[FaultPlan, ...]
    cap_pps: float | None
    log_all: bool
    hold_limit: int
    sequence: tuple[int, int] | None


def plan_of(spec: WireSpec, where: str = "wire") -> Plan:
    """Return the spec with its quantities read.

    Raises:
      ScenarioError: names the fault, the key and what is wrong with it.
    """
    cap = None if spec.cap is None else _read(f"{where}: cap", _parse_pps, spec.cap)
    if spec.hold_limit < 0:
        raise ScenarioError(f"{where}: hold_limit is {spec.hold_limit}; write 0 frames or more")
    sequence = None
    if spec.sequence is not None:
        sequence = spec.sequence.offset, spec.sequence.bytes
        if sequence[0] < 0 or not 1 <= sequence[1] <= 8:
            raise ScenarioError(f"{where}: sequence: offset is 0 or more, and bytes 1 to 8")
    faults = tuple(_fault(fault, place, spec.seed, where) for place, fault in enumerate(spec.fault, start=1))
    return Plan(faults, cap, spec.log == "all", spec.hold_limit, sequence)


def _fault(fault: Fault, place: int, seed: int, where: str) -> FaultPlan:
    where = f"{where}: fault {place}"
    kind = str(fault.__struct_config__.tag)
    address, port = _read(f"{where}: group", _parse_group, fault.group) if fault.group is not None else (None, None)
    if fault.port is not None:
        if not 1 <= fault.port <= 65535:
            raise ScenarioError(f"{where}: port: {fault.port} is not a number from 1 to 65535")
        if port not in (None, fault.port):
            raise ScenarioError(f"{where}: port: {fault.port} contradicts the port in group {fault.group}")
        port = fault.port
    if port is not None and fault.frames != "udp":
        raise ScenarioError(f'{where}: frames: only UDP has ports; leave frames at "udp", or name no port')
    from_ns = _read(f"{where}: from", parse_duration, fault.from_)
    until_ns = NEVER_NS if fault.until is None else _read(f"{where}: until", parse_duration, fault.until)
    if until_ns <= from_ns:
        raise ScenarioError(f"{where}: until: {fault.until} is not after from, {fault.from_}")
    selection = _selection(fault, where) if isinstance(fault, _Selecting) else Selection()
    if isinstance(fault, _Selecting) and kind != "delay" and selection == Selection():
        raise ScenarioError(f"{where}: which frames? write one of ratio, gilbert, seqs and nths")
    for key, smallest in (("copies", 1), ("displacement", 1), ("byte", 0)):
        value = getattr(fault, key, None)
        if value is not None and not smallest <= value <= 65535:
            raise ScenarioError(f"{where}: {key}: {value} lies outside {smallest} to 65535")
    if kind == "corrupt" and fault.frames != "udp":
        raise ScenarioError(f'{where}: frames: only UDP payloads are corrupted; leave it at "udp"')
    durations = {
        f"{key}_ns": _read(f"{where}: {key}", parse_duration, getattr(fault, key))
        for key in ("delay", "jitter", "timeout", "interval")
        if hasattr(fault, key)
    }
    if isinstance(fault, PowerSaveFault) and durations["interval_ns"] < 1_000_000:
        raise ScenarioError(f"{where}: interval: {fault.interval} is too short to hold anything; write 1ms or more")
    if kind == "delay" and not durations["delay_ns"] + durations["jitter_ns"]:
        raise ScenarioError(f'{where}: delay: nothing is delayed; write delay or jitter, such as "20ms"')
    text = f"fault {fault.seed}" if fault.seed is not None else f"wire {seed} fault {place}"
    label = fault.name or f"{place} {kind}"
    return FaultPlan(fault, label, address, port, from_ns, until_ns, selection, text, **durations)


def _selection(fault: _Selecting, where: str) -> Selection:
    given = [key for key in ("ratio", "gilbert", "seqs", "nths") if getattr(fault, key) is not None]
    if len(given) > 1:
        raise ScenarioError(f"{where}: {given[1]}: contradicts {given[0]}; write one of ratio, gilbert, seqs and nths")
    if fault.ratio is not None:
        return Selection(ratio=_read(f"{where}: ratio", parse_ratio, fault.ratio))
    if fault.gilbert is not None:
        return Selection(gilbert=_gilbert(fault.gilbert, f"{where}: gilbert"))
    if fault.seqs is not None:
        return Selection(seqs=_numbers(fault.seqs, f"{where}: seqs"))
    return Selection(nths=_numbers(fault.nths, f"{where}: nths")) if fault.nths is not None else Selection()


def _gilbert(gilbert: Gilbert, where: str) -> GilbertPlan:
    plan = GilbertPlan(**{key: _read(f"{where}, {key}", parse_ratio, getattr(gilbert, key)) for key in _CHAIN})
    if not plan.p + plan.r:
        raise ScenarioError(f"{where}: with p and r both 0 the chain never moves; write ratio instead")
    return plan


_CHAIN = ("p", "r", "good", "bad")


def _numbers(ranges: list[Range], where: str) -> Numbers:
    runs = []
    for item in ranges:
        first, dash, last = (str(item), "", str(item)) if isinstance(item, int) else item.partition("-")
        last = last if dash else first
        if not (first.strip().isdecimal() and last.strip().isdecimal() and int(first) <= int(last)):
            raise ScenarioError(f'{where}: {item!r} is neither a number nor a run of numbers such as "100-109"')
        runs.append((int(first), int(last)))
    return Numbers(runs)


def _parse_group(text: str) -> tuple[bytes, int | None]:
    """Return address and port of "239.1.2.3:5000"; "239.1.2.3" and "ff15::1" have none."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        endpoint = parse_endpoint(text)
        return endpoint.address.packed, endpoint.port
    return parse_address(text).packed, None


def _parse_pps(text: str) -> float:
    rate = parse_rate(text)
    if rate.pps is None:
        raise UsageError(f"{text!r} is not in frames per second; write a cap such as 40kpps")
    return rate.pps


def _read(where: str, parse: Callable[[Any], T], value: Any) -> T:
    try:
        return parse(value)
    except UsageError as exc:
        raise ScenarioError(f"{where}: {exc}") from exc
