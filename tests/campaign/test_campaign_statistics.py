"""Rates, tests and numbers of boots are exact: held against scipy, against whole enumeration, and by hand."""

import itertools
import math
import random

import numpy as np
import pytest
from campaign_samples import sample_boots, sample_summary
from numpy.typing import NDArray
from scipy import stats
from scipy.special import gammaln

from harness.campaign.exact import boots_needed, boots_to_bound, clopper_pearson, fisher_groups, power
from harness.campaign.statistics import statistics
from harness.compare.statistics import fisher_exact
from harness.errors import AnalysisError
from harness.model.boots import BootMeasures, Outcome
from harness.model.evidence_change import Change


def random_tables(n: int, seed: int) -> list[tuple[list[int], list[int]]]:
    chance = random.Random(seed)
    tables = []
    for place in range(n):
        sizes = [chance.randint(1, 20 if place % 2 else 7) for _ in range(2 if place % 2 else chance.randint(3, 5))]
        rate = chance.random()
        tables.append(([sum(chance.random() < rate for _ in range(size)) for size in sizes], sizes))
    return tables


def by_scipy(successes: list[int], sizes: list[int]) -> float:
    """Sum scipy's probabilities over every table with the margins; Fisher's own test for two groups."""
    if len(sizes) == 2:
        table = [[k, n - k] for k, n in zip(successes, sizes, strict=True)]
        return float(stats.fisher_exact(table).pvalue)
    total = sum(successes)
    law = stats.multivariate_hypergeom(m=sizes, n=total)
    observed = law.pmf(successes)
    tables = (t for t in itertools.product(*(range(n + 1) for n in sizes)) if sum(t) == total)
    chances = np.array([law.pmf(t) for t in tables]) if total else np.array([1.0])
    return float(chances[chances <= observed * (1 + 1e-9)].sum())


def test_one_hundred_random_tables_agree_with_scipy() -> None:
    for successes, sizes in random_tables(100, seed=5):
        assert fisher_groups(successes, sizes) == pytest.approx(by_scipy(successes, sizes), abs=1e-10), (
            successes,
            sizes,
        )


def test_one_hundred_random_rates_have_the_bounds_of_scipy() -> None:
    chance = random.Random(9)
    for _ in range(100):
        n = chance.randint(1, 400)
        k = chance.choice((0, n, chance.randint(0, n)))
        confidence = chance.choice((0.9, 0.95, 0.99))
        expected = stats.binomtest(k, n).proportion_ci(confidence, method="exact")
        assert clopper_pearson(k, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-10)


def test_table_too_large_to_enumerate_agrees_with_a_sample_of_scipys() -> None:
    successes, sizes = [9, 3, 14, 5], [40, 40, 60, 30]
    columns = [sum(successes), sum(sizes) - sum(successes)]
    drawn = stats.random_table(sizes, columns, seed=3).rvs(100_000)[:, :, 0]

    def weights(k: NDArray[np.int64]) -> NDArray[np.float64]:
        n = np.array(sizes)
        return np.asarray((gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)).sum(axis=-1), np.float64)

    share = float((weights(drawn) <= weights(np.array(successes)) + 1e-9).mean())
    assert fisher_groups(successes, sizes) == pytest.approx(share, abs=0.006)


@pytest.mark.parametrize(
    ("successes", "sizes", "p"),
    [([7, 0], [20, 20], 0.008316), ([0, 0, 0], [5, 5, 5], 1.0), ([5, 5], [5, 5], 1.0), ([3], [9], 1.0), ([], [], 1.0)],
)
def test_groups_by_hand(successes: list[int], sizes: list[int], p: float) -> None:
    assert fisher_groups(successes, sizes) == pytest.approx(p, abs=1e-6)


def test_group_without_a_boot_does_not_matter() -> None:
    assert fisher_groups([7, 0, 0], [20, 20, 0]) == fisher_groups([7, 0], [20, 20])


@pytest.mark.parametrize(("successes", "sizes"), [([3, 1], [2, 4]), ([-1, 1], [2, 4]), ([0, 0], [-1, 4])])
def test_impossible_counts_are_refused(successes: list[int], sizes: list[int]) -> None:
    with pytest.raises(AnalysisError):
        fisher_groups(successes, sizes)


@pytest.mark.parametrize(("k", "n"), [(0, 0), (3, 2), (-1, 5)])
def test_impossible_rates_are_refused(k: int, n: int) -> None:
    with pytest.raises(AnalysisError):
        clopper_pearson(k, n)


@pytest.mark.parametrize(("p_a", "p_b", "n"), [(0.35, 0.0, 20), (0.5, 0.1, 12), (1.0, 0.2, 6), (0.3, 0.3, 9)])
def test_power_is_the_sum_over_all_outcomes(p_a: float, p_b: float, n: int) -> None:
    expected = sum(
        stats.binom.pmf(a, n, p_a) * stats.binom.pmf(b, n, p_b)
        for a in range(n + 1)
        for b in range(n + 1)
        if fisher_exact(a, n - a, b, n - b) <= 0.05
    )
    assert power(p_a, p_b, n) == pytest.approx(expected, abs=1e-9)


def test_boots_needed_have_the_power_and_one_fewer_has_not() -> None:
    for p_a, p_b in ((0.35, 0.0), (0.5, 0.1), (0.9, 0.4)):
        n = boots_needed(p_a, p_b)
        assert n is not None
        assert power(p_a, p_b, n) >= 0.8 > power(p_a, p_b, n - 1)
    assert boots_needed(0.2, 0.2) is None
    assert boots_needed(0.011, 0.01) is None


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.03])
def test_boots_to_bound_is_the_least_number_that_does(rate: float) -> None:
    n = boots_to_bound(rate)
    assert (1 - rate) ** n <= 0.05 < (1 - rate) ** (n - 1)


def boot(number: int, address: str, outcome: Outcome, changes: tuple[str, ...] = ()) -> BootMeasures:
    found = [
        Change(kind="interface", subject=subject, field="index", before="2", after="3", text=f"{subject} moved")
        for subject in changes
    ]
    return BootMeasures(
        boot=number, boot_id=str(number), values={"address": address}, outcome=outcome, began_ns=0, changes_good=found
    )


def the_forums_case() -> list[BootMeasures]:
    """Return static 7 of 20, DHCP 0 of 20, two boots that could not run, and what the failing ones have in common."""
    boots = [
        boot(n, "static", "reproduced" if n <= 7 else "ok", ("en0", "en7") if n <= 7 else ()) for n in range(1, 21)
    ]
    boots += [boot(n, "dhcp", "ok", ("en7",) if n % 2 else ()) for n in range(21, 41)]
    return [*boots, boot(41, "static", "not_run"), boot(42, "dhcp", "hung")]


def test_boots_that_tell_nothing_are_shown_and_in_no_rate() -> None:
    found = statistics(the_forums_case(), ["address"])
    assert (found.total.reproduced, found.total.ran, found.total.not_run) == (7, 40, 2)
    assert found.outcomes == {"hung": 1, "not_run": 1, "ok": 33, "reproduced": 7}
    assert [(rate.value, rate.reproduced, rate.ran, rate.not_run) for rate in found.variables[0].rates] == [
        ("dhcp", 0, 20, 1),
        ("static", 7, 20, 1),
    ]


def test_significant_variable_is_named_with_its_counts_and_p() -> None:
    found = statistics(the_forums_case(), ["address"])
    assert found.variables[0].p_value == pytest.approx(0.008316, abs=1e-6)
    assert found.variables[0].is_significant
    assert "address: dhcp 0 of 20, static 7 of 20, p = 0.0083" in found.sentence


def test_common_change_of_failing_boots_comes_first_and_that_of_all_boots_is_not_significant() -> None:
    found = statistics(the_forums_case(), ["address"])
    assert [(change.text, change.failing, change.good) for change in found.changes] == [
        ("en0 moved", 7, 0),
        ("en7 moved", 7, 10),
    ]
    assert found.changes[0].p_adjusted < 1e-5
    assert found.changes[0].p_value == pytest.approx(fisher_exact(7, 0, 0, 33))


def test_several_variables_are_corrected_by_holm() -> None:
    found = statistics(sample_boots(120), ["address", "launcher"])
    raw = [test.p_value for test in found.variables]
    assert None not in raw
    least = min(p for p in raw if p is not None)
    assert min(test.p_adjusted or 0 for test in found.variables) == pytest.approx(2 * least)


def test_difference_that_is_not_significant_says_how_many_boots_would_tell() -> None:
    boots = [boot(n, "static" if n % 2 else "dhcp", "reproduced" if n in (1, 3) else "ok") for n in range(1, 13)]
    found = statistics(boots, ["address"])
    (test,) = found.variables
    assert test.needed == boots_needed(2 / 6, 0.0)
    assert f"{test.needed} boots of each value, {(test.needed or 0) - 6} more than now" in found.further


def test_no_reproduction_bounds_the_rate_and_says_how_many_boots_bound_it_lower() -> None:
    found = statistics([boot(n, "dhcp", "ok") for n in range(1, 21)], ["address"])
    assert found.total.high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert "29 for 10 %, 59 for 5 %, 299 for 1 %" in found.further
    assert math.isclose((1 - 0.1) ** 29, 0.05, rel_tol=0.1)


def test_campaign_without_a_boot_has_no_rate() -> None:
    found = statistics([], ["address"])
    assert (found.total.rate, found.total.low, found.changes) == (None, None, [])
    assert sample_summary(0).boots == []
