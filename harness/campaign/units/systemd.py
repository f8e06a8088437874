"""A systemd service, of the system or of a user (systemd.unit(5), systemd.service(5))."""

from __future__ import annotations

from pathlib import PurePosixPath

from harness.campaign.units.job import Job, Unit


def unit(job: Job) -> Unit:
    """Return the service that resumes a campaign once the network is there.

    It does nothing until the campaign has begun. A crash starts it again; exit code 2 is for a person to see to.
    """
    is_user = job.scope == "user"
    name = f"harness-campaign-{job.name}.service"
    folder = PurePosixPath(job.home) / ".config/systemd/user" if is_user else PurePosixPath("/etc/systemd/system")
    network = "" if is_user else "Wants=network-online.target\nAfter=network-online.target\n"
    content = f"""\
# {job.remark}
[Unit]
Description=Campaign {_plain(job.name)} of multicast-harness
{network}ConditionPathExists={_path(str(job.directory))}/journal.jsonl
StartLimitIntervalSec=600
StartLimitBurst=10

[Service]
Type=exec
ExecStart={" ".join(map(quoted, job.command))}
Restart=on-failure
RestartSec=10
RestartPreventExitStatus=2
KillMode=mixed
TimeoutStopSec=30

[Install]
WantedBy={"default.target" if is_user else "multi-user.target"}
"""
    control = ("systemctl", "--user") if is_user else ("systemctl",)
    notes = (
        f"it starts when {job.user} logs in; to start without a login: loginctl enable-linger {job.user}",
        "it reboots with the user's rights: polkit must let this user reboot without a password",
    )
    return Unit(
        folder / name,
        content.encode(),
        enable=((*control, "daemon-reload"), (*control, "enable", name)),
        disable=((*control, "disable", name),),
        forget=((*control, "daemon-reload"),),
        notes=notes if is_user else (),
    )


def quoted(word: str) -> str:
    r"""Return a word for ExecStart, in which neither specifiers nor variables are expanded.

    >>> print(quoted("/opt/my python"), quoted("100%"), quoted('say "$HOME"'))
    "/opt/my python" "100%%" "say \"$$HOME\""
    """
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if escaped != word or " " in word or not word or ";" in word else word


def _plain(text: str) -> str:
    return text.replace("%", "%%")


def _path(text: str) -> str:
    return text.replace("%", "%%")
