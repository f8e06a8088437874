"""A scheduled task of Windows, as the XML that schtasks takes ([MS-TSCH] 2.5)."""

from __future__ import annotations

import subprocess
from pathlib import PureWindowsPath
from xml.etree import ElementTree

from harness.campaign.units.job import Job, Unit

_SPACE = "http://schemas.microsoft.com/windows/2004/02/mit/task"
_SYSTEM = "S-1-5-18"


def unit(job: Job) -> Unit:
    """Return the task: at boot as the system, or at the user's logon; its XML lies in the campaign's directory."""
    is_user = job.scope == "user"
    name = f"harness-campaign-{job.name}-{job.scope}"
    task = ElementTree.Element("Task", {"version": "1.2", "xmlns": _SPACE})
    about = ElementTree.SubElement(task, "RegistrationInfo")
    _add(about, "Description", f"Campaign {job.name} of multicast-harness; {job.remark}")
    trigger = ElementTree.SubElement(
        ElementTree.SubElement(task, "Triggers"), "LogonTrigger" if is_user else "BootTrigger"
    )
    _add(trigger, "Enabled", "true")
    if is_user:
        _add(trigger, "UserId", job.user)
    who = ElementTree.SubElement(ElementTree.SubElement(task, "Principals"), "Principal", {"id": "Author"})
    _add(who, "UserId", job.user if is_user else _SYSTEM)
    if is_user:
        _add(who, "LogonType", "InteractiveToken")
    _add(who, "RunLevel", "HighestAvailable")
    settings = ElementTree.SubElement(task, "Settings")
    for key, value in (
        ("MultipleInstancesPolicy", "IgnoreNew"), ("DisallowStartIfOnBatteries", "false"),
        ("StopIfGoingOnBatteries", "false"), ("StartWhenAvailable", "true"), ("ExecutionTimeLimit", "PT0S"),
    ):  # fmt: skip
        _add(settings, key, value)
    again = ElementTree.SubElement(settings, "RestartOnFailure")
    _add(again, "Interval", "PT1M")
    _add(again, "Count", "10")
    action = ElementTree.SubElement(ElementTree.SubElement(task, "Actions", {"Context": "Author"}), "Exec")
    _add(action, "Command", job.command[0])
    _add(action, "Arguments", subprocess.list2cmdline(job.command[1:]))
    path = PureWindowsPath(job.directory) / f"{name}.xml"
    content = ElementTree.tostring(task, encoding="utf-16", xml_declaration=True)
    return Unit(
        path,
        content,
        enable=(("schtasks", "/Create", "/TN", name, "/XML", str(path), "/F"),),
        disable=(("schtasks", "/Delete", "/TN", name, "/F"),),
        notes=("it starts when the user logs on",) if is_user else (),
    )


def _add(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = text
