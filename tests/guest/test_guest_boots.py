"""A guest that really boots: three boots with a power cut, and what a killed controller leaves."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from netns import require, require_lab

from harness.lab.guest import tools
from harness.lab.guest.machine import image
from harness.lab.guest.reboots import reboot_campaign
from harness.lab.guest.work import Disturbance

pytestmark = [pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(600)]

CONTROLLER = """
import sys, trio
from harness.lab.guest.lab import guest_lab
from harness.lab.guest.machine import image

async def main():
    async with guest_lab(image("minimal"), files={"guest/command": "exit 75"}, sender=("239.255.7.8:5078",)) as lab:
        async with lab.power_on() as machine:
            print(lab.folder, machine.pid, flush=True)
            await trio.sleep_forever()

trio.run(main)
"""


@pytest.fixture(autouse=True)
def capable() -> None:
    require_lab()
    for name in ("qemu-system-x86_64", "mke2fs", "e2fsck", "debugfs", "lz4", "busybox", "setpriv", "nsenter"):
        require(tools.missing_package((name,)))
    require("" if os.path.exists("/dev/net/tun") else "/dev/net/tun")


@pytest.fixture
def nothing_left() -> Iterator[None]:
    def folders() -> set[Path]:
        return set(Path(tempfile.gettempdir()).glob("multicast-harness-guest-*"))

    def processes() -> set[psutil.Process]:
        return set(psutil.Process().children(recursive=True))

    # other tests' helpers, such as the tracker of shared memory, may live as long as the test run
    before = folders(), processes()
    yield
    assert not folders() - before[0]
    assert not processes() - before[1]


async def test_three_boots_with_a_power_cut_and_a_deaf_one(nothing_left: None) -> None:
    plan: list[Disturbance] = ["healthy", "cut-recording", "deaf"]
    verdict = await reboot_campaign(image("minimal"), plan, seed=1)
    assert verdict.problems == []
    assert [str(row) for row in verdict.rows] == ["ok: heard", "crashed", "reproduced: deaf-until-reopened"]
    found = [row.result for row in verdict.rows]
    assert len({result.boot_id for result in found}) == 3
    assert found[0].rows > 300
    assert verdict.n_rows_synced > 300
    assert verdict.n_flushes > verdict.n_synced / 2  # each promise rests on flushes that reached the disk
    assert all(n_dropped > 0 for n_dropped in verdict.n_deaf)
    assert len(verdict.n_deaf) == 1


def test_a_killed_controller_takes_everything_with_it() -> None:
    controller = subprocess.Popen([sys.executable, "-c", CONTROLLER], stdout=subprocess.PIPE, text=True)
    try:
        assert controller.stdout is not None
        folder, pid = controller.stdout.readline().split()
        own = [*psutil.Process(controller.pid).children(recursive=True), psutil.Process(int(pid))]
        assert len({process.pid for process in own}) == 4  # two namespaces, sender, QEMU
    finally:
        controller.send_signal(signal.SIGKILL)
        controller.wait()
        if controller.stdout is not None:
            controller.stdout.close()
    _, alive = psutil.wait_procs(own, timeout=20)
    assert alive == []
    time.sleep(1.1)  # a folder as young as that may be one whose lock is about to be taken
    from harness.lab.guest.lab import remove_orphans

    assert Path(folder).exists()
    remove_orphans()
    assert not Path(folder).exists()
