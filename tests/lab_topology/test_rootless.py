"""Labs without root: in a user namespace of their own where the system has them, one clear line where not."""

import subprocess
from pathlib import Path

import netns
import pytest
from topology_helpers import LIMIT_S, lab_command, run_of

from harness.errors import LabError
from harness.lab import privilege
from harness.lab.journal import PRIVATE


def test_a_lab_runs_in_a_user_namespace_of_its_own(tmp_path: Path) -> None:
    netns.require_lab()
    prefix = ["unshare", "-Urnm", "--kill-child", "--fork", "sh", "-c", privilege.MOUNT, "sh"]
    tried = subprocess.run([*prefix, "true"], capture_output=True, check=False)
    netns.require("" if tried.returncode == 0 else "user namespaces")
    program = lab_command(tmp_path, *run_of(tmp_path), prefix=prefix, environment={PRIVATE: "1"})
    _, errors = program.communicate(timeout=LIMIT_S)
    assert program.returncode == 0, errors
    assert "100 received; balanced" in errors
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
