"""What a lab counted of a run, and the ledger that follows: where every packet that was sent has gone."""

from __future__ import annotations

from typing import Literal

import msgspec

LAB_RECORD_VERSION = 1


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One impairment as it was carried out.

    Attributes:
      kind, at: as in the scenario, `at` its interface, host or switch.
      side, direction: of rules that choose packets; "" for others.
      from_ns, until_ns: when it took effect and ended, on the run's time line; until None: with the lab.
      counted: packets that its own rules, queues or wires counted: {"dropped": 120, "duplicated": 0}.
    """

    kind: str
    at: str
    side: str = ""
    direction: str = ""
    from_ns: int
    until_ns: int | None = None
    counted: dict[str, int] = {}


class Path(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The way of a group from a sender's host to a receiver's: the meters on it, in order.

    `points` alternate: out of a host or switch, into the next one: ["tx:eth0 out", "sw:to-tx in", ...].
    """

    group: str
    sender: str
    receiver: str
    points: list[str]


class LabRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the lab knows of a run; `lab.json` beside the recording. No diagnosis reads it.

    Attributes:
      recipe: the commands that made the lab, one text.
      meters: by point and group, datagrams that passed, counted by the kernel.
      real_timers: whether the protocols' real timers ran.
    """

    version: int = LAB_RECORD_VERSION
    recipe: str = ""
    real_timers: bool = False
    meters: dict[str, dict[str, int]] = {}
    paths: list[Path] = []
    faults: list[Fault] = []


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One place where packets went: `where` it is, how many, and who says so.

    Attributes:
      kind: "counted" by a rule, queue, wire or socket; "withheld" by a switch or router, which passes on only what was
        asked for; "filtered" by a host that counts nothing, where the scenario has it filter; "other way" out of
        another interface; "received".
    """

    where: str
    kind: Literal["counted", "withheld", "filtered", "other way", "received"]
    packets: int
    by: str = ""


class Ledger(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """sent = received - duplicates + every other line; what is missing in that is `unexplained`."""

    group: str
    receiver: str
    sent: int
    duplicates: int
    lines: list[LedgerLine]
    unexplained: dict[str, int] = {}

    @property
    def is_balanced(self) -> bool:
        """Whether every packet is accounted for, stage by stage."""
        return not any(self.unexplained.values())
