"""The programs that run inside a guest, as far as they can be tried outside."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.lab.guest.inside import deaf
from harness.lab.guest.roots import Kind
from harness.lab.guest.work import campaign_files

INSIDE = Path(deaf.__file__).parent


@pytest.mark.parametrize("script", sorted(INSIDE.glob("*.sh")), ids=lambda path: path.name)
def test_a_script_parses(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True, timeout=10)


def test_sockets_bound_to_groups_are_told_from_others() -> None:
    head = "sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode ref pointer drops"
    rows = [
        f"  1: {address}:13D5 00000000:0000 07 0:0 00:0 0 0 0 {inode} 2 0 0"
        for inode, address in ((1, "0707FFEF"), (2, "0100007F"), (3, "00000000"), (4, "010000E0"), (5, "010000F0"))
    ]
    assert deaf.group_inodes("\n".join([head, *rows])) == {"1", "4"}


def test_the_program_that_deafens_is_found_beside_the_package() -> None:
    assert len(deaf.load_bpf().deafen_to_multicast(3)) % 8 == 0


def test_a_sync_is_told_to_nobody_outside_a_guest_s_disk(tmp_path: Path) -> None:
    program = (
        f"exec(open({str(INSIDE / 'tell.py')!r}).read(), {{}})\n"
        f"import os\nfile = open({str(tmp_path / 'x')!r}, 'wb')\nfile.write(b'x'); file.flush()\n"
        "os.fsync(file); os.fsync(file.fileno()); print('synced')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "synced\n"


@pytest.mark.parametrize("kind", ["minimal", "systemd"])
def test_the_campaign_that_a_guest_runs_is_one(kind: Kind, tmp_path: Path) -> None:
    files = campaign_files(kind, 3)
    (tmp_path / "guest.toml").write_text(files["guest/guest.toml"])
    (tmp_path / "command").write_text(files["guest/command"])
    check = [sys.executable, "-m", "harness", "campaign", "check", str(tmp_path / "guest.toml")]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60, check=True)
    assert "guest: 3 boots" in done.stdout
    subprocess.run(["sh", "-n", str(tmp_path / "command")], check=True, timeout=10)
