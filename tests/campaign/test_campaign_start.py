"""What stands between a boot and its first packet: how little is loaded, and that the system is asked once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GROUP = f"239.255.{193 + os.getpid() % 50}.{os.getpid() // 50 % 250}"

RECEIVE = f"""
[[step]]
do = "receive"
groups = ["{GROUP}:5146"]
interface = "127.0.0.1"
duration = "100ms"
[reproduced_when]
first_packet_after = "10s"
"""

NOTE = """
[[step]]
do = "note"
text = "nothing to hear"
"""

PROGRAM = """
import sys

def look(event, arguments):
    if event == "socket.bind" and isinstance(arguments[1], tuple) and arguments[1][0] == sys.argv[3]:
        print("loaded", *sys.modules)

sys.addaudithook(look)
from harness.cli import main

main(["campaign", "start", sys.argv[1], "--output", sys.argv[2]])
"""

LATER = (
    *("asyncio", "email", "http", "xml", "jinja2", "matplotlib", "rich", "dpkt", "pyarrow"),
    *("harness.campaign.measure", "harness.campaign.statistics", "harness.conclusion", "harness.analysis.recording"),
    *("harness.diagnosis", "harness.report", "harness.plots", "harness.compare", "harness.hosts", "harness.lab"),
    *("harness.analyzer.membership", "protocols.igmp", "protocols.rtp"),
)
"""What a boot's measures need after its recording, or another command: seconds of an emulated or a small machine."""


def boot_of(step: str, tmp_path: Path) -> tuple[Path, set[str]]:
    """Run a campaign of one boot; return the boot's directory, and what was loaded when its socket was bound."""
    head = 'name = "start"\nallow_reboot = true\nrepeats = 1\ncountdown = "0"\nmin_free = "1MB"\n'
    (tmp_path / "start.toml").write_text(head + step + '[[step]]\ndo = "reboot"\n')
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "start.toml"), str(tmp_path / "campaign"), GROUP]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    words = [line.split() for line in done.stdout.splitlines() if line.startswith("loaded ")]
    return tmp_path / "campaign" / "boots" / "0001", set(words[0][1:]) if words else set()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a socket is not bound to its group")
def test_a_boot_loads_little_before_it_has_joined(tmp_path: Path) -> None:
    boot, loaded = boot_of(RECEIVE, tmp_path)
    assert {"trio", "numpy", "harness.run.engine"} <= loaded
    assert loaded.isdisjoint(LATER), sorted(loaded & set(LATER))
    assert json.loads((boot / "measures.json").read_text())["outcome"] == "reproduced"


def test_a_boot_s_evidence_is_that_of_its_recording(tmp_path: Path) -> None:
    boot, _ = boot_of(RECEIVE, tmp_path)
    told = json.loads((boot / "environment.json").read_text())
    assert told == json.loads((boot / "receive" / "environment.json").read_text())


def test_a_boot_without_a_recording_has_evidence_too(tmp_path: Path) -> None:
    boot, _ = boot_of(NOTE, tmp_path)
    assert "lo" in json.loads((boot / "environment.json").read_text())["interfaces"]
