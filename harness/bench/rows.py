"""Rounds of a bench and the rows that they become: medians beside medians, and ratios against goals."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.bench.place import Place
from harness.bench.tools import BARE, BARE_EAGER, OURS, PEERS, UNICAST_ONLY, Task, Tool
from harness.model.bench import BenchFigure, BenchRow

SMALL, LARGE = 64, 1400
TURNS = 5
"""Turns of a tool in a round, where one second differs much from the next: a virtual machine's processor runs now at
full speed and now at two thirds of it, and the same program's pace at one time is three times as even as at another.
"""
RIVAL, RIVAL_PACE = 0.8, 3.0
"""A peer comes near the best one with so much of its rate, or this many times its error: on others no goal hangs, and
one turn a round will do."""
N_DRAWS, BEYOND = 400, 20
"""Draws by which a ratio's span is found, and how many of them lie beyond it on either side: it holds nine tenths."""

LEAST_TURNS = 5
"""From fewer turns no span is found."""

_NO_PEERS = {OURS.name, BARE.name, BARE_EAGER.name}


@dataclass
class Bench:
    """What all disciplines need.

    Attributes:
      peers: names of those that take part.
      tell: called with a line of progress.
    """

    place: Place
    peers: set[str]
    rounds: int
    seconds: float
    buffer_bytes: int
    is_quick: bool
    tell: Callable[[str], None] = lambda _: None

    def tools(self, *, unicast: bool = False) -> list[Tool]:
        """Return ourselves, the limit in both its forms, and the peers that take part."""
        chosen = [peer for peer in PEERS if peer.name in self.peers and (unicast or peer.name not in UNICAST_ONLY)]
        return [OURS, *self.limits, *chosen]

    @property
    def limits(self) -> list[Tool]:
        """The bare loop, and but for a quick bench the eager one."""
        return [BARE] if self.is_quick else [BARE, BARE_EAGER]

    def task(self, size: int, pps: int | None = None, **changes: object) -> Task:
        """Return a task with this bench's buffer and duration."""
        return Task(size, self.seconds, self.buffer_bytes, pps, **changes)  # type: ignore[arg-type] # fields of Task

    def alternate(
        self,
        tools: Iterable[Tool],
        measure: Callable[[Tool], tuple[float | None, str]],
        *,
        turns: int = 1,
        decides: Callable[[Tool, dict[str, list[float]]], bool] = lambda _, __: True,
    ) -> dict[str, BenchFigure]:
        """Measure every tool in every round, so that all of them meet the same load of the machine.

        Args:
          tools: who takes part.
          measure: returns a tool's figure, None for none, and a note.
          turns: how often a tool has its turn in a round; once in a quick bench.
          decides: whether a tool has further turns after the first of a round, by all figures so far.
        """
        tools, turns = list(tools), 1 if self.is_quick else turns
        found: dict[str, list[float | None]] = {tool.name: [] for tool in tools}
        notes: dict[str, str] = {}
        for number in range(self.rounds):
            taking = tools
            for turn in range(turns):
                if turn == 1:
                    given = {name: _given(values) for name, values in found.items()}
                    taking = [tool for tool in tools if decides(tool, given)]
                for tool in taking:
                    value, note = measure(tool)
                    said = "n/a" if value is None else f"{value:,.0f}"
                    self.tell(f"  round {number + 1}, {tool.name}: {said} {note}")
                    found[tool.name].append(value)
                    if note:
                        notes[tool.name] = note
        return {name: figure_of(name, values, notes.get(name, "")) for name, values in found.items()}


def decides_rate(tool: Tool, found: dict[str, list[float]]) -> bool:
    """Return whether a goal may hang on a tool's rate: ours, the bare loop's, and a peer's unless it is far behind.

    >>> rates = {"ours": [9.0], "iperf": [2.0], "mgen": [], "nuttcp": [3.6], "sockperf": [4.0, 5.0]}
    >>> [tool.name for tool in (OURS, BARE, BARE_EAGER, *PEERS) if decides_rate(tool, rates)]
    ['ours', 'bare loop', 'mgen', 'sockperf', 'nuttcp']
    """
    if tool.name in _NO_PEERS:
        return tool in (OURS, BARE)
    medians = _peer_medians(found)
    return tool.name not in medians or medians[tool.name] >= RIVAL * max(medians.values())


def decides_pace(tool: Tool, found: dict[str, list[float]]) -> bool:
    """Return whether a goal may hang on a tool's error: ours, and a peer's unless it is far behind.

    >>> errors = {"ours": [6.0], "iperf": [70.0, 80.0], "mgen": [16.0], "sockperf": [8.0, 9.0]}
    >>> [tool.name for tool in (OURS, *PEERS) if decides_pace(tool, errors)]
    ['ours', 'mgen', 'sockperf', 'nuttcp']
    """
    medians = _peer_medians(found)
    return tool.name not in medians or medians[tool.name] <= RIVAL_PACE * min(medians.values())


def _peer_medians(found: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(turns) for name, turns in found.items() if turns and name not in _NO_PEERS}


def _given(turns: Iterable[float | None]) -> list[float]:
    """Return the turns that gave a figure."""
    return [turn for turn in turns if turn is not None]


def figure_of(tool: str, turns: list[float | None], note: str = "") -> BenchFigure:
    """Return a tool's turns with their median; turns that gave nothing are left out of it and said."""
    given = _given(turns)
    if given and len(given) < len(turns):
        note = f"{len(turns) - len(given)} of {len(turns)} turns gave none" + (f"; {note}" if note else "")
    return BenchFigure(tool=tool, turns=turns, median=statistics.median(given) if given else None, note=note)


@dataclass(frozen=True, slots=True)
class Ratio:
    """Our figure against another's.

    Attributes:
      value: None when either is missing.
      whom: "the bare loop".
      limit: what the value has to reach, or for figures of which less is better not to exceed.
      span: from where to where it may be by chance, see `span`; None where that is not known.
    """

    value: float | None
    whom: str
    limit: float
    span: tuple[float, float] | None = None

    def __str__(self) -> str:
        """Return it as "1.04 x sockperf (0.93 to 1.19)"."""
        value = "n/a" if self.value is None else f"{self.value:.2f}"
        chance = "" if self.span is None else f" ({self.span[0]:.2f} to {self.span[1]:.2f})"
        return f"{value} x {self.whom}{chance}"


def against(figures: dict[str, BenchFigure], whom: str, limit: float) -> Ratio:
    """Return our median against that of one other tool."""
    other = figures.get(whom)
    return _ratio_to(figures[OURS.name], other, f"the {whom}" if whom == BARE.name else whom, limit)


def against_best_peer(figures: dict[str, BenchFigure], limit: float, *, is_more_better: bool) -> Ratio:
    """Return our median against that of the best peer."""
    name, _ = best_peer(figures, is_more_better=is_more_better)
    return _ratio_to(figures[OURS.name], figures.get(name), name, limit)


def _ratio_to(ours: BenchFigure, other: BenchFigure | None, whom: str, limit: float) -> Ratio:
    if other is None:
        return Ratio(None, whom, limit)
    return Ratio(ratio(ours.median, other.median), whom, limit, span(ours.turns, other.turns))


def span(ours: Sequence[float | None], others: Sequence[float | None]) -> tuple[float, float] | None:
    """Return from where to where the ratio of medians is in nine of ten draws of as many turns as there were.

    Each draw takes turns of either program at random, some more than once (the bootstrap's percentile interval; Efron
    and Tibshirani, An Introduction to the Bootstrap, 13.3). The draws are the same for the same turns.

    Args:
      ours: turns of this program, in any unit; those that gave nothing are left out.
      others: turns of the other.

    >>> span([10.0, 10.0, 10.0, 10.0, 10.0], [5.0, 5.0, 5.0, 5.0, 5.0]), span([1.0], [1.0])
    ((2.0, 2.0), None)
    """
    given, taken = _given(ours), _given(others)
    if min(len(given), len(taken)) < LEAST_TURNS:
        return None
    dice = random.Random(0)
    draws = ((dice.choices(given, k=len(given)), dice.choices(taken, k=len(taken))) for _ in range(N_DRAWS))
    found = [ratio(statistics.median(mine), statistics.median(theirs)) for mine, theirs in draws]
    known = sorted(one for one in found if one is not None)
    return (known[BEYOND], known[-1 - BEYOND]) if len(known) == N_DRAWS else None


def best_peer(figures: dict[str, BenchFigure], *, is_more_better: bool) -> tuple[str, float | None]:
    """Return name and median of the best peer; "any peer" and None without one."""
    medians = {name: one.median for name, one in figures.items() if name not in _NO_PEERS and one.median is not None}
    best = (max if is_more_better else min)(medians, key=lambda name: medians[name], default="any peer")
    return best, medians.get(best)


def ratio(ours: float | None, other: float | None) -> float | None:
    """Return one median over another; None when either is missing or the other is 0."""
    return ours / other if ours is not None and other else None


def compared(
    key: str, what: str, unit: str, goal: str, figures: dict[str, BenchFigure], ratios: Sequence[Ratio], *,
    is_more_better: bool, notes: Sequence[str] = (),
) -> BenchRow:  # fmt: skip
    """Return the row of a discipline whose goals are ratios; it is reached when all of them are."""
    holds = [
        None if one.value is None else one.value >= one.limit if is_more_better else one.value <= one.limit
        for one in ratios
    ]
    return BenchRow(
        key=key,
        what=what,
        unit=unit,
        goal=goal,
        measured=", ".join(str(one) for one in ratios),
        is_reached=False if False in holds else None if None in holds else True,
        is_more_better=is_more_better,
        figures=list(figures.values()),
        notes=list(notes),
    )


def alone(
    key: str, what: str, unit: str, goal: str, measured: str, is_reached: bool | None, figures: Sequence[BenchFigure]
) -> BenchRow:
    """Return the row of a discipline in which nobody else takes part, and less is better."""
    return BenchRow(
        key=key, what=what, unit=unit, goal=goal, measured=measured, is_reached=is_reached, is_more_better=False,
        figures=list(figures),
    )  # fmt: skip
