"""How often the fault was seen, and with which versions: of one run, or of the boots of a campaign."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness.model import Manifest, Summary
from harness.model.boots import CampaignSummary, Rate, VariableTest
from harness.plots.wording import UNDEFINED, count, duration, percent, plural
from harness.report import status
from harness.report.tables import Table

_VERSION = re.compile(r"version|release|build|\bos\b|system|kernel|macos|windows|app", re.IGNORECASE)
_BOOT_WORDS = {
    "ok": "no fault",
    "reproduced": "fault seen",
    "not_run": "could not run",
    "hung": "hung",
    "crashed": "crashed",
}


@dataclass(frozen=True, slots=True)
class Repeats:
    """Attributes: how often, in sentences and tables; what is known of other versions; how often in a word."""

    frequency: list[str]
    frequency_tables: list[Table]
    regression: list[str]
    short: str = ""


def is_seen(summary: Summary) -> bool:
    """Whether a run shows a fault at all: a limit failed, a drop-out window, a loss, or nothing received."""
    has_window = any(stream.windows for stream in summary.streams)
    return has_window or status(summary) in ("failed", "nothing", "found")


def of_run(summary: Summary, manifest: Manifest) -> Repeats:
    """Return what one run can say: of itself alone."""
    seen = "Seen in 1 of 1 run." if is_seen(summary) else "Not seen in this run: 0 of 1 run."
    return Repeats([seen], [], [f"Tried with one version only: {system_of(manifest)}."])


def system_of(manifest: Manifest) -> str:
    """Return the operating system and its kernel in words."""
    named = [manifest.versions[name] for name in ("system", "kernel", "machine") if manifest.versions.get(name)]
    return ", ".join(named) or "the system's version was not recorded"


def of_campaign(campaign: CampaignSummary, manifest: Manifest | None, most_boots: int = 60) -> Repeats:
    """Return what the boots of a campaign say."""
    found = campaign.statistics
    total = found.total
    frequency = [f"Seen on {rate_text(total, 'boot', found.confidence)}."]
    if total.not_run:
        frequency.append(f"{plural(total.not_run, 'boot')} could not run, crashed or hung and tell nothing.")
    frequency += [text for text in (found.sentence, found.further) if text]
    tables = [_variable_table(test, found.confidence) for test in found.variables]
    frequency += [test.sentence for test in found.variables if test.sentence]
    versions = [test for test in found.variables if _VERSION.search(test.variable)]
    changes = [change for change in found.changes if "version" in change.key.lower()]
    regression = [test.sentence for test in versions if test.sentence]
    regression += [
        f"{change.text}: {change.failing} of {change.n_failing} failing, {change.good} of {change.n_good} good boots."
        for change in changes
    ]
    if not regression:
        system = f": {system_of(manifest)}" if manifest is not None else ""
        regression = [f"No variable of the campaign is a version; all boots ran what the machine has{system}."]
    short = f"{count(total.reproduced)} of {plural(total.ran, 'boot')}"
    return Repeats(frequency, [*tables, _boots_table(campaign, most_boots)], regression, short)


def rate_text(rate: Rate, noun: str, confidence: float) -> str:
    """Return "7 of 20 boots (35 %, 95 % confidence: 15.4 % to 59.2 %)".

    >>> rate_text(Rate(reproduced=0, ran=0), "boot", 0.95)
    '0 of 0 boots'
    """
    text = f"{count(rate.reproduced)} of {plural(rate.ran, noun)}"
    if rate.rate is None:
        return text
    return f"{text} ({percent(rate.rate)}, {confidence:.0%} confidence: {percent(rate.low)} to {percent(rate.high)})"


def _variable_table(test: VariableTest, confidence: float) -> Table:
    columns = (test.variable, "fault seen", "boots", "told nothing", "rate", f"{confidence:.0%} confidence")
    rows = [
        (
            rate.value or "(empty)",
            count(rate.reproduced),
            count(rate.ran),
            count(rate.not_run),
            percent(rate.rate),
            UNDEFINED if rate.low is None else f"{percent(rate.low)} to {percent(rate.high)}",
        )
        for rate in test.rates
    ]
    p_value = (
        ""
        if test.p_adjusted is None
        else f"Exact test, corrected for the number of variables: p = {test.p_adjusted:.3g}."
    )
    return Table(f"By {test.variable}", columns, rows, frozenset({test.variable}), p_value)


def _boots_table(campaign: CampaignSummary, most: int) -> Table:
    columns = (
        "boot",
        "outcome",
        "first packet after boot",
        "after join",
        "drop-outs",
        "lost",
        "cured by reopening",
        "with",
    )
    boots = campaign.boots[:most]
    cured = {None: UNDEFINED, True: "yes", False: "no"}
    rows = [
        (
            str(boot.boot),
            _BOOT_WORDS[boot.outcome],
            duration(boot.boot_to_first_ns),
            duration(boot.join_to_first_ns),
            str(len(boot.dropouts)),
            count(boot.lost),
            cured[boot.is_cured] + (f" after {duration(boot.cure_ns)}" if boot.cure_ns is not None else ""),
            _values(boot.values),
        )
        for boot in boots
    ]
    rest = len(campaign.boots) - len(boots)
    remark = f"The first {len(boots)}; {rest:,} more in campaign.json." if rest else ""
    return Table("Boots", columns, rows, frozenset({"outcome", "cured by reopening", "with"}), remark)


def _values(values: dict[str, str]) -> str:
    pairs: Sequence[str] = [f"{name} {value}" for name, value in values.items()]
    return ", ".join(pairs) or "n/a"
