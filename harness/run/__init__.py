"""One run: a scenario resolved, its traffic sent and received, and everything recorded.

`plan` resolves a scenario, `sending` and `receiving` pump one stream and one receiver, `recorder` takes their records,
`engine` keeps the timeline and ends it for a stated reason, `session` wraps it in a directory on disk.

A scenario over several hosts is `split` into parts; `distributed` has each carried out by its host's agent (`side` is
one of them from here, `part` what it does there), and `combine` makes one recording of theirs.
"""

from harness.run.distributed import DistributedRun, perform_over_hosts
from harness.run.engine import Outcome, Run
from harness.run.plan import Plan, resolve
from harness.run.session import RESULTS, perform
from harness.run.split import is_distributed

__all__ = [
    "RESULTS",
    "DistributedRun",
    "Outcome",
    "Plan",
    "Run",
    "is_distributed",
    "perform",
    "perform_over_hosts",
    "resolve",
]
