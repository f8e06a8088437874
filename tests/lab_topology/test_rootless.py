"""Labs without root: in a user namespace of their own where the system has them, one clear line where not."""

import os
import subprocess
import sys
from pathlib import Path

import netns
import pytest
from test_topology import TWO_HOSTS

from harness.errors import LabError
from harness.lab import privilege
from harness.lab.journal import PRIVATE


def test_a_lab_runs_in_a_user_namespace_of_its_own(tmp_path: Path) -> None:
    netns.require_lab()
    prefix = ["unshare", "-Urnm", "--kill-child", "--fork", "sh", "-c", privilege.MOUNT, "sh"]
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    netns.require("" if tried.returncode == 0 else "user namespaces")
    file = tmp_path / "two.toml"
    file.write_text(TWO_HOSTS)
    command = [
        sys.executable,
        "-m",
        "harness",
        "lab",
        "run",
        str(file),
        "--output",
        str(tmp_path / "run"),
        "--no-report",
    ]
    environment = {**os.environ, PRIVATE: "1", "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run([*prefix, *command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "100 received; balanced" in done.stderr
    assert list((tmp_path / "multicast-harness" / "labs").iterdir()) == []


def test_without_root_and_user_namespaces_one_line_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = subprocess.CompletedProcess([], 1, b"", b"unshare: unshare failed: Operation not permitted\n")
    monkeypatch.setattr("harness.lab.privilege.os.geteuid", lambda: 1000)
    monkeypatch.setattr("harness.lab.privilege.subprocess.run", lambda *_, **__: refused)
    with pytest.raises(
        LabError, match=r"user namespaces, which this system refuses .*Operation not permitted"
    ) as caught:
        privilege.enter_lab()
    assert "\n" not in str(caught.value)


def test_a_lab_is_for_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.lab.privilege.sys.platform", "darwin")
    with pytest.raises(LabError, match="Linux"):
        privilege.enter_lab()
