"""The programs of the bench and how each is run: the same group, size, rate and receive buffer for all."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

from harness.bench.place import Place

GROUP = "239.255.77.7"
FLAT_OUT_PPS = 5_000_000
"""What a peer is told that has no word for "as fast as it goes"; mgen takes no order to stop then."""

MGEN_PPS = 1_000_000


@dataclass(frozen=True, slots=True)
class Task:
    """What a pair is to do.

    Attributes:
      pps: rate; None for as fast as it goes.
      seconds: how long the sender sends.
      stamps, idle_s: for the witness: keep each packet's stamp, and how long a silence ends it.
      delays: read the one-way delays of the recording.
      precise: our sender watches the clock between packets, as sockperf's does.
      is_eager: the bare loop's receiver reads at once, instead of as the engine does.
    """

    size: int
    seconds: float
    buffer_bytes: int
    pps: int | None = None
    offload: bool = False
    stamps: bool = False
    idle_s: float = 0.4
    delays: bool = False
    precise: bool = False
    is_eager: bool = False


Command = Callable[[Place, Task], list[str]]


@dataclass(frozen=True, slots=True)
class Tool:
    """One program.

    Attributes:
      name: as in the table.
      port: where its receiver listens.
      receive, send: its commands.
      ends_itself: whether its receiver ends after the stream; else it is told to.
      n_unread: datagrams at its end that its own receiver no longer waits for.
      pause_s: longest silence of its sender, which sockperf keeps after its warm-up.
      program: what has to be installed, "" for our own.
      version: arguments that make it print its version.
    """

    name: str
    port: int
    receive: Command
    send: Command
    ends_itself: bool = False
    n_unread: int = 0
    pause_s: float = 0.4
    program: str = ""
    version: tuple[str, ...] = ()


def _ours(module: str, end: str, port: int, *, is_eager: bool = False) -> Command:
    def command(place: Place, task: Task) -> list[str]:
        side = place.rx if end == "receive" else place.tx
        asked = {
            "group": f"{GROUP}:{port}",
            "interface": side.interface,
            "size": task.size,
            "buffer": task.buffer_bytes,
            "duration_s": task.seconds,
            "pps": task.pps,
            "offload": task.offload,
            "stamps": task.stamps,
            "idle_s": task.idle_s,
            "delays": task.delays,
            "precise": task.precise,
            "is_eager": task.is_eager or is_eager,
        }
        return side.command([sys.executable, "-m", f"harness.bench.{module}", end, json.dumps(asked)])

    return command


def _iperf_receive(place: Place, task: Task) -> list[str]:
    bind = f"{GROUP}%{place.rx.interface}"
    return place.rx.command(["iperf", "-s", "-u", "-w", str(task.buffer_bytes), "-B", bind, "-p", "5202"])


def _iperf_send(place: Place, task: Task) -> list[str]:
    where = ["-c", f"{GROUP}%{place.tx.interface}", "-B", place.tx.address, "-p", "5202", "-T", "4"]
    rate = ["-b", f"{task.pps or FLAT_OUT_PPS}pps", "-l", str(task.size), "-t", f"{task.seconds:g}"]
    return place.tx.command(["iperf", "-u", *where, *rate])


def _mgen_receive(place: Place, task: Task) -> list[str]:
    events = [
        f"rxbuffer {task.buffer_bytes}",
        "0.0 LISTEN UDP 5203",
        f"0.0 JOIN {GROUP} INTERFACE {place.rx.interface} PORT 5203",
    ]
    return place.rx.command(
        ["mgen", "ipv4", *events[0].split(), "event", events[1], "event", events[2], "binary", "output", "/dev/null"]
    )


def _mgen_send(place: Place, task: Task) -> list[str]:
    what = f"UDP SRC 5203 DST {GROUP}/5203 PERIODIC [{task.pps or MGEN_PPS} {task.size}] INTERFACE {place.tx.interface}"
    script = ["event", f"0.0 ON 1 {what} TTL 4", "event", f"{task.seconds} OFF 1"]
    return place.tx.command(["mgen", "ipv4", "output", "/dev/null", *script])


def _sockperf_receive(place: Place, task: Task) -> list[str]:
    where = ["-i", GROUP, "-p", "5204", "--mc-rx-if", place.rx.address]
    return place.rx.command(["sockperf", "server", *where, "-g", "--buffer-size", str(task.buffer_bytes)])


def _sockperf_send(place: Place, task: Task) -> list[str]:
    where = ["-i", GROUP, "-p", "5204", "--mc-tx-if", place.tx.address, "--mc-ttl", "4"]
    rate = ["-m", str(task.size), f"--mps={task.pps or 'max'}", "-t", str(max(1, round(task.seconds)))]
    return place.tx.command(["sockperf", "throughput", *where, *rate])


def _nuttcp_receive(place: Place, _: Task) -> list[str]:
    return place.rx.command(["nuttcp", "-1", "-4", "-P", "5205", "--nofork"])


def _nuttcp_send(place: Place, task: Task) -> list[str]:
    rate = f"-R{task.pps}p" if task.pps else "-Ru"
    what = ["-u", f"-w{task.buffer_bytes // 1024}", f"-l{task.size}", rate, f"-T{task.seconds:g}"]
    return place.tx.command(["nuttcp", "-4", "-P", "5205", "-p", "5206", *what, place.rx.address])


OURS = Tool("ours", 5201, _ours("own", "receive", 5201), _ours("own", "send", 5201), ends_itself=True)
BARE = Tool("bare loop", 5207, _ours("bare", "receive", 5207), _ours("bare", "send", 5207), ends_itself=True)
BARE_EAGER = Tool(
    "bare loop, eager", 5208, _ours("bare", "receive", 5208, is_eager=True), _ours("bare", "send", 5208, is_eager=True),
    ends_itself=True,
)  # fmt: skip
"""The bare loop with batches of its own choice: it reads whatever is there at once, and sends 256 at a time."""

PEERS = (
    Tool("iperf", 5202, _iperf_receive, _iperf_send, program="iperf", version=("-v",)),
    Tool("mgen", 5203, _mgen_receive, _mgen_send, program="mgen", version=("help",)),
    Tool("sockperf", 5204, _sockperf_receive, _sockperf_send, pause_s=5.0, program="sockperf", version=("--version",)),
    Tool("nuttcp", 5205, _nuttcp_receive, _nuttcp_send, n_unread=4, program="nuttcp", version=("-V",)),
)
UNICAST_ONLY = {"nuttcp"}
"""Peers that take part by unicast: their multicast derives the group from an address and takes no interface."""


def witness(port: int) -> Command:
    """Return the command of the receiver that stamps any tool's packets: the bare loop on that tool's port."""
    return _ours("bare", "receive", port)


def sockperf_ping_pong(place: Place, seconds: int) -> tuple[list[str], list[str]]:
    """Return server and client of sockperf's round trips at 1,000 a second over the group."""
    where = ["-i", GROUP, "-p", "5204"]
    server = ["sockperf", "server", *where, "--mc-rx-if", place.rx.address, "--force-unicast-reply"]
    pace = ["-m", "64", "--mps=1000", "-t", str(seconds), "--mc-tx-if", place.tx.address, "--mc-ttl", "4"]
    return place.rx.command(server), place.tx.command(["sockperf", "ping-pong", *where, *pace])


def find_peers(install: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Return the versions of the peers that are there, and why the others are not.

    Args:
      install: as root, install what is missing with apt-get.
    """
    missing = [tool.program for tool in PEERS if shutil.which(tool.program) is None]
    reason = "not installed"
    if missing and install and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        reason = _install(missing)
    found = {tool.name: _version(tool) for tool in PEERS if shutil.which(tool.program) is not None}
    return found, {tool.name: reason for tool in PEERS if tool.name not in found}


def _install(programs: list[str]) -> str:
    command = ["apt-get", "install", "-y", "--no-install-recommends", *programs]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as exc:
        return f"apt-get install failed: {exc}"
    return "not installed" if done.returncode == 0 else f"apt-get install failed: {done.stderr.strip()[-120:]}"


def _version(tool: Tool) -> str:
    try:
        done = subprocess.run(
            [tool.program, *tool.version],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    match = re.search(r"\d+\.\d+[\w.]*", done.stdout + done.stderr)
    return match.group() if match else "unknown"
