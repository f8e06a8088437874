"""The verdict over boots: how often the fault was seen, what it depends on, and how far that can be trusted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from harness.campaign.exact import boots_needed, boots_to_bound, clopper_pearson, fisher_groups
from harness.compare.statistics import fisher_exact, holm
from harness.errors import AnalysisError
from harness.model.boots import BootMeasures, CampaignStatistics, CommonChange, Rate, VariableTest
from harness.model.evidence_change import Change

CONFIDENCE, ALPHA = 0.95, 0.05

MOST_CHANGES = 50
"""Changes that are kept, the most telling first."""

_EVERY_BOOT = ("boot", "evidence")
"""Kinds of changes that every boot shows, or that say nothing of the system."""


def statistics(boots: Sequence[BootMeasures], variables: Iterable[str]) -> CampaignStatistics:
    """Return the verdict over boots.

    Args:
      boots: all of them, those that could not run included.
      variables: of the matrix, in its order.
    """
    names = list(variables)
    total = _rate("", boots)
    tests = [_variable(name, boots) for name in names]
    tested = [test for test in tests if test.p_value is not None]
    adjusted = iter(holm([test.p_value for test in tested if test.p_value is not None]))
    tests = [_judged(test, next(adjusted) if test.p_value is not None else None) for test in tests]
    return CampaignStatistics(
        confidence=CONFIDENCE,
        alpha=ALPHA,
        total=total,
        outcomes=dict(sorted(Counter(boot.outcome for boot in boots).items())),
        variables=tests,
        changes=_common(boots),
        sentence=_sentence(total, tests),
        further=_further(total, tests),
    )


def _rate(value: str, boots: Iterable[BootMeasures]) -> Rate:
    """Return the rate among boots; those that tell nothing are counted beside it, never into it."""
    all_of_them = list(boots)
    ran = [boot for boot in all_of_them if boot.is_counted]
    n_reproduced = sum(boot.outcome == "reproduced" for boot in ran)
    rate = Rate(value=value, reproduced=n_reproduced, ran=len(ran), not_run=len(all_of_them) - len(ran))
    if not ran:
        return rate
    low, high = clopper_pearson(n_reproduced, len(ran), CONFIDENCE)
    return msgspec.structs.replace(rate, rate=n_reproduced / len(ran), low=low, high=high)


def _variable(name: str, boots: Sequence[BootMeasures]) -> VariableTest:
    values = sorted({boot.values[name] for boot in boots if name in boot.values})
    rates = [_rate(value, (boot for boot in boots if boot.values.get(name) == value)) for value in values]
    ran = [rate for rate in rates if rate.ran]
    shown = ", ".join(f"{rate.value} {rate.reproduced} of {rate.ran}" for rate in rates)
    n_reproduced = sum(rate.reproduced for rate in ran)
    if len(ran) < 2 or n_reproduced in (0, sum(rate.ran for rate in ran)):
        why = "no two values to compare" if len(ran) < 2 else "the same for every value"
        return VariableTest(variable=name, rates=rates, sentence=f"{name}: {shown or 'no boot'}: {why}")
    try:
        p_value = fisher_groups([rate.reproduced for rate in ran], [rate.ran for rate in ran])
    except AnalysisError as exc:
        return VariableTest(variable=name, rates=rates, sentence=f"{name}: {shown}: {exc}")
    return VariableTest(variable=name, rates=rates, p_value=p_value, sentence=f"{name}: {shown}")


def _judged(test: VariableTest, p_adjusted: float | None) -> VariableTest:
    """Return a test with its corrected p-value, what that means, and how many boots would tell more."""
    if p_adjusted is None:
        return test
    is_significant = p_adjusted <= ALPHA
    known = [rate.rate for rate in test.rates if rate.rate is not None]
    needed = None if is_significant else boots_needed(max(known), min(known), ALPHA)
    said = f"{test.sentence}, p {format_p(p_adjusted)}"
    if is_significant:
        said += ": the fault depends on it"
    elif needed is not None:
        said += f": not significant; about {needed} boots of each value would show a difference as large as this"
    else:
        said += ": not significant"
    return msgspec.structs.replace(
        test, p_adjusted=p_adjusted, is_significant=is_significant, needed=needed, sentence=said
    )


def format_p(p: float) -> str:
    """Return a p-value with what stands before it.

    >>> format_p(0.00832), format_p(0.5), format_p(1e-9)
    ('= 0.0083', '= 0.50', '< 0.0001')
    """
    if p < 0.0001:
        return "< 0.0001"
    return f"= {p:.2f}" if p >= 0.095 else f"= {p:.4f}" if p < 0.01 else f"= {p:.3f}"


def format_percent(ratio: float | None) -> str:
    """Return a rate as whole percent.

    >>> format_percent(0.352), format_percent(None)
    ('35 %', 'undefined')
    """
    return "undefined" if ratio is None else f"{ratio * 100:.0f} %"


def _sentence(total: Rate, tests: Sequence[VariableTest]) -> str:
    if not total.ran:
        return "no boot could tell anything of the fault"
    bounds = f"{format_percent(total.low)} to {format_percent(total.high)}"
    rate = f"{format_percent(total.rate)}, {CONFIDENCE * 100:.0f} % bounds {bounds}"
    said = f"the fault was seen on {total.reproduced} of {total.ran} boots ({rate})"
    telling = [test for test in tests if test.is_significant]
    if telling:
        best = min(telling, key=lambda test: test.p_adjusted or 0.0)
        rates = ", ".join(f"{rate.value} {rate.reproduced} of {rate.ran}" for rate in best.rates)
        said += f"; it depends on {best.variable}: {rates}, p {format_p(best.p_adjusted or 0.0)}"
    return said


def _further(total: Rate, tests: Sequence[VariableTest]) -> str:
    """Return how many more boots a claim would need."""
    if not total.reproduced:
        rules = ", ".join(f"{boots_to_bound(rate)} for {format_percent(rate)}" for rate in (0.1, 0.05, 0.01))
        so_far = f"at most {format_percent(total.high)} so far; " if total.ran else ""
        return f"{so_far}so many boots without the fault bound its rate with 95 % confidence: {rules}"
    open_ones = [test for test in tests if test.needed is not None]
    if not open_ones:
        return ""
    said = []
    for test in open_ones:
        least = min(rate.ran for rate in test.rates)
        more = max(0, (test.needed or 0) - least)
        said.append(f"{test.variable}: {test.needed} boots of each value, {more} more than now")
    return "to tell a difference as large as the one seen, in four of five campaigns: " + "; ".join(said)


def _common(boots: Sequence[BootMeasures]) -> list[CommonChange]:
    """Return changes against the last good boot by how well they tell failing boots from good ones."""
    judged = [boot for boot in boots if boot.is_counted and boot.changes_good is not None]
    failing = [boot for boot in judged if boot.outcome == "reproduced"]
    good = [boot for boot in judged if boot.outcome == "ok"]
    if not failing or not good:
        return []
    texts: dict[str, str] = {}
    in_failing, in_good = _counted(failing, texts), _counted(good, texts)
    rows = []
    for key in texts:
        a, b = in_failing[key], in_good[key]
        if a * len(good) > b * len(failing):  # commoner among the failing ones
            rows.append((fisher_exact(a, len(failing) - a, b, len(good) - b), key))
    adjusted = holm([p_value for p_value, _ in rows])
    found = [
        CommonChange(
            key=key,
            text=texts[key],
            failing=in_failing[key],
            n_failing=len(failing),
            good=in_good[key],
            n_good=len(good),
            p_value=p_value,
            p_adjusted=p_adjusted,
        )
        for (p_value, key), p_adjusted in zip(rows, adjusted, strict=True)
    ]
    return sorted(found, key=lambda change: (change.p_value, -change.failing, change.key))[:MOST_CHANGES]


def _counted(boots: Iterable[BootMeasures], texts: dict[str, str]) -> Counter[str]:
    """Return in how many boots each change is seen; `texts` gets how the first of them put it."""
    counts: Counter[str] = Counter()
    for boot in boots:
        for key in {change_key(change): change for change in boot.changes_good or []}:
            counts[key] += 1
        for change in boot.changes_good or []:
            if change.kind not in _EVERY_BOOT:
                texts.setdefault(change_key(change), change.text)
    return counts


def change_key(change: Change) -> str:
    """Return what two boots have in common when both show a change of the same thing, whatever its values.

    >>> change_key(Change(kind="interface", subject="eth0", field="index", before="2", after="3", text="..."))
    'interface eth0 index'
    """
    came = "" if change.before is not None else " came" if change.after is not None else ""
    went = " went" if change.after is None and change.before is not None else ""
    return f"{change.kind} {change.subject} {change.field}".strip() + came + went
