"""Campaigns: one recording after another across reboots, until a fault is reproduced and can be told from chance.

`plan` what a campaign file comes to, `state` what its journal says and what comes next (no I/O), `journal` and `lock`
the disk, `driver` the loop between them, `machine`, `steps` and `reboot` the world, `session` all of it for one start
of the program. `measure` and `raster` look at one boot, `exact`, `statistics` and `summarise` at all of them, `text`
puts that into tables. `install` and `units` have the system start it after each boot; `imitate` proves that nothing is
lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import names_of

if TYPE_CHECKING:
    from harness.campaign.directory import boot_path as boot_path
    from harness.campaign.driver import BootResult as BootResult
    from harness.campaign.driver import Driver as Driver
    from harness.campaign.driver import Ending as Ending
    from harness.campaign.driver import World as World
    from harness.campaign.journal import Journal as Journal
    from harness.campaign.journal import read_state as read_state
    from harness.campaign.plan import load as load
    from harness.campaign.plan import ordered as ordered
    from harness.campaign.reboot import LocalRebooter as LocalRebooter
    from harness.campaign.reboot import Rebooted as Rebooted
    from harness.campaign.reboot import Rebooter as Rebooter
    from harness.campaign.reboot import RemoteRebooter as RemoteRebooter
    from harness.campaign.reboot import SshRebooter as SshRebooter
    from harness.campaign.session import Asked as Asked
    from harness.campaign.session import create as create
    from harness.campaign.session import go_on as go_on
    from harness.campaign.state import Presence as Presence
    from harness.campaign.state import State as State
    from harness.campaign.summarise import write_summary as write_summary

_MODULES = {
    "directory": ("boot_path",),
    "driver": ("BootResult", "Driver", "Ending", "World"),
    "journal": ("Journal", "read_state"),
    "plan": ("load", "ordered"),
    "reboot": ("LocalRebooter", "Rebooted", "Rebooter", "RemoteRebooter", "SshRebooter"),
    "session": ("Asked", "create", "go_on"),
    "state": ("Presence", "State"),
    "summarise": ("write_summary",),
}
"""What is named like its module (`measure`, `statistics`, `summarise`) is imported from there."""

__getattr__, __all__ = names_of(__name__, _MODULES)
