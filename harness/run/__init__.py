"""One run: a scenario resolved, its traffic sent and received, and everything recorded.

`scenario_file` reads a scenario, `plan` resolves it, `sending` and `receiving` pump one stream and one receiver,
`recorder` takes their records, `engine` keeps the timeline and ends it for a stated reason, `session` wraps it in a
directory on disk.

A scenario over several hosts is `split` into parts; `distributed` has each carried out by its host's agent (`side` is
one of them from here, `part` what it does there), and `combine` makes one recording of theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import names_of

if TYPE_CHECKING:
    from harness.run.distributed import DistributedRun as DistributedRun
    from harness.run.distributed import perform_over_hosts as perform_over_hosts
    from harness.run.engine import Outcome as Outcome
    from harness.run.engine import Run as Run
    from harness.run.plan import Plan as Plan
    from harness.run.plan import resolve as resolve
    from harness.run.session import RESULTS as RESULTS
    from harness.run.session import perform as perform
    from harness.run.split import is_distributed as is_distributed

_MODULES = {
    "distributed": ("DistributedRun", "perform_over_hosts"),
    "engine": ("Outcome", "Run"),
    "plan": ("Plan", "resolve"),
    "session": ("RESULTS", "perform"),
    "split": ("is_distributed",),
}

__getattr__, __all__ = names_of(__name__, _MODULES)
