"""What a bench measured: goals beside figures, all from one run on one machine, for the table, the plot and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

BENCH_VERSION = 2

OfRound = Literal["mean", "median"]


def given_turns(rounds: Iterable[Iterable[float | None]]) -> list[float]:
    """Return the turns that gave a figure, of all rounds.

    >>> given_turns([[1.0, None], [], [2.0]])
    [1.0, 2.0]
    """
    return [turn for turns in rounds for turn in turns if turn is not None]


class BenchFigure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one tool achieved in one discipline.

    Attributes:
      tool: "ours", "bare loop" or a peer's name.
      turns: figures of each round, in order; None where a turn gave none (nothing loss-free, tool failed).
      of_round: what of its turns is the figure of a round.
      median: of the rounds that have a figure; None without any.
      note: what the reader must know of it.
    """

    tool: str
    turns: list[list[float | None]]
    of_round: OfRound = "median"
    median: float | None
    note: str = ""


class BenchRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One discipline.

    Attributes:
      key: short name, "rate-64".
      what: in words.
      unit: of the figures.
      goal: in words, as in the project's goals.
      measured: our side of the goal in words, ratios from this run only.
      is_reached: None where it cannot be said (no peer installed, not possible here).
      is_more_better: whether larger figures are better.
    """

    key: str
    what: str
    unit: str
    goal: str
    measured: str
    is_reached: bool | None
    is_more_better: bool
    figures: list[BenchFigure]
    notes: list[str] = []


class BenchResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole bench.

    Attributes:
      place: "veth between two namespaces" or "loopback".
      buffer_bytes: receive buffer that every tool was told to ask for.
      load: load average of the last minute before and after.
      tools: versions of the peers that took part.
      absent: peers that did not, and why.
    """

    version: int = BENCH_VERSION
    created: str
    is_quick: bool
    is_complete: bool
    place: str
    rounds: int
    buffer_bytes: int
    kernel: str
    n_cpus: int
    load: list[float]
    tools: dict[str, str]
    absent: dict[str, str]
    rows: list[BenchRow]
    notes: list[str] = []
