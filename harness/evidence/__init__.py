"""What the operating system says: the snapshot beside a recording that lets somebody else judge it.

`environment` asks everything at once; `boot_id`, `versions` and `clock_state` are cheap and stand alone. One theme a
file: `versions`, `interfaces`, `memberships`, `counters`, `clock`, `launch` hold what can be parsed and tested
anywhere; `_linux`, `_darwin` and `_windows` know where each system keeps it and offer one method set, of which `system`
picks one.
"""

from harness.evidence.environment import ENVIRONMENT_VERSION, environment
from harness.evidence.system import boot_id, clock_state
from harness.evidence.versions import versions

__all__ = ["ENVIRONMENT_VERSION", "boot_id", "clock_state", "environment", "versions"]
