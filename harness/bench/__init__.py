"""The bench: this engine, its peers and a bare loop of the same system calls, side by side in one run.

`place` makes two namespaces and a cable (or takes loopback), `tools` knows how each program is run, `contest` runs a
pair and counts by the kernel's own counters, `disciplines` are the rows of the table, `course` runs them all.
`bare` and `own` are the child programs: the limit, and ourselves.
"""

from harness.bench.course import run_bench
from harness.bench.place import place_for_bench
from harness.bench.wording import format_bench

__all__ = ["format_bench", "place_for_bench", "run_bench"]
