"""What the doctor says: one line a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from harness.model import Endpoint, Interface

Status = Literal["ok", "suspicious", "broken", "unknown"]
"""broken: multicast cannot work like this; suspicious: it may fail, or fail later; unknown: nobody could tell."""


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One answer.

    Attributes:
      name: of the question, "route".
      text: what was found, one line.
      remedy: what to do about it; "" where nothing needs to be done.
    """

    name: str
    status: Status
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Patient:
    """What is examined.

    Attributes:
      group: the group and port.
      interface: the one that was named; None: own packets stay on loopback, and the rest is asked of the one that the
        routes would take.
      likely: the interface that the questions are about; None when there is none.
      loopback: the loopback interface; None where there is none.
      snapshot: the system's own words.
    """

    group: Endpoint
    interface: Interface | None
    likely: Interface | None
    loopback: Interface | None
    snapshot: dict[str, Any]

    @property
    def sends_by(self) -> Interface | None:
        """The interface by which own packets go: the one that was named, else loopback."""
        return self.interface or self.loopback
