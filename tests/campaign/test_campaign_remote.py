"""A host behind ssh is rebooted while this machine stays up; a script stands for ssh and the host."""

import json
import os
from pathlib import Path

import pytest

from harness.campaign import Rebooted, SshRebooter, boot_path, create, go_on
from harness.campaign.session import Asked
from harness.campaign.summarise import summarise
from harness.model.campaign import RemoteHost

SSH = """#!/bin/sh
# the last word is what is to run on the host
for word; do last=$word; done
echo "$*" >> {folder}/asked
case "$last" in
*boot_id*) test -e {folder}/down && exit 255; cat {folder}/boot_id ;;
*refuse*) echo "sudo: a password is required" >&2; exit 1 ;;
*hang*) touch {folder}/down; exit 255 ;;
*stay*) exit 0 ;;
*reboot*) echo "boot-$(wc -l < {folder}/asked)" > {folder}/boot_id; exit 255 ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "ssh"
    script.write_text(SSH.format(folder=tmp_path))
    script.chmod(0o755)
    (tmp_path / "boot_id").write_text("boot-0\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


def rebooter(command: str, within: str = "5s") -> SshRebooter:
    host = RemoteHost(name="mac", kind="ssh", address="10.9.9.9", reboot_command=[command], back_within=within)
    return SshRebooter(host, poll_s=0.02)


async def test_host_that_comes_back_has_another_boot_id(folder: Path) -> None:
    came = await rebooter("reboot").reboot("boot-0")
    assert came.boot_id is not None
    assert came.boot_id not in ("", "boot-0")
    words = (folder / "asked").read_text()
    assert "-oBatchMode=yes" in words
    assert "-- 10.9.9.9 reboot" in words


@pytest.mark.parametrize(
    ("command", "is_hung", "reason"),
    [("refuse", False, "a password is required"), ("stay", False, "still in boot boot-0"), ("hang", True, "not back")],
)
async def test_host_that_does_not_come_back_is_told_apart(
    folder: Path, command: str, is_hung: bool, reason: str
) -> None:
    came = await rebooter(command, "200ms").reboot("boot-0")
    assert (came.boot_id, came.is_hung) == (None, is_hung)
    assert reason in came.reason


def test_campaign_over_ssh_goes_on_in_one_session(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.campaign.reboot._POLL_S", 0.02)
    source = folder / "c.toml"
    source.write_text(
        'name = "far"\nallow_reboot = true\nrepeats = 3\ncountdown = "0"\nmin_free = "1MB"\n'
        '[[step]]\ndo = "note"\ntext = "x"\n[[step]]\ndo = "reboot"\n'
        '[[host]]\nname = "mac"\nkind = "ssh"\naddress = "10.9.9.9"\nreboot_command = ["reboot"]\nback_within = "20s"\n'
    )
    directory = folder / "far"
    create(source, directory)
    assert go_on(Asked(directory, [], lambda _: None)).end == "finished"
    boots = summarise(directory).boots
    assert [boot.arrival for boot in boots] == ["started", "resumed", "resumed"]
    assert boots[0].boot_id == "boot-0"
    assert len({boot.boot_id for boot in boots}) == 3


class OutlivedMachine:
    """Another machine that is rebooted, as a guest's owner would offer it."""

    def __init__(self) -> None:
        self.number = 0

    async def boot_id(self) -> str | None:
        return f"boot-{self.number}"

    async def reboot(self, boot_id: str) -> Rebooted:
        assert boot_id == f"boot-{self.number}"
        self.number += 1
        return Rebooted(f"boot-{self.number}")


def test_recordings_and_evidence_are_the_other_machines(tmp_path: Path) -> None:
    group = f"239.255.{193 + os.getpid() % 50}.{os.getpid() // 50 % 250}:5144"
    source = tmp_path / "c.toml"
    source.write_text(f"""\
name = "far"
allow_reboot = true
repeats = 2
countdown = "0"
min_free = "1MB"
[[step]]
do = "receive"
duration = "1s"
[step.scenario]
[[step.scenario.host]]
name = "far"
kind = "local"
[[step.scenario.host]]
name = "near"
kind = "local"
[[step.scenario.stream]]
group = "{group}"
interface = "127.0.0.1"
host = "near"
duration = "500ms"
[[step.scenario.receiver]]
groups = ["{group}"]
interface = "127.0.0.1"
host = "far"
[step.scenario.expect]
max_dropout = "200ms"
[[step]]
do = "reboot"
[[host]]
name = "far"
kind = "ssh"
address = "10.9.9.9"
""")
    directory, machine = tmp_path / "far", OutlivedMachine()
    create(source, directory)
    assert go_on(Asked(directory, [], lambda _: None, rebooter=machine)).end == "finished"
    first, second = summarise(directory).boots
    assert (first.boot_id, second.boot_id) == ("boot-0", "boot-1")
    assert (first.outcome, second.outcome) == ("ok", "ok"), (first.reason, second.reason)
    assert (second.expected, second.lost) == (50, 0)
    assert second.join_to_first_ns is not None
    told = boot_path(directory, 2) / "receive" / "hosts" / "far" / "environment.json"
    kept = boot_path(directory, 2) / "environment.json"
    assert json.loads(kept.read_text()) == json.loads(told.read_text())
    assert second.changes_good is not None
