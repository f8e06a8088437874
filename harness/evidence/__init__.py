"""What the operating system says: the snapshot beside a recording that lets somebody else judge it.

`environment` asks everything at once, `counters_only` what may be asked often; `difference` and `risen` compare two
answers; `watch_changes` tells of changes as they happen; `boot_id`, `versions` and `clock_state` are cheap and stand
alone.

One theme a file holds what can be parsed and tested anywhere. `_linux`, `_darwin` and `_windows` know where each system
keeps it: one table each, a row a probe, of which `system` picks one. `docs/evidence.md` lists them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.evidence.difference import difference
from harness.evidence.environment import ENVIRONMENT_VERSION, counters_only, environment
from harness.evidence.rises import risen
from harness.evidence.system import boot_id, clock_state
from harness.evidence.versions import versions
from harness.lazy import names_of

if TYPE_CHECKING:
    from harness.evidence.monitor import watch_changes as watch_changes

__getattr__, _ = names_of(__name__, {"monitor": ("watch_changes",)})  # it alone needs trio

__all__ = [
    "ENVIRONMENT_VERSION",
    "boot_id",
    "clock_state",
    "counters_only",
    "difference",
    "environment",
    "risen",
    "versions",
    "watch_changes",
]
