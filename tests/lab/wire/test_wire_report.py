import json
import subprocess
import sys
from pathlib import Path

import pytest
import trio
import wire_helpers as h

from harness.lab.wire import read_truth

pytestmark = pytest.mark.lab

SPEC = """
log = "all"
[[fault]]
kind = "loss"
gilbert = { p = "1%", r = "30%" }
[[fault]]
kind = "dropout"
from = "300ms"
until = "400ms"
[[fault]]
kind = "duplicate"
ratio = "2%"
[[fault]]
kind = "reorder"
ratio = "2%"
[[fault]]
kind = "corrupt"
ratio = "3%"
"""
N_PROBES = 800
LEFT = ("sent", "duplicated")
GROUPS = (f"{h.GROUP_V4}:{h.PORT}", f"[{h.GROUP_V6}]:{h.PORT}")


async def test_a_recording_reports_what_the_wire_did(tmp_path: Path) -> None:
    """The real `harness send` and `harness receive`, IPv4 and IPv6, through one wire."""
    program = [sys.executable, "-m", "harness"]
    run = tmp_path / "run"
    with h.site("tap") as site:
        async with site.wire(SPEC, tmp_path / "truth") as wire, trio.open_nursery() as nursery:
            site.address()
            words = ["receive", *GROUPS, "--interface", "eth0", "--json", "--no-report", "--output", str(run)]
            output = tmp_path / "summary.json"
            with output.open("wb") as out:
                receiving = await trio.lowlevel.open_process(
                    site.second.command(*program, *words), stdout=out, stderr=subprocess.DEVNULL
                )
            nursery.start_soon(end_at_last, receiving)
            events = run / "events.jsonl"
            with trio.fail_after(60):
                while not (events.is_file() and b'"start"' in events.read_bytes()):  # noqa: ASYNC110 - a file's event
                    await trio.sleep(0.02)
            await wire.start()
            async with trio.open_nursery() as senders:
                for group in GROUPS:
                    words = ["send", group, "--interface", "eth0", "--rate", "1kpps", "--count", str(N_PROBES)]
                    words += ["--no-report", "--output", str(tmp_path / f"sent{len(group)}")]
                    senders.start_soon(run_quietly, site.first.command(*program, *words))
            with trio.fail_after(60):  # it ends with the streams
                await receiving.wait()
            nursery.cancel_scope.cancel()
    truth = read_truth(tmp_path / "truth")
    streams = {stream["group"]: stream for stream in json.loads(output.read_bytes())["streams"]}
    for group in GROUPS:
        stream = streams[group]
        damaged = set(truth.seqs("corrupted", to=group))
        lost = set(truth.seqs(to=group)) | damaged
        arrived = [seq for seq in truth.seqs("sent", to=group) if seq not in damaged]
        highest, n_reordered = -1, 0
        for seq in arrived:
            n_reordered += seq < highest
            highest = max(highest, seq)
        assert lost
        assert n_reordered
        assert (stream["expected"], stream["received"]) == (N_PROBES, N_PROBES - len(lost))
        assert stream["lost"] == len(lost)
        copies = truth.copies(to=group)
        assert stream["duplicates"] == sum(n for seq, n in copies.items() if seq not in damaged) > 0
        of_it = [record for record in truth.records if record.to == group]
        corrupt = {record.frame for record in of_it if record.did == "corrupted"}  # end packets, too
        n_left = sum(record.copies or 1 for record in of_it if record.frame in corrupt and record.did in LEFT)
        assert stream["corrupt"] == n_left > 0
        assert stream["reordered"] == n_reordered


async def run_quietly(command: list[str]) -> None:
    await trio.run_process(command, capture_stdout=True, capture_stderr=True)


async def end_at_last(process: trio.Process) -> None:
    """Have a process not outlive the test."""
    try:
        await trio.sleep_forever()
    finally:
        if process.returncode is None:
            process.kill()
