"""The search for the highest rate that a path carries without loss, each trial a real run.

`hunt` asks the analyzer's search which load comes next and judges what a trial brought, `trials` makes a trial on this
machine, `wording` tells the result.
"""

from harness.search.hunt import Hunt, HuntSettings, judge, pursue
from harness.search.trials import LocalTrials, TrialSettings
from harness.search.wording import finding, format_search

__all__ = ["Hunt", "HuntSettings", "LocalTrials", "TrialSettings", "finding", "format_search", "judge", "pursue"]
