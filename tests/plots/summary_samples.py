"""Summaries as an analysis would make them, from simulated arrivals: test input of plots and report."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.model import (
    Attribution,
    Distribution,
    Event,
    Limit,
    Mark,
    Parameters,
    Reordering,
    Schedule,
    SenderSummary,
    Series,
    StreamSummary,
    Summary,
    Thinning,
    Verdict,
    Window,
)

T0 = 1_784_030_400_250_000_000
"""2026-07-14 12:00:00.250 UTC."""
MS = 1_000_000
S = 1_000_000_000


def distribution(values: NDArray[np.int64]) -> Distribution:
    """The distribution of some samples, with a histogram in bins that widen with their distance from 0."""
    if not len(values):
        return Distribution(n=0)
    low, high = int(values.min()), int(values.max())
    grid = 100 * 1.05 ** np.arange(520)  # as a sketch with a relative error has them, of either sign
    grid = np.concatenate((-grid[::-1], [0.0], grid))
    edges = grid[np.searchsorted(grid, low, side="right") - 1 : np.searchsorted(grid, high, side="right") + 1]
    counts, _ = np.histogram(values, edges)
    return Distribution(
        n=len(values),
        minimum_ns=low,
        maximum_ns=high,
        mean_ns=float(values.mean()),
        percentiles_ns={name: float(np.percentile(values, float(name))) for name in ("50", "90", "99", "99.9")},
        relative_error=0.01,
        edges_ns=[float(edge) for edge in edges],
        counts=[int(number) for number in counts],
    )


@dataclass(frozen=True)
class Recipe:
    """A stream to simulate: n packets every interval; runs of numbers that get lost, and their class."""

    number: int = 0
    n: int = 30_000
    interval_ns: int = MS
    start_ns: int = T0
    gaps: tuple[tuple[int, int, str], ...] = ()
    period_ns: int | None = None
    random_loss: float = 0.0
    thin: tuple[int, int, float] | None = None
    reorder: int = 0
    duplicates: int = 0
    too_late: int = 0
    corrupt: int = 0
    delay_ns: int = 400_000
    spread_ns: int = 90_000
    receiver: str = ""
    sender: int | None = None
    source_kind: str = "probe"
    numbered: bool = True
    notes: tuple[str, ...] = ()
    bins: int = 600

    @property
    def origin(self) -> int:
        """Which sender it is of: several receivers may hear the same."""
        return self.number if self.sender is None else self.sender


def simulate(recipe: Recipe) -> StreamSummary:
    """Simulate one stream and count what an analysis would count."""
    rng = np.random.default_rng(recipe.number + 7)
    n, interval = recipe.n, recipe.interval_ns
    due = recipe.start_ns + np.arange(n, dtype=np.int64) * interval
    is_lost = rng.random(n) < recipe.random_loss
    for first, last, kind in recipe.gaps:
        is_lost[first : last + 1] = kind not in ("stall",)
    thinning = []
    if recipe.thin:
        first, last, density = recipe.thin
        is_lost[first : last + 1] |= rng.random(last + 1 - first) < density
        thinning.append(
            Thinning(
                first_seq=first,
                last_seq=last,
                lost=int(is_lost[first : last + 1].sum()),
                density=density,
                start_ns=int(due[first]),
                end_ns=int(due[last]) + interval,
            )
        )
    delay = recipe.delay_ns + (rng.gamma(2.0, recipe.spread_ns, n)).astype(np.int64)
    for first, last, kind in recipe.gaps:
        if kind == "stall":
            delay[first : last + 1] += due[last] - due[first : last + 1] + interval
    seq = np.flatnonzero(~is_lost)
    rx = due[seq] + delay[seq]
    windows = [_window(recipe, due, first, last, kind) for first, last, kind in recipe.gaps]
    chosen = rng.permutation(seq)
    marks = _marks(recipe, chosen, due, delay)
    lost = int(is_lost.sum())
    in_windows = sum(window.packets or 0 for window in windows)
    in_thinning = sum(item.lost for item in thinning)
    observed = recipe.source_kind == "observed"
    return StreamSummary(
        number=recipe.number,
        receiver=recipe.receiver,
        source="10.0.0.1:5004",
        group=f"239.1.2.{recipe.origin % 250 + 3}:5000",
        interface="eth0",
        protocol="rtp" if observed else "probe",
        stream_id=None if observed else recipe.origin + 1,
        epoch=None if observed else 77,
        key={"ssrc": "0x1f2e3d4c"} if observed else {},
        label=f"239.1.2.{recipe.origin % 250 + 3}:5000 "
        + ("ssrc 0x1f2e3d4c" if observed else f"stream {recipe.origin + 1}")
        + " from 10.0.0.1:5004"
        + (f" at {recipe.receiver}" if recipe.receiver else ""),
        schedule=Schedule(
            source=recipe.source_kind,  # type: ignore[arg-type] # a recipe's text is one of the sources
            first_due_ns=None if observed else recipe.start_ns,
            interval_ns=interval,
            sent=None if observed else n,
        ),
        first_rx_ns=int(rx.min()) if len(rx) else None,
        last_rx_ns=int(rx.max()) if len(rx) else None,
        expected=n if recipe.numbered else None,
        received=len(seq),
        lost=lost if recipe.numbered else None,
        duplicates=recipe.duplicates,
        reordered=recipe.reorder if recipe.numbered else None,
        too_late=recipe.too_late,
        corrupt=recipe.corrupt,
        misdelivered=0,
        loss_ratio=lost / n if recipe.numbered and n else None,
        loss_periods=None,
        longest_loss_period=None,
        windows=windows,
        thinning=thinning,
        isolated=lost - in_windows - in_thinning if recipe.numbered else None,
        edge=0 if recipe.numbered else None,
        attribution=Attribution(network=lost - recipe.too_late, late=recipe.too_late),
        delay=Distribution(n=0) if observed else distribution(delay[seq]),
        ipdv=distribution(np.diff(delay[seq])[np.diff(seq) == 1]),
        jitter_ns=float(np.abs(np.diff(delay[seq])).mean()) if len(seq) > 1 else None,
        reordering=Reordering(
            reordered=recipe.reorder, ratio=recipe.reorder / len(seq), extent_max=4 if recipe.reorder else None
        )
        if len(seq) and recipe.numbered
        else None,
        series=_series(recipe, due, is_lost, seq, rx, None if observed else delay[seq]),
        marks=marks,
        notes=list(recipe.notes),
    )


def _window(recipe: Recipe, due: NDArray[np.int64], first: int, last: int, kind: str) -> Window:
    return Window(
        kind=kind,  # type: ignore[arg-type] # a recipe's text is one of the classes
        first_seq=first if recipe.numbered else None,
        last_seq=last if recipe.numbered else None,
        start_ns=int(due[first]),
        end_ns=int(due[last]) + recipe.interval_ns,
        packets=(0 if kind == "stall" else last - first + 1) if recipe.numbered else None,
        period_ns=recipe.period_ns if kind == "periodic" else None,
    )


def _marks(recipe: Recipe, chosen: NDArray[np.int64], due: NDArray[np.int64], delay: NDArray[np.int64]) -> list[Mark]:
    wanted = [("reordered", recipe.reorder), ("duplicate", recipe.duplicates), ("too_late", recipe.too_late)]
    marks, begin = [], 0
    for kind, number in [*wanted, ("corrupt", recipe.corrupt)]:
        late = {"reordered": 4 * recipe.interval_ns, "too_late": 900 * recipe.interval_ns}.get(kind, 0)
        marks += [
            Mark(kind=kind, rx_ns=int(due[k] + delay[k]) + late, seq=int(k))  # type: ignore[arg-type] # a known kind
            for k in chosen[begin : begin + number]
        ]
        begin += number
    return sorted(marks, key=lambda mark: mark.rx_ns)


def _series(
    recipe: Recipe,
    due: NDArray[np.int64],
    is_lost: NDArray[np.bool_],
    seq: NDArray[np.int64],
    rx: NDArray[np.int64],
    delay: NDArray[np.int64] | None,
) -> Series:
    start = min(recipe.start_ns, int(rx.min())) if len(rx) else recipe.start_ns
    end = max(int(due[-1]) + recipe.interval_ns, int(rx.max()) + 1 if len(rx) else 0)
    bin_ns = max(recipe.interval_ns if recipe.n < 50 else 1, -(-(end - start) // recipe.bins))
    n = -(-(end - start) // bin_ns)
    where = (rx - start) // bin_ns
    first: list[int | None] = [None] * n
    last: list[int | None] = [None] * n
    low: list[int | None] = [None] * n
    high: list[int | None] = [None] * n
    for k, number, late in zip(where, seq, delay if delay is not None else rx, strict=True):
        a, b, c, d = first[k], last[k], low[k], high[k]
        first[k] = int(number) if a is None else min(a, int(number))
        last[k] = int(number) if b is None else max(b, int(number))
        low[k] = int(late) if c is None else min(c, int(late))
        high[k] = int(late) if d is None else max(d, int(late))
    due_bin = (due - start) // bin_ns
    return Series(
        start_ns=start,
        bin_ns=bin_ns,
        received=np.bincount(where, minlength=n).tolist(),
        due=np.bincount(due_bin, minlength=n).tolist() if recipe.numbered else [],
        lost=np.bincount(due_bin[is_lost], minlength=n).tolist() if recipe.numbered else [],
        first_seq=first if recipe.numbered else [],
        last_seq=last if recipe.numbered else [],
        delay_min_ns=low if delay is not None else [],
        delay_max_ns=high if delay is not None else [],
    )


def summary(*recipes: Recipe, **fields: object) -> Summary:
    """A summary of simulated streams."""
    given = {"path": "results/run", "parameters": Parameters(), **fields}
    return Summary(streams=[simulate(recipe) for recipe in recipes], **given)  # type: ignore[arg-type] # field values


EVENTS = [
    Event(t_ns=T0 - 3600 * S, kind="boot", text="boot id 1f2e", monotonic_ns=0),
    Event(t_ns=T0 - 10 * MS, kind="join", text="(*, 239.1.2.3) on eth0", receiver="rx-a"),
    Event(t_ns=T0 - 9 * MS, kind="join", text="(*, 239.1.2.3) on eth1", receiver="rx-b"),
    Event(t_ns=T0 + 12 * S, kind="link", text="eth0 down"),
    Event(t_ns=T0 + 13 * S + 300 * MS, kind="link", text="eth0 up"),
    Event(t_ns=T0 + 14 * S, kind="reopen", text="", receiver="rx-a"),
    Event(t_ns=T0 + 20 * S, kind="note", text="moved the cable to port 7"),
    Event(t_ns=T0 + 25 * S, kind="clock_step", text="+2.1 s"),
]
SENDER = SenderSummary(
    stream_id=1,
    epoch=77,
    source="10.0.0.1:5004",
    group="239.1.2.3:5000",
    scheduled=30_000,
    sent=29_990,
    refused=6,
    not_sent=4,
    errnos={"ENOBUFS": 6},
    lateness=distribution(np.random.default_rng(1).gamma(2, 20_000, 5_000).astype(np.int64)),
)
LIMITS = [
    Limit(name="max_loss", limit="0.1%", measured="4.33 %", is_passed=False),
    Limit(name="max_dropout", limit="200ms", measured="1.3 s", is_passed=False),
    Limit(name="max_reordered", limit="1%", measured="0 %", is_passed=True),
    Limit(name="max_duplicates", limit="0", measured="n/a", is_passed=None),
]
VERDICTS = [
    Verdict(
        name="link-down",
        sentence="the link of eth0 was down during the window",
        score=0.9,
        evidence_for=["link down at 12:00:12.250", "the window ends with the link"],
        evidence_against=["no carrier change counted on the switch"],
        settled_by="a second receiver on the same switch",
        remedy="replace the cable",
    ),
    Verdict(name="querier-lost", sentence="the querier went away", score=0.2),
]


def healthy() -> Summary:
    return summary(Recipe(receiver="rx-a"))


def blackout() -> Summary:
    """One mid-run window of 1.3 s, two receivers of which one hears everything; events, limits, verdicts, a sender."""
    return summary(
        Recipe(receiver="rx-a", gaps=((12_000, 13_299, "mid_run"),), notes=("clock offset removed: 2.5 s",)),
        Recipe(number=1, sender=0, receiver="rx-b", delay_ns=650_000),
        events=EVENTS,
        senders=[SENDER],
        limits=LIMITS,
        verdicts=VERDICTS,
        rejected={"too short": 3, "bad magic": 1},
        misdelivered=2,
        socket_drops=0,
        notes=["torn tail: 3 records dropped"],
    )


def periodic() -> Summary:
    gaps = tuple((first, first + 199, "periodic") for first in range(4_000, 30_000, 5_000))
    return summary(Recipe(gaps=gaps, period_ns=5 * S))


def late_and_stopped() -> Summary:
    return summary(
        Recipe(gaps=((0, 2_499, "late_start"), (26_000, 29_999, "stopped"))),
        Recipe(number=1, gaps=((28_000, 29_999, "stopped_or_ended"),)),
    )


def thinned() -> Summary:
    return summary(Recipe(thin=(9_000, 15_000, 0.08), random_loss=0.0004))


def disordered() -> Summary:
    return summary(Recipe(reorder=40, duplicates=25, too_late=9, corrupt=4, random_loss=0.0003, n=6_000))


def never_received() -> Summary:
    return summary(Recipe(n=5_000, gaps=((0, 4_999, "never_received"),)), Recipe(number=1, n=5_000))


def passive() -> Summary:
    """RTP without a schedule: an outage and a stall; beside it an unnumbered stream with silences."""
    gaps = ((3_000, 3_400, "outage"), (6_000, 6_150, "stall"), (9_000, 9_020, "outage"))
    silences = ((0, 800, "silent_start"), (5_000, 5_600, "silence"))
    return summary(
        Recipe(n=12_000, interval_ns=4 * MS, gaps=gaps, source_kind="observed"),
        Recipe(number=1, n=12_000, interval_ns=4 * MS, gaps=silences, source_kind="observed", numbered=False),
    )


def aperiodic() -> Summary:
    """Bursts with pauses in which nothing is due, and a window whose edges are interpolated."""
    made = simulate(Recipe(n=2_000, interval_ns=2 * MS, gaps=((700, 760, "mid_run"),), source_kind="interpolated"))
    series = made.series
    quiet = [k % 150 > 90 for k in range(len(series.received))]

    def silenced(values: list[int]) -> list[int]:
        return [0 if still else value for value, still in zip(values, quiet, strict=True)]

    def absent(values: list[int | None]) -> list[int | None]:
        return [None if still else value for value, still in zip(values, quiet, strict=True)]

    bursts = Series(
        start_ns=series.start_ns,
        bin_ns=series.bin_ns,
        received=silenced(series.received),
        due=silenced(series.due),
        lost=silenced(series.lost),
        first_seq=absent(series.first_seq),
        last_seq=absent(series.last_seq),
    )
    windows = [
        Window(
            kind="mid_run",
            first_seq=700,
            last_seq=760,
            start_ns=made.windows[0].start_ns,
            end_ns=made.windows[0].end_ns,
            packets=61,
            is_interpolated=True,
        )
    ]
    return Summary(
        path="results/run",
        parameters=Parameters(tmax_ns=3 * S, min_duration_ns=5 * MS),
        streams=[
            _replaced(made, series=bursts, windows=windows, schedule=Schedule(source="interpolated", interval_ns=0))
        ],
    )


def _replaced(stream: StreamSummary, **fields: object) -> StreamSummary:
    import msgspec

    return msgspec.structs.replace(stream, **fields)


def many(n: int = 40) -> Summary:
    """Many streams of which every seventh has a window, and some loss at random."""
    recipes = [
        Recipe(
            number=k,
            n=2_000,
            interval_ns=10 * MS,
            gaps=((300 + 37 * k % 1_500, 320 + 37 * k % 1_500 + k, "mid_run"),) if k % 7 == 0 else (),
            random_loss=0.002 if k % 5 == 0 else 0,
            bins=300,
        )
        for k in range(n)
    ]
    return summary(*recipes)


def tiny() -> Summary:
    return summary(Recipe(n=5, interval_ns=20 * MS))


def single() -> Summary:
    return summary(Recipe(n=1, interval_ns=20 * MS))


def empty() -> Summary:
    return Summary(path="results/empty", parameters=Parameters(), streams=[])


def negative_delay() -> Summary:
    return summary(Recipe(delay_ns=-2 * S, notes=("delays are negative: the clocks disagree by at least 2 s",)))


def long_soak() -> Summary:
    """Three days at one packet every ten seconds, over midnight, with one long gap."""
    return summary(Recipe(n=25_920, interval_ns=10 * S, gaps=((9_000, 9_700, "mid_run"),), random_loss=0.0005))


def hostile() -> Summary:
    """Text from the network and the user that tries to break out of a picture, a page and a table."""
    base = blackout()
    evil = "<script>alert(1)</script>|$x$\n\x1b[31m@all `code` ](http://evil.example) \u202e\ud800 漢字"
    streams = [
        _replaced(stream, label=evil, group=evil, source=evil, interface=evil, receiver=evil, notes=[evil])
        for stream in base.streams
    ]
    return Summary(
        path=evil,
        parameters=base.parameters,
        streams=streams,
        events=[Event(t_ns=T0 + S, kind="note", text=evil, receiver=evil)],
        senders=[_changed(SENDER, source=evil, group=evil, errnos={evil: 1})],
        limits=[Limit(name=evil, limit=evil, measured=evil, is_passed=False)],
        verdicts=[Verdict(name=evil, sentence=evil, evidence_for=[evil], settled_by=evil, remedy=evil)],
        rejected={evil: 3},
        notes=[evil],
    )


def _changed(sender: SenderSummary, **fields: object) -> SenderSummary:
    import msgspec

    return msgspec.structs.replace(sender, **fields)


SAMPLES = {
    build.__name__: build
    for build in (
        healthy, blackout, periodic, late_and_stopped, thinned, disordered, never_received, passive, aperiodic, many,
        tiny, single, empty, negative_delay, long_soak, hostile,
    )
}  # fmt: skip
"""Every sample by its name."""
