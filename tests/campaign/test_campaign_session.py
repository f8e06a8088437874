"""A whole campaign on this machine: real sockets on loopback, a real journal, and reboots that are only said to be."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from netns import require, require_lab

from harness.campaign import Asked, Rebooted, boot_path, create, go_on, session
from harness.campaign import directory as layout
from harness.campaign.driver import Ending
from harness.campaign.journal import read_state
from harness.campaign.lock import Lock, is_held
from harness.campaign.machine import WATCHDOG_EXIT, Machine
from harness.campaign.measure import measure, read_measures
from harness.campaign.reboot import LocalRebooter, reboot_command
from harness.campaign.summarise import summarise
from harness.cli import main
from harness.errors import UsageError

GROUP = f"239.255.{143 + os.getpid() % 50}.{os.getpid() // 50 % 250}:5143"

CAMPAIGN = f"""\
name = "deaf"
allow_reboot = true
countdown = "0"
min_free = "1MB"

[matrix]
leave = ["200ms", "5s"]

[[step]]
do = "wait_for_link"
interface = "lo"
timeout = "2s"

[[step]]
do = "receive"
duration = "1300ms"
witnesses = ["beside"]
[step.scenario]
linger = "50ms"
[[step.scenario.stream]]
group = "{GROUP}"
interface = "127.0.0.1"
rate = "200pps"
duration = "1s"
[[step.scenario.receiver]]
groups = ["{GROUP}"]
interface = "127.0.0.1"
name = "app"
[[step.scenario.receiver]]
groups = ["{GROUP}"]
interface = "127.0.0.1"
name = "beside"
[step.scenario.expect]
max_dropout = "150ms"

[[step]]
do = "leave"
at = "{{leave}}"

[[step]]
do = "reopen"
at = "600ms"

[[step]]
do = "reboot"
"""

IDLE = 'name = "idle"\nmin_free = "1MB"\nrepeats = {n}\n[[step]]\ndo = "command"\nrun = ["sleep", "{time}"]\n'


class Pretended:
    """A reboot that ends the program and nothing else."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def reboot(self, boot_id: str) -> Rebooted:
        self.asked.append(boot_id)
        return Rebooted("")


def at_boot(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Have the program believe that it runs in the boot with this number, 7 s after its start."""
    monkeypatch.setattr(session, "boot_id", lambda: f"boot-{number}")
    monkeypatch.setattr(session, "Machine", functools.partial(Machine, uptime_ns=lambda: 7_000_000_000))


def asked(directory: Path, said: list[str], rebooter: Pretended | None = None, **more: Any) -> Asked:
    return Asked(directory, ["harness"], said.append, rebooter=rebooter or Pretended(), **more)


def written(folder: Path, text: str) -> Path:
    path = folder / "campaign.toml"
    path.write_text(text)
    return path


def test_two_boots_are_measured_and_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, said, rebooter = tmp_path / "deaf", list[str](), Pretended()
    at_boot(monkeypatch, 1)
    create(written(tmp_path, CAMPAIGN), directory)
    endings = []
    for number in (1, 2):
        at_boot(monkeypatch, number)
        endings.append(go_on(asked(directory, said, rebooter)).end)
    assert endings == ["rebooting", "finished"]
    assert rebooter.asked == ["boot-1"]
    summary = summarise(directory)
    by_leave = {boot.values["leave"]: boot for boot in summary.boots}
    deaf, healthy = by_leave["200ms"], by_leave["5s"]
    assert (deaf.outcome, healthy.outcome) == ("reproduced", "ok")
    assert "max_dropout" in deaf.reason
    assert (healthy.lost, healthy.dropouts, healthy.is_cured) == (0, [], None)
    assert deaf.lost == pytest.approx(80, abs=12)
    assert [window.kind for window in deaf.dropouts] == ["mid_run"]
    assert deaf.is_cured is True
    assert deaf.cure_ns is not None
    assert deaf.cure_ns < 400_000_000
    assert ("beside", True) in [(witness.name, witness.is_hearing) for witness in deaf.witnesses]
    assert {witness.is_hearing for witness in healthy.witnesses} == {None}
    assert {"join", "leave", "reopen", "cure"} == {mark.kind for mark in deaf.marks}
    assert "lost" in [span.kind for span in deaf.spans]
    assert {span.kind for span in healthy.spans} == {"delivered"}
    first, second = summary.boots
    assert (first.arrival, second.arrival) == ("started", "resumed")
    assert first.boot_to_first_ns is None, "the first boot was not rebooted for this"
    assert second.boot_to_first_ns is not None
    assert 7_000_000_000 < second.boot_to_first_ns < 60_000_000_000
    assert first.changes_previous is None
    assert second.changes_previous is not None
    assert (boot_path(directory, deaf.boot) / "receive" / "report.html").exists()
    assert not (boot_path(directory, healthy.boot) / "receive" / "report.html").exists()
    again = measure(boot_path(directory, deaf.boot))
    assert again == read_measures(boot_path(directory, deaf.boot))


def test_link_that_never_comes_is_a_boot_that_could_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = CAMPAIGN.replace('interface = "lo"\ntimeout = "2s"', 'interface = "nolink0"\ntimeout = "100ms"')
    directory, said = tmp_path / "deaf", list[str]()
    create(written(tmp_path, text), directory)
    for number in (1, 2):
        at_boot(monkeypatch, number)
        ending = go_on(asked(directory, said))
    assert ending.end == "finished"
    found = summarise(directory)
    assert [boot.outcome for boot in found.boots] == ["not_run", "not_run"]
    assert "no link within 100ms" in found.boots[0].reason
    assert (found.statistics.total.ran, found.statistics.total.not_run, found.statistics.total.rate) == (0, 2, None)


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ('["false"]', "ended with 1; its output is in command-1.log"),
        ('["no-such-program-here"]', "cannot be started: No such file or directory"),
        ('["sleep", "20"]', "not done within 100ms"),
    ],
)
def test_command_that_fails_is_a_boot_that_could_not_run(tmp_path: Path, run: str, reason: str) -> None:
    text = f'name = "idle"\nmin_free = "1MB"\n[[step]]\ndo = "command"\nrun = {run}\ntimeout = "100ms"\n'
    create(written(tmp_path, text), tmp_path / "idle")
    assert go_on(asked(tmp_path / "idle", [])).end == "finished"
    (boot,) = summarise(tmp_path / "idle").boots
    assert boot.outcome == "not_run"
    assert reason in boot.reason


def test_command_that_is_kept_runs_to_the_end_of_the_boot(tmp_path: Path) -> None:
    flag = tmp_path / "alive"
    text = (
        'name = "idle"\nmin_free = "1MB"\n'
        f'[[step]]\ndo = "command"\nkeep = true\nrun = ["sh", "-c", "touch {flag}; sleep 60"]\n'
        f'[[step]]\ndo = "command"\nrun = ["sh", "-c", "while ! test -e {flag}; do sleep 0.01; done"]\ntimeout = "9s"\n'
    )
    create(written(tmp_path, text), tmp_path / "idle")
    begin_s = time.monotonic()
    assert go_on(asked(tmp_path / "idle", [])).end == "finished"
    assert time.monotonic() - begin_s < 20
    assert summarise(tmp_path / "idle").boots[0].outcome == "ok"


def started(directory: Path, source: Path) -> "subprocess.Popen[str]":
    words = [sys.executable, "-m", "harness", "campaign", "start", str(source), "--output", str(directory)]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    for _ in range(1000):
        if path.exists():
            return
        time.sleep(0.01)
    pytest.fail(f"{path} never came")


def test_killed_program_loses_no_boot_and_its_lock_is_known_to_be_stale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "idle"
    process = started(directory, written(tmp_path, IDLE.format(n=3, time="0.4")))
    wait_for(directory / "boots/0002/boot.json")
    assert is_held(directory / layout.LOCK)
    assert main(["campaign", "resume", str(directory)]) == 2
    assert f"is being run by process {process.pid}; harness campaign status" in capsys.readouterr().err
    process.kill()
    process.communicate()
    assert not is_held(directory / layout.LOCK)
    assert main(["campaign", "status", str(directory)]) == 0
    assert "boot 2, step" in capsys.readouterr().out
    assert main(["campaign", "resume", str(directory)]) == 0
    assert f"process {process.pid} is gone and left its lock" in capsys.readouterr().err
    assert [boot.outcome for boot in summarise(directory).boots] == ["ok", "crashed", "ok"]


@pytest.mark.parametrize(("number", "pause"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")])
def test_signal_pauses_in_order_and_the_boot_is_made_again(tmp_path: Path, number: signal.Signals, pause: str) -> None:
    directory = tmp_path / "idle"
    process = started(directory, written(tmp_path, IDLE.format(n=1, time="30")))
    wait_for(directory / "boots/0001/command-1.log")
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "paused: broken off in step 1" in errors
    state, _ = read_state(directory / layout.JOURNAL)
    assert (state.pause, state.settled[0].is_void, state.next_number) == (pause, True, 2)


def test_changed_file_is_refused_until_it_is_accepted_and_counts_what_was_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, source = tmp_path / "idle", written(tmp_path, IDLE.format(n=2, time="0"))
    create(source, directory)
    assert go_on(asked(directory, [])).end == "finished"
    source.write_text(IDLE.format(n=3, time="0"))
    assert main(["campaign", "resume", str(directory)]) == 2
    said = capsys.readouterr().err
    assert "has changed since boot 3; put it back" in said
    assert said.count("\n") == 1
    assert main(["campaign", "resume", str(directory), "--accept-change"]) == 0
    state, records = read_state(directory / layout.JOURNAL)
    assert len(state.settled) == 3
    assert [record.kind for record in records].count("accepted") == 1
    source.unlink()
    said_again = list[str]()
    assert go_on(asked(directory, said_again)).end == "finished"
    assert "is not there; going on with what it said" in said_again[0]


def test_stored_campaign_that_was_edited_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, source = tmp_path / "idle", written(tmp_path, IDLE.format(n=2, time="0"))
    create(source, directory)
    source.unlink()
    (kept,) = directory.glob("said-*.json")
    kept.write_text(kept.read_text().replace('"repeats": 2', '"repeats": 9'))
    assert main(["campaign", "resume", str(directory)]) == 2
    assert "was edited" in capsys.readouterr().err


def test_campaign_is_begun_once(tmp_path: Path) -> None:
    source = written(tmp_path, IDLE.format(n=1, time="0"))
    create(source, tmp_path / "idle")
    with pytest.raises(UsageError, match="holds a campaign that has begun"):
        create(source, tmp_path / "idle")


def test_cancel_calls_the_reboot_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, rebooter = tmp_path / "deaf", Pretended()
    text = 'name = "deaf"\nallow_reboot = true\nrepeats = 2\ncountdown = "60s"\nmin_free = "1MB"\n'
    at_boot(monkeypatch, 1)
    create(written(tmp_path, text + '[[step]]\ndo = "note"\ntext = "x"\n[[step]]\ndo = "reboot"\n'), directory)

    def say(line: str) -> None:
        if "reboots in 60 s" in line:
            layout.ask_to_cancel(directory)

    ending = go_on(Asked(directory, [], say, rebooter=rebooter))
    assert ending == Ending("paused", "the reboot for boot 2 was called off")
    assert rebooter.asked == []
    assert go_on(asked(directory, [], rebooter, is_unattended=True)).end == "held"


def test_note_reaches_the_journal(tmp_path: Path) -> None:
    directory = tmp_path / "idle"
    create(written(tmp_path, IDLE.format(n=1, time="0")), directory)
    assert main(["campaign", "note", str(directory), "cable", "moved"]) == 0
    assert go_on(asked(directory, [])).end == "finished"
    _, records = read_state(directory / layout.JOURNAL)
    assert [record.text for record in records if record.kind == "note"] == ["cable moved"]


def test_boot_that_overruns_its_limit_is_ended_and_hung(tmp_path: Path) -> None:
    directory = tmp_path / "idle"
    text = 'name = "idle"\nboot_limit = "800ms"\nmin_free = "1MB"\n[[step]]\ndo = "wait"\nduration = "60s"\n'
    process = started(directory, written(tmp_path, text))
    process.communicate(timeout=30)
    assert process.returncode == WATCHDOG_EXIT
    assert go_on(asked(directory, [])).end == "finished"
    (boot,) = summarise(directory).boots
    assert (boot.outcome, boot.reason) == ("hung", "no end within 800 ms")


def test_too_little_room_pauses_and_says_so(tmp_path: Path) -> None:
    directory = tmp_path / "idle"
    create(written(tmp_path, IDLE.format(n=1, time="0").replace("1MB", "999999GB")), directory)
    ending = go_on(asked(directory, []))
    assert ending.end == "paused"
    assert "make room, then resume" in ending.text


def test_report_that_cannot_be_made_is_a_line_and_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def report_again(path: Path) -> None:
        raise ModuleNotFoundError("No module named 'matplotlib'")

    monkeypatch.setattr("harness.conclusion.report_again", report_again)
    text = (
        f'name = "deaf"\nrepeats = 2\nmin_free = "1MB"\n[reproduced_when]\nfirst_packet_after = "50ms"\n'
        f'[[step]]\ndo = "receive"\ngroups = ["{GROUP}"]\ninterface = "lo"\nduration = "200ms"\n'
    )
    create(written(tmp_path, text), tmp_path / "deaf")
    said: list[str] = []
    assert go_on(Asked(tmp_path / "deaf", ["harness"], said.append)).end == "finished"
    assert [boot.outcome for boot in summarise(tmp_path / "deaf").boots] == ["reproduced", "reproduced"]
    lines = [line for line in said if "no report: No module named 'matplotlib'; harness report" in line]
    assert len(lines) == 2
    assert not any("\n" in line for line in lines)


def test_report_prints_tables_writes_json_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / "idle"
    create(written(tmp_path, IDLE.format(n=2, time="0")), directory)
    go_on(asked(directory, []))
    assert main(["campaign", "report", str(directory), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((directory / "campaign.json").read_text())
    assert [boot["outcome"] for boot in printed["boots"]] == ["ok", "ok"]
    assert {path.name for path in (directory / "plots").glob("*.png")} == {
        "raster.png", "first-packet.png", "rates.png"
    }  # fmt: skip
    assert main(["campaign", "report", str(directory), "--no-plots", "--again"]) == 0
    assert "seen on 0 of 2 boots" in capsys.readouterr().out


def test_unit_that_starts_before_the_campaign_has_nothing_to_do(tmp_path: Path) -> None:
    assert main(["campaign", "resume", str(tmp_path), "--unattended"]) == 0


@pytest.mark.parametrize("action", ["resume", "status", "note", "cancel", "report"])
def test_directory_without_a_campaign_is_told(tmp_path: Path, action: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", action, str(tmp_path), *(["x"] if action == "note" else [])]) == 2
    assert "holds no campaign" in capsys.readouterr().err


def test_check_prints_the_plan_and_install_only_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(tmp_path, CAMPAIGN)
    assert main(["campaign", "check", str(source)]) == 0
    assert "deaf: 2 boots" in capsys.readouterr().out
    assert main(["campaign", "check", str(source), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["boots"]) == 2
    assert main(["campaign", "install", str(source), "--user"]) == 0
    shown = capsys.readouterr()
    assert "harness-campaign-deaf.service" in shown.out
    assert "nothing was done" in shown.err


def test_stale_lock_of_another_boot_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(json.dumps({"pid": os.getpid(), "started_s": 1.0, "boot_id": "earlier"}))
    lock = Lock(path, "now")
    assert lock.stale == f"process {os.getpid()} of another boot left its lock"
    with pytest.raises(UsageError, match="is being run by process"):
        Lock(path, "now")
    lock.close()
    Lock(path, "now").close()


async def test_local_reboot_that_fails_says_why_and_nothing_is_run_for_real() -> None:
    ran: list[list[str]] = []

    def refuses(command: object) -> int:
        ran.append(list(command))  # type: ignore[call-overload] # a sequence of words
        return 1

    came = await LocalRebooter(execute=refuses).reboot("a")
    assert came.boot_id is None
    assert "ended with 1; it usually takes root" in came.reason
    assert ran == [reboot_command()]
    came = await LocalRebooter(execute=lambda _: 0, grace_s=0.01).reboot("a")
    assert "still in boot a" in came.reason


@pytest.mark.parametrize(
    ("platform", "command"),
    [("linux", "systemctl reboot"), ("darwin", "shutdown -r now"), ("win32", "shutdown /r /t 0")],
)
def test_reboot_command_of_each_system(platform: str, command: str) -> None:
    assert " ".join(reboot_command(platform)) == command


BOOT = """
import sys
from pathlib import Path
from typing import Any
from harness.campaign import Asked, Rebooted, go_on

class Pretended:
    async def reboot(self, boot_id):
        return Rebooted("")

print(go_on(Asked(Path(sys.argv[1]), [], lambda line: None, rebooter=Pretended(), is_unattended=True)).end)
"""


@pytest.mark.lab
def test_boots_imitated_by_the_kernel_have_their_own_boot_ids_and_uptime(tmp_path: Path) -> None:
    require_lab()
    require("" if shutil.which("unshare") else "unshare (util-linux)")
    directory = tmp_path / "deaf"
    text = 'name = "deaf"\nallow_reboot = true\nrepeats = 2\ncountdown = "0"\nmin_free = "1MB"\n'
    create(written(tmp_path, text + '[[step]]\ndo = "note"\ntext = "x"\n[[step]]\ndo = "reboot"\n'), directory)
    identity, uptime_s = tmp_path / "boot_id", int(time.clock_gettime(time.CLOCK_BOOTTIME))
    identities = []
    for ending in ("rebooting", "finished"):
        identities.append(str(uuid.uuid4()))
        identity.write_text(identities[-1] + "\n")
        inside = f'mount --bind {identity} /proc/sys/kernel/random/boot_id && exec {sys.executable} -c "$0" {directory}'
        done = subprocess.run(
            ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--time", "--boottime",
             f"-{uptime_s}", "--monotonic", f"-{uptime_s}", "--mount-proc", "sh", "-c", inside, BOOT],
            capture_output=True, text=True, timeout=60, cwd=Path(__file__).parent.parent.parent,
        )  # fmt: skip
        assert done.stdout.strip() == ending, done.stderr
    boots = summarise(directory).boots
    assert [boot.boot_id for boot in boots] == identities
    assert [boot.arrival for boot in boots] == ["started", "resumed"]
    facts = [json.loads((boot_path(directory, boot.boot) / "boot.json").read_text()) for boot in boots]
    assert all(0 <= fact["began_ns"] - fact["booted_ns"] < 60 * 10**9 for fact in facts), "uptime is the boot's own"
