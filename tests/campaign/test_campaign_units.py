"""Units: what the system's own tools say of them, and that install and uninstall leave the tree as it was."""

import plistlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from xml.etree import ElementTree

import pytest
from netns import require

from harness.campaign.install import System, plan_install, put, take_away
from harness.campaign.units import Job, made_directories, windows
from harness.campaign.units.systemd import quoted
from harness.errors import UsageError

NAMESPACE = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}


class Recorder:
    """Stands for the system's commands; `refused` fails."""

    def __init__(self, refused: str = "-") -> None:
        self.ran: list[list[str]] = []
        self.refused = refused

    def __call__(self, command: Sequence[str]) -> tuple[int, str]:
        self.ran.append(list(command))
        return (1, "denied") if self.refused in command else (0, "")


def system(root: Path, platform: str, recorder: Recorder) -> System:
    return System(platform, root, recorder, user="ada", uid=501, home=PurePosixPath("/home/ada"), python="/opt/py thon")


def tree(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("scopes", [["system"], ["user"], ["system", "user"]])
@pytest.mark.parametrize(
    "before", [(), ("home/ada",), ("home/ada/.config/systemd/user", "home/ada/Library/LaunchAgents")]
)
def test_install_and_uninstall_leave_the_tree_as_it_was(
    tmp_path: Path, platform: str, scopes: list[str], before: tuple[str, ...]
) -> None:
    for folder in (*before, "etc/systemd/system", "Library/LaunchDaemons", "srv/results/night"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    found, recorder = tree(tmp_path), Recorder()
    here = system(tmp_path, platform, recorder)
    plan = plan_install("night", PurePosixPath("/srv/results/night"), scopes, system=here)
    put(plan)
    assert len(tree(tmp_path)) > len(found)
    n_enabled = len(recorder.ran)
    take_away(plan_install("night", PurePosixPath("/srv/results/night"), scopes, system=here))
    assert tree(tmp_path) == found
    assert len(recorder.ran) > n_enabled
    take_away(plan)  # a second time is no error


def test_directory_that_somebody_used_meanwhile_is_left(tmp_path: Path) -> None:
    here = system(tmp_path, "linux", Recorder())
    plan = plan_install("night", PurePosixPath("/srv/night"), ["user"], system=here)
    put(plan)
    other = tmp_path / "home/ada/.config/other"
    other.write_text("kept")
    take_away(plan)
    assert other.read_text() == "kept"


def test_unit_that_cannot_be_enabled_is_taken_away_again(tmp_path: Path) -> None:
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    found = tree(tmp_path)
    plan = plan_install(
        "night", PurePosixPath("/srv/night"), ["system"], system=system(tmp_path, "linux", Recorder("enable"))
    )
    with pytest.raises(UsageError, match=r"systemctl enable .* ended with 1: denied; nothing was left"):
        put(plan)
    assert tree(tmp_path) == found


def test_unit_that_is_there_already_is_not_overwritten(tmp_path: Path) -> None:
    plan = plan_install("night", PurePosixPath("/srv/night"), ["system"], system=system(tmp_path, "linux", Recorder()))
    put(plan)
    with pytest.raises(UsageError, match="exists; harness campaign uninstall night"):
        put(plan)


@pytest.mark.parametrize("scope", ["system", "user"])
def test_systemd_itself_finds_nothing_wrong_with_the_unit(tmp_path: Path, scope: str) -> None:
    require("" if shutil.which("systemd-analyze") else "systemd-analyze (systemd)")
    python = tmp_path / "py thon 100%"
    python.symlink_to("/bin/true")
    here = System("linux", Path("/"), Recorder(), "ada", 501, PurePosixPath("/home/ada"), str(python))
    (unit,) = plan_install("night", PurePosixPath("/srv/re sults/100%"), [scope], launcher="a b", system=here).units
    path = tmp_path / unit.path.name
    path.write_bytes(unit.content)
    mode = [] if scope == "system" else ["--user"]
    done = subprocess.run(
        ["systemd-analyze", *mode, "--man=no", "--recursive-errors=no", "verify", str(path)],
        capture_output=True, text=True, timeout=30, env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_notices_a_broken_unit(tmp_path: Path) -> None:
    """The check above can fail."""
    require("" if shutil.which("systemd-analyze") else "systemd-analyze (systemd)")
    path = tmp_path / "broken.service"
    path.write_text("[Service]\nExecStart=relative\nRestart=perhaps\n")
    done = subprocess.run(
        ["systemd-analyze", "--man=no", "verify", str(path)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode != 0
    assert "relative" in done.stderr


def test_systemctl_enables_and_disables_the_unit_in_another_root(tmp_path: Path) -> None:
    require("" if shutil.which("systemctl") else "systemctl (systemd)")
    (tmp_path / "etc/systemd/system").mkdir(parents=True)

    def offline(command: Sequence[str]) -> tuple[int, str]:
        if "daemon-reload" in command:  # there is no manager in another root
            return 0, ""
        words = ["systemctl", f"--root={tmp_path}", *command[1:]]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30)
        return done.returncode, done.stderr

    found = tree(tmp_path)
    here = System("linux", tmp_path, offline, "root", 0, PurePosixPath("/root"), "/usr/bin/python3")
    plan = plan_install("night", PurePosixPath("/srv/night"), ["system"], system=here)
    put(plan)
    wanted = tmp_path / "etc/systemd/system/multi-user.target.wants/harness-campaign-night.service"
    assert wanted.is_symlink()
    take_away(plan)
    assert tree(tmp_path) == found


def test_property_lists_say_who_starts_what(tmp_path: Path) -> None:
    here = system(tmp_path, "darwin", Recorder())
    daemon, agent = plan_install("night", PurePosixPath("/srv/night"), ["system", "user"], system=here).units
    said = [plistlib.loads(unit.content) for unit in (daemon, agent)]
    assert [str(unit.path) for unit in (daemon, agent)] == [
        "/Library/LaunchDaemons/org.multicast-harness.campaign.night.daemon.plist",
        "/home/ada/Library/LaunchAgents/org.multicast-harness.campaign.night.agent.plist",
    ]
    for entry, launcher in zip(said, ("system", "user"), strict=True):
        assert entry["ProgramArguments"] == [
            "/opt/py thon", "-m", "harness", "campaign", "resume", "/srv/night", "--unattended", "--launcher", launcher
        ]  # fmt: skip
        assert entry["RunAtLoad"] is True
        assert entry["KeepAlive"] == {"SuccessfulExit": False}
        assert entry["Label"] in entry["Label"]
    assert said[0]["Label"] != said[1]["Label"]
    assert agent.enable[0][:3] == ("launchctl", "bootstrap", "gui/501")
    assert daemon.disable[0] == ("launchctl", "bootout", f"system/{said[0]['Label']}")


@pytest.mark.parametrize(("scope", "trigger"), [("system", "BootTrigger"), ("user", "LogonTrigger")])
def test_task_is_xml_that_says_when_and_what(scope: str, trigger: str) -> None:
    command = (r"C:\Program Files\py.exe", "-m", "harness", "campaign", "resume", r"C:\a b\night", "--unattended")
    job = Job("night", PureWindowsPath(r"C:\a b\night"), command, "system" if scope == "system" else "user", "ada", 0,
              PureWindowsPath(r"C:\Users\ada"), n_made=1)  # fmt: skip
    unit = windows.unit(job)
    task = ElementTree.fromstring(unit.content)
    assert task.find(f"t:Triggers/t:{trigger}", NAMESPACE) is not None
    assert task.findtext("t:Actions/t:Exec/t:Command", namespaces=NAMESPACE) == r"C:\Program Files\py.exe"
    arguments = task.findtext("t:Actions/t:Exec/t:Arguments", namespaces=NAMESPACE)
    assert arguments == r'-m harness campaign resume "C:\a b\night" --unattended'
    assert task.findtext("t:Settings/t:MultipleInstancesPolicy", namespaces=NAMESPACE) == "IgnoreNew"
    assert unit.enable[0][:3] == ("schtasks", "/Create", "/TN")
    assert made_directories(unit.content) == 1


def test_plan_shows_path_content_and_commands(tmp_path: Path) -> None:
    plan = plan_install("night", PurePosixPath("/srv/night"), ["user"], system=system(tmp_path, "linux", Recorder()))
    text = plan.text()
    assert "write   /home/ada/.config/systemd/user/harness-campaign-night.service" in text
    assert "ConditionPathExists=/srv/night/journal.jsonl" in text
    assert "run     systemctl --user enable harness-campaign-night.service" in text
    assert "enable-linger ada" in text
    assert "remove  /home/ada" in plan.text(is_removal=True)


def test_two_launchers_cannot_share_a_name() -> None:
    with pytest.raises(UsageError, match="leave --launcher out"):
        plan_install("night", PurePosixPath("/srv/night"), ["system", "user"], launcher="x")


def test_unknown_system_is_told() -> None:
    with pytest.raises(UsageError, match="on plan9"):
        plan_install("night", PurePosixPath("/n"), ["system"], system=System("plan9"))


def test_word_without_anything_special_stays_bare() -> None:
    assert (quoted("/usr/bin/python3"), quoted("")) == ("/usr/bin/python3", '""')
