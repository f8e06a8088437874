"""What is done to a lab's network while a run is on, by the kernel's own means, and how it is taken back.

`apply` puts an `Impairment` in force and returns what ends it. Each change goes into the truth log with the realtime
just before it and just after it took effect; a drop-out's edges are held against it. Loss and duplication at random
come from the kernel's generator, which takes no seed: what they hit differs from run to run, and is counted.
"""

from __future__ import annotations

from harness.lab.impairments.applied import Applied, Counts
from harness.lab.impairments.apply import apply
from harness.lab.impairments.moment import Log

__all__ = ["Applied", "Counts", "Log", "apply"]
