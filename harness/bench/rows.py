"""Rounds of a bench and the rows that they become: medians beside medians, and ratios against goals."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from harness.bench.place import Place
from harness.bench.tools import BARE, BARE_EAGER, OURS, PEERS, UNICAST_ONLY, Task, Tool
from harness.model.bench import BenchFigure, BenchRow, OfRound, given_turns

SMALL, LARGE = 64, 1400
TURNS = 5
"""Turns of a tool in a round, where one second differs much from the next: a virtual machine's processor runs now at
full speed and now at two thirds of it, and the same program's pace at one time is three times as even as at another.
Between two speeds the mean of a round's turns lies still, where their median jumps from the one to the other; where a
turn may be an outlier it is the other way round.
"""
RATE_TURNS = 8
"""The same for rates without offload, of which two goals lie within a twentieth of what there is."""
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
        of_round: OfRound = "median",
        decides: Callable[[Tool, dict[str, list[float]]], bool] = lambda _, __: True,
    ) -> dict[str, BenchFigure]:
        """Measure every tool in every round, so that all of them meet the same load of the machine.

        Args:
          tools: who takes part.
          measure: returns a tool's figure, None for none, and a note.
          turns: how often a tool has its turn in a round; once in a quick bench.
          of_round: what of its turns is the figure of a round.
          decides: whether a tool has further turns after the first of a round, by all figures so far.
        """
        tools, turns = list(tools), 1 if self.is_quick else turns
        found: dict[str, list[list[float | None]]] = {tool.name: [] for tool in tools}
        notes: dict[str, str] = {}
        for number in range(self.rounds):
            taking = tools
            for rounds in found.values():
                rounds.append([])
            for turn in range(turns):
                if turn == 1:
                    given = {name: given_turns(rounds) for name, rounds in found.items()}
                    taking = [tool for tool in tools if decides(tool, given)]
                for tool in taking:
                    value, note = measure(tool)
                    said = "n/a" if value is None else f"{value:,.0f}"
                    self.tell(f"  round {number + 1}, {tool.name}: {said} {note}")
                    found[tool.name][-1].append(value)
                    if note:
                        notes[tool.name] = note
        return {name: figure_of(name, rounds, notes.get(name, ""), of_round) for name, rounds in found.items()}


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


def one_each(figures: Iterable[float | None]) -> list[list[float | None]]:
    """Return rounds of one turn each."""
    return [[figure] for figure in figures]


def figure_of(tool: str, rounds: list[list[float | None]], note: str = "", of_round: OfRound = "median") -> BenchFigure:
    """Return a tool's turns with the median of its rounds; turns that gave nothing are left out of it and said.

    >>> figure_of("ours", [[1.0, 2.0, 6.0], [None, 5.0], [None]], of_round="mean").median
    4.0
    """
    n_given, n_turns = len(given_turns(rounds)), sum(len(turns) for turns in rounds)
    if 0 < n_given < n_turns:
        note = f"{n_turns - n_given} of {n_turns} turns gave none" + (f"; {note}" if note else "")
    median = _median([given_turns([turns]) for turns in rounds], of_round)
    return BenchFigure(tool=tool, turns=rounds, of_round=of_round, median=median, note=note)


def _median(rounds: Iterable[list[float]], of_round: OfRound) -> float | None:
    """Return the median of the rounds that have turns; None without any."""
    of_turns = statistics.fmean if of_round == "mean" else statistics.median
    figures = [of_turns(turns) for turns in rounds if turns]
    return statistics.median(figures) if figures else None


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
    return Ratio(ratio(ours.median, other.median), whom, limit, span(ours, other))


def span(ours: BenchFigure, other: BenchFigure) -> tuple[float, float] | None:
    """Return from where to where the ratio of medians is in nine of ten draws of as many turns as there were.

    Each draw takes turns of either program at random, some more than once (the bootstrap's percentile interval; Efron
    and Tibshirani, An Introduction to the Bootstrap, 13.3). The draws are the same for the same turns.

    Args:
      ours: turns of this program, in any unit; those that gave nothing are left out.
      other: turns of the other.

    >>> ours, other = figure_of("ours", one_each([10.0] * 5)), figure_of("iperf", [[5.0] * 5])
    >>> span(ours, other), span(ours, figure_of("iperf", one_each([5.0])))
    ((2.0, 2.0), None)
    """
    if min(len(given_turns(one.turns)) for one in (ours, other)) < LEAST_TURNS:
        return None
    dice = random.Random(0)
    found = [ratio(_drawn(ours, dice), _drawn(other, dice)) for _ in range(N_DRAWS)]
    known = sorted(one for one in found if one is not None)
    return (known[BEYOND], known[-1 - BEYOND]) if len(known) == N_DRAWS else None


def _drawn(figure: BenchFigure, dice: random.Random) -> float | None:
    """Return the median of as many turns in each round, taken at random from all of them."""
    given = given_turns(figure.turns)
    return _median([dice.choices(given, k=len(given_turns([turns]))) for turns in figure.turns], figure.of_round)


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
