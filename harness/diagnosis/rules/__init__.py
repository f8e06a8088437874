"""The table of causes: one row each, grouped by where the packets get lost; the order decides between equal scores."""

from __future__ import annotations

from harness.diagnosis.finding import Rule
from harness.diagnosis.rules import (
    answers,
    host,
    impaired,
    membership,
    network,
    platform,
    receiver,
    recording,
    sender,
    unexplained,
)

RULES: tuple[Rule, ...] = (
    *recording.RULES,
    *host.RULES,
    *receiver.RULES,
    *platform.RULES,
    *membership.RULES,
    *answers.RULES,
    *impaired.RULES,
    *sender.RULES,
    *network.RULES,
    *unexplained.RULES,
)

__all__ = ["RULES"]
