"""The Comparison: what sets two or more recordings apart, as values. It goes to `compare.json` as it stands here.

Undefined is None (null in JSON), never 0. `members` of anything are indexes into the match's own list of members.
"""

from __future__ import annotations

from typing import Literal

import msgspec

COMPARISON_VERSION = 1

Unit = Literal["ratio", "count", "ns"]


class ComparedRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the recordings; `start_ns` and `end_ns` of what it holds are None for one without a moment."""

    name: str
    path: str
    start_ns: int | None = None
    end_ns: int | None = None


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stream of one of the recordings: `run` is the recording's place, `number` the stream's in its summary."""

    run: int
    number: int
    name: str
    label: str


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure of all members of a match, in their order; None where it is undefined."""

    name: str
    unit: Unit
    values: list[float | None]


class SharedLoss(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Losses of one and the same stream at several receivers, packet by packet (RFC 5644 8.3, 8.4).

    Attributes:
      members: the receivers that heard the very same stream.
      packets: numbers that all of them should have received; what one of them alone was due is left out.
      lost: of each member. lost_only: by that member alone.
      comparative_loss_ratio: lost by each per packet that anyone received (8.4.2); None where no one received any.
      lost_by_all, lost_by_some: packets that nobody, and that some but not all received.
      runs_only: of each member, runs of packets that it alone lost, of those that anyone received: what tests count.
      points_at: where the packets went missing: at the "source" side, in a "branch", in "both"; "none" without loss.
    """

    members: list[int]
    packets: int
    lost: list[int]
    lost_only: list[int]
    runs_only: list[int]
    loss_ratio: list[float | None]
    comparative_loss_ratio: list[float | None]
    lost_by_all: int
    lost_by_some: int
    points_at: Literal["source", "branch", "both", "none"]
    sentence: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One test of one difference between two members.

    Attributes:
      measure: what was tested, "loss".
      first, second: the members.
      test: its name and what it counts; "" where nothing could be tested.
      p_value: of this test alone; p_adjusted: after Holm's correction over all tests of the comparison; None untested.
      is_significant: None where it cannot be told.
      sentence: the result in words.
    """

    measure: str
    first: int
    second: int
    test: str
    p_value: float | None
    p_adjusted: float | None = None
    is_significant: bool | None = None
    sentence: str


class Match(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Streams that belong together.

    Attributes:
      kind: "same" for one stream heard by several receivers, "counterpart" for streams that correspond, as before and
        after a change.
      by: what they have in common, "group and stream id".
    """

    label: str
    kind: Literal["same", "counterpart"]
    by: str
    members: list[Member]
    figures: list[Figure]
    shared: SharedLoss | None = None
    findings: list[Finding] = []


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of comparing recordings.

    Attributes:
      axis: whether the recordings share the wall clock in figures ("absolute"), or each starts at 0 ("relative").
      alpha: the level of significance, for all tests together.
      sentence: what differs significantly.
    """

    version: int = COMPARISON_VERSION
    runs: list[ComparedRun]
    axis: Literal["absolute", "relative"]
    alpha: float
    matches: list[Match]
    unmatched: list[Member] = []
    sentence: str = ""
    notes: list[str] = []
