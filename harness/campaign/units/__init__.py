"""What has a system start the program after each boot, as text: systemd units, launchd property lists, Windows tasks.

Pure renderers: `install` writes what they return and runs the system's own commands.
"""

from harness.campaign.units.job import Job, Unit, made_directories

__all__ = ["Job", "Unit", "made_directories"]
