"""Campaigns: one recording after another across reboots, until a fault is reproduced and can be told from chance.

`plan` what a campaign file comes to, `state` what its journal says and what comes next (no I/O), `journal` and `lock`
the disk, `driver` the loop between them, `machine`, `steps` and `reboot` the world, `session` all of it for one start
of the program. `measure` and `raster` look at one boot, `exact`, `statistics` and `summarise` at all of them, `text`
puts that into tables. `install` and `units` have the system start it after each boot; `imitate` proves that nothing is
lost.
"""

from harness.campaign.directory import boot_path
from harness.campaign.driver import BootResult, Driver, Ending, World
from harness.campaign.journal import Journal, read_state
from harness.campaign.measure import measure
from harness.campaign.plan import load, ordered
from harness.campaign.reboot import LocalRebooter, Rebooted, Rebooter, RemoteRebooter, SshRebooter
from harness.campaign.session import Asked, create, go_on
from harness.campaign.state import Presence, State
from harness.campaign.statistics import statistics
from harness.campaign.summarise import summarise, write_summary

__all__ = [
    "Asked",
    "BootResult",
    "Driver",
    "Ending",
    "Journal",
    "LocalRebooter",
    "Presence",
    "Rebooted",
    "Rebooter",
    "RemoteRebooter",
    "SshRebooter",
    "State",
    "World",
    "boot_path",
    "create",
    "go_on",
    "load",
    "measure",
    "ordered",
    "read_state",
    "statistics",
    "summarise",
    "write_summary",
]
