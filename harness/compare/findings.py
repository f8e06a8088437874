"""The tests of a comparison, and what they say in words.

Loss is tested by events (see `events`), not by packets: packets that are lost together are one observation. Receivers
of the very same stream are compared by the packets that one of them alone lost (an exact McNemar test on runs of such
packets), others by Fisher's exact test on loss events against packets received. Windows are tested as rates. Delay and
IPDV are compared as whole distributions by the least Kolmogorov-Smirnov distance that their histograms allow, which
makes the test conservative; as many observations count as there are bins of time in which something came, since
neighbouring delays depend on each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.compare.statistics import binomial_exact, fisher_exact, ks_bounds, ks_p_value, rate_test
from harness.model import Distribution, StreamSummary
from harness.model.comparison import Finding, SharedLoss
from harness.plots.wording import count, duration, percent, plural
from harness.units import NS_PER_S

FISHER = "exact Fisher test on loss events against packets received"
MCNEMAR = "exact McNemar test on runs of packets lost by one of the two alone"
RATE = "exact test of two Poisson rates"
KS = "Kolmogorov-Smirnov test on histograms, one observation a bin of time"
_COARSE = 0.5
"""Distance between the bounds above which a test that finds nothing says nothing."""
_FEWEST = 8
"""Observations below which the approximation of the Kolmogorov-Smirnov distribution is not trusted."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared.

    Attributes:
      place, name, stream: in the match.
      events: that its losses amount to; None where they cannot be known.
      has_one_clock: whether its delays are by one clock, and so true.
    """

    place: int
    name: str
    stream: StreamSummary
    events: int | None = None
    has_one_clock: bool = False


def findings_between(first: Side, second: Side, shared: SharedLoss | None, alpha: float) -> list[Finding]:
    """Return a finding for each thing that two streams can differ in; what neither has is left out.

    Args:
      first: one of the two.
      second: the other.
      shared: losses packet by packet, when both heard the very same stream.
      alpha: level below which a p-value decides.
    """
    found = [_loss(first, second, shared), _windows(first, second)]
    is_true = first.has_one_clock and second.has_one_clock
    base = (0, 0) if is_true else (first.stream.delay.minimum_ns or 0, second.stream.delay.minimum_ns or 0)
    what = "delay" if is_true else "delay variation"
    found.append(_distribution(what, first, second, (first.stream.delay, second.stream.delay), base, alpha))
    found.append(_distribution("IPDV", first, second, (first.stream.ipdv, second.stream.ipdv), (0, 0), alpha))
    return [finding for finding in found if finding is not None]


def _untested(measure: str, first: Side, second: Side, reason: str) -> Finding:
    sentence = f"{measure} cannot be tested: {reason}"
    return Finding(measure=measure, first=first.place, second=second.place, test="", p_value=None, sentence=sentence)


def _loss(first: Side, second: Side, shared: SharedLoss | None) -> Finding | None:
    if shared is not None and first.place in shared.members and second.place in shared.members:
        return _paired_loss(first, second, shared)
    a, b = first.events, second.events
    unknown = [side.name for side in (first, second) if side.events is None]
    if a is None or b is None:
        return _untested("loss", first, second, f"the loss of {' and '.join(unknown)} cannot be known")
    if not first.stream.expected or not second.stream.expected:
        return _untested("loss", first, second, "nothing was due")
    p = fisher_exact(a, first.stream.received, b, second.stream.received)
    sentence = f"loss: {first.name} {_loss_text(first.stream, a)}, {second.name} {_loss_text(second.stream, b)}"
    return _finding("loss", first, second, FISHER, p, sentence)


def _loss_text(stream: StreamSummary, events: int) -> str:
    return f"{percent(stream.loss_ratio)} ({plural(events, 'loss event')}, {count(stream.received)} received)"


def _paired_loss(first: Side, second: Side, shared: SharedLoss) -> Finding:
    """Test whether one of two receivers of the same packets loses more by itself.

    With more than two receivers, only what one of them alone lost is counted for it.
    """
    a, b = (shared.runs_only[shared.members.index(side.place)] for side in (first, second))
    only = [shared.lost_only[shared.members.index(side.place)] for side in (first, second)]
    sentence = (
        f"loss of the same {count(shared.packets)} packets: {first.name} alone lost {count(only[0])}"
        f" in {plural(a, 'run')}, {second.name} alone {count(only[1])} in {plural(b, 'run')}"
    )
    return _finding("loss", first, second, MCNEMAR, binomial_exact(a, a + b), sentence)


def _windows(first: Side, second: Side) -> Finding | None:
    a, b = len(first.stream.windows), len(second.stream.windows)
    if not a and not b:
        return None
    spans = [_watched_ns(side.stream) for side in (first, second)]
    if min(spans) <= 0:
        return _untested("drop-out windows", first, second, "how long the streams were watched is not known")
    p = rate_test(a, spans[0], b, spans[1])
    seconds = [f"{span / NS_PER_S:,.4g} s" for span in spans]
    sentence = (
        f"drop-out windows: {first.name} {plural(a, 'window')} in {seconds[0]},"
        f" {second.name} {plural(b, 'window')} in {seconds[1]}"
    )
    return _finding("drop-out windows", first, second, RATE, p, sentence)


def _watched_ns(stream: StreamSummary) -> int:
    """Return from when to when a stream was watched: its series, and its windows beyond that."""
    series, windows = stream.series, stream.windows
    moments = [moment for window in windows for moment in (window.start_ns, window.end_ns)]
    if series.received:
        moments += [series.start_ns, series.start_ns + series.bin_ns * len(series.received)]
    return max(moments) - min(moments) if moments else 0


def _distribution(
    measure: str,
    first: Side,
    second: Side,
    values: tuple[Distribution, Distribution],
    base: tuple[int, int],
    alpha: float,
) -> Finding | None:
    if not values[0].n and not values[1].n:
        return None
    sides = (first, second)
    missing = [side.name for side, each in zip(sides, values, strict=True) if not each.n or not sum(each.counts)]
    if missing:
        return _untested(measure, first, second, f"{' and '.join(missing)} has none")
    sizes = [min(each.n, _bins_heard(side.stream)) for side, each in zip(sides, values, strict=True)]
    if min(sizes) < _FEWEST:
        return _untested(measure, first, second, f"{min(sizes)} independent observations are too few")
    edges = [np.asarray(each.edges_ns) - low for each, low in zip(values, base, strict=True)]
    least, most = ks_bounds(edges[0].tolist(), values[0].counts, edges[1].tolist(), values[1].counts)
    p = ks_p_value(least, sizes[0], sizes[1])
    medians = [_median_text(each, low) for each, low in zip(values, base, strict=True)]
    sentence = (
        f"{measure}: median {first.name} {medians[0]}, {second.name} {medians[1]},"
        f" distance of the distributions {least:.2f} at least, {sizes[0]} and {sizes[1]} observations"
    )
    if p > alpha and most - least > _COARSE:
        reason = f"the histograms are too coarse to decide ({sentence.partition(': ')[2]})"
        return _untested(measure, first, second, reason)
    return _finding(measure, first, second, KS, p, sentence)


def _median_text(values: Distribution, low: int) -> str:
    median = values.percentiles_ns.get("50")
    return duration(None if median is None else median - low)


def _bins_heard(stream: StreamSummary) -> int:
    return sum(number > 0 for number in stream.series.received)


def _finding(measure: str, first: Side, second: Side, test: str, p_value: float, sentence: str) -> Finding:
    return Finding(
        measure=measure, first=first.place, second=second.place, test=test, p_value=p_value, sentence=sentence
    )


def p_text(p_value: float | None) -> str:
    """Return a p-value for people.

    >>> p_text(0.04321), p_text(1e-300), p_text(1.0)
    ('p = 0.043', 'p < 1e-15', 'p = 1')
    """
    if p_value is None:
        return "not tested"
    return "p < 1e-15" if p_value < 1e-15 else f"p = {p_value:.2g}"


def sentence_of(findings: Sequence[tuple[str, Finding]], alpha: float, n_tests: int) -> str:
    """Return what differs significantly, in a sentence or two.

    Args:
      findings: each with the label of its match, or "" where there is only one match.
      alpha: level of significance of all tests together.
      n_tests: how many there were.
    """
    if not n_tests:
        return "Nothing could be tested for a significant difference."
    found = sorted((pair for pair in findings if pair[1].is_significant), key=lambda pair: pair[1].p_adjusted or 0.0)
    corrected = f"Holm-corrected for {plural(n_tests, 'test')}, level {alpha:g}"
    if not found:
        measures = list(dict.fromkeys(finding.measure for _, finding in findings if finding.p_value is not None))
        return f"No significant difference in {_listed(measures)} ({corrected})."
    parts = [
        f"{f'{label}: ' if label else ''}{finding.sentence} ({finding.test}, {p_text(finding.p_adjusted)})"
        for label, finding in found[:3]
    ]
    more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
    return f"Significantly different ({corrected}): {'; '.join(parts)}{more}."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
