"""One run: a scenario resolved, its traffic sent and received, and everything recorded.

`plan` resolves a scenario, `sending` and `receiving` pump one stream and one receiver, `recorder` takes their records,
`engine` keeps the timeline and ends it for a stated reason, `session` wraps it in a directory on disk.
"""

from harness.run.engine import Outcome, Run
from harness.run.plan import Plan, resolve
from harness.run.session import RESULTS, perform

__all__ = ["RESULTS", "Outcome", "Plan", "Run", "perform", "resolve"]
