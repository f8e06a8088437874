"""Scenarios made from those of the catalogue: two causes in one run, and healthy runs of every kind."""

from __future__ import annotations

import random

import msgspec

from harness.errors import ScenarioError
from harness.model.scenario import Expect, Scenario
from harness.model.scenario_lab import as_ipv6
from harness.units import NS_PER_S, parse_duration

PAIRS = (
    ("host-firewall", "random-loss"),
    ("link-flap", "random-loss"),
    ("host-firewall", "link-flap"),
    ("snooping-flushed", "host-firewall"),
    ("socket-blocked", "link-flap"),
    ("reports-lost", "random-loss"),
    ("interface-reborn", "host-firewall"),
    ("socket-blocked", "host-firewall"),
    ("slow-reader", "link-flap"),
    ("slow-reader", "random-loss"),
    ("fragments", "host-firewall"),
)
"""Causes that can befall one receiver on one switch."""

_PAUSE_NS = NS_PER_S


def combined(one: Scenario, other: Scenario) -> Scenario:
    """Return a scenario in which two causes strike one after the other; what the second does from 0 on, it does so.

    The first scenario's lab is the second's, too: both need a host "tx", a host "rx" and a switch "sw".

    Raises:
      ScenarioError: the second needs what the first has not.
    """
    for known, needed in ((one.host, other.host), (one.switch, other.switch)):
        if {item.name for item in needed} - {item.name for item in known}:
            raise ScenarioError(f"{one.name}+{other.name}: the second needs a host or a switch that the first lacks")
    lasts_ns = _lasts_ns(one) + _PAUSE_NS
    end = f"{(lasts_ns + _lasts_ns(other)) // 1000}us"
    streams = [msgspec.structs.replace(stream, duration=end) for stream in one.stream]
    events = [
        event
        if parse_duration(event.at) == 0
        else msgspec.structs.replace(event, at=f"{(parse_duration(event.at) + lasts_ns) // 1000}us")
        for event in other.event
    ]
    return msgspec.structs.replace(
        one,
        name=f"{one.name}+{other.name}",
        description=f"{one.description}; {other.description}",
        stream=streams,
        event=[*one.event, *events],
        expect=Expect(verdict=f"{one.expect.verdict} + {other.expect.verdict}"),
    )


def _lasts_ns(scenario: Scenario) -> int:
    ends = [parse_duration(stream.start) + parse_duration(stream.duration or "0s") for stream in scenario.stream]
    return max(ends)


def healthy_variant(scenario: Scenario, number: int) -> Scenario:
    """Return the healthy scenario with another rate, size, group, duration, schedule and IP version, by a seed.

    Rates are evenly spread over their logarithm, from 20 to 2,000 packets a second.
    """
    chance = random.Random(f"healthy {number}")
    group = f"239.77.{chance.randrange(256)}.{chance.randrange(1, 255)}:{chance.randrange(1024, 65_000)}"
    (stream,), (receiver,) = scenario.stream, scenario.receiver
    changed = msgspec.structs.replace(
        stream,
        group=group,
        rate=f"{round(20 * 100 ** chance.random())}pps",
        size=str(chance.randrange(64, 1400)),
        duration=f"{chance.randrange(3000, 8000)}ms",
        schedule=chance.choice(["constant", "constant", "poisson"]),
    )
    varied = msgspec.structs.replace(
        scenario,
        stream=[changed],
        receiver=[msgspec.structs.replace(receiver, groups=[group])],
    )
    varied = as_ipv6(varied) if chance.random() < 0.5 else varied
    return msgspec.structs.replace(varied, name=f"healthy~{number}")
