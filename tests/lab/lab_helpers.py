"""What the lab tests share: the real command line in namespaces, a switch that drops what it is told, and captures."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from netns import Namespace, cable, require, require_lab, run

from harness.analysis import analyze_recording
from harness.model import Event, StreamSummary, Summary

PATIENCE_S = 60.0
"""A busy machine may take long to start a program; nothing here is waited for longer."""

MARKER = b"the capture ends here"
MARKER_PORT = 9
PACKAGES = {
    "nft": "nftables",
    "dumpcap": "wireshark-common",
    "tshark": "tshark",
    "ffmpeg": "ffmpeg",
    "gst-launch-1.0": "gstreamer1.0-tools",
    "gst-inspect-1.0": "gstreamer1.0-tools",
    "ptp4l": "linuxptp",
    "iperf": "iperf",
    "mgen": "mgen",
}
"""Debian packages of the programs that the tests run."""


def require_programs(*names: str) -> None:
    """Skip the test, naming the Debian package that it lacks, or fail where the lab is required."""
    require_lab()
    missing = [f"{name} (Debian: {PACKAGES[name]})" for name in names if shutil.which(name) is None]
    require(", ".join(missing))


def wait_for(what: str, is_there: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait for evidence."""
    deadline = time.monotonic() + patience_s
    while not is_there():
        assert time.monotonic() < deadline, f"no {what} within {patience_s:g} s"
        time.sleep(0.01)


@dataclass
class Program:
    """A program that runs in a namespace."""

    process: subprocess.Popen[str]
    words: Sequence[str]
    log: Path

    def wait(self) -> None:
        """Wait for its end, which must be a success."""
        code = self.process.wait(PATIENCE_S)
        assert code == 0, f"{' '.join(self.words)} ended with {code}: {self.said()}"

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)


@dataclass
class Command(Program):
    """`harness send` or `harness receive`, recording into `run`; its stdout goes to a file of its own."""

    run: Path
    out: Path

    def events(self) -> list[Event]:
        """Return the events on record so far; they reach the disk within about a second."""
        path = self.run / "events.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        return [msgspec.json.decode(line, type=Event) for line in lines if line.endswith(b"\n")]

    def wait_event(self, kind: str, times: int = 1) -> None:
        """Wait until something has happened so often."""

        def has_happened() -> bool:
            assert self.process.poll() is None, f"ended early: {self.said()}"
            return sum(event.kind == kind for event in self.events()) >= times

        wait_for(f"{kind} of {' '.join(self.words)}", has_happened)

    def wait_recorded(self) -> None:
        """Wait until the recording is complete on disk, then end the program: the figures take it seconds.

        What it prints and draws after that is held by the tests that wait for its own end.
        """

        def is_complete() -> bool:
            is_over = self.process.poll() is not None
            manifest = self.run / "manifest.json"
            is_ended = manifest.is_file() and json.loads(manifest.read_bytes())["end"] is not None
            assert is_ended or not is_over, f"ended early: {self.said()}"
            return is_ended

        wait_for(f"end of {' '.join(self.words)}", is_complete)
        self.kill()
        assert "Traceback" not in self.said(), self.said()

    def recorded(self, sent: Command | None = None) -> Summary:
        """Return the summary of the recording once it is complete; `sent` brings the sender's log to it."""
        self.wait_recorded()
        if sent is not None:
            sent.wait_recorded()
        return analyze_recording(self.run, sender_run=sent.run if sent else None)

    def printed(self) -> Summary:
        """Wait for the program's own end and return what it printed."""
        self.wait()
        assert "Traceback" not in self.said(), self.said()
        return msgspec.json.decode(self.out.read_bytes(), type=Summary)


@dataclass
class Lab:
    """Namespaces of one test or module, its programs and their files."""

    folder: Path
    namespaces: list[Namespace] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)

    def namespace(self) -> Namespace:
        self.namespaces.append(Namespace())
        return self.namespaces[-1]

    def _start(self, side: Namespace, words: Sequence[str], out: Path | None, environment: dict[str, str]) -> Program:
        log = self.folder / f"{len(self.programs)}.log"
        with log.open("wb") as err, (out or log).open("ab") as stdout:
            process = subprocess.Popen(
                side.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=err,
                text=True,
                cwd=self.folder,
                env=os.environ | environment,
            )
        return Program(process, words, log)

    def start(self, side: Namespace, *words: str, **environment: str) -> Program:
        """Start a program in a namespace."""
        self.programs.append(self._start(side, words, None, environment))
        return self.programs[-1]

    def harness(self, side: Namespace, *words: str) -> Command:
        """Start `harness send` or `harness receive` in a namespace, with --json and an --output of its own.

        A receiver gets a buffer that holds whole streams: on a busy machine it may not run for half a second.
        """
        if words[0] == "receive" and "--buffer" not in words:
            words = (*words, "--buffer", "8MB")
        output = self.folder / f"run{len(self.programs)}"
        out = self.folder / f"{len(self.programs)}.json"
        line = [sys.executable, "-m", "harness", *words, "--json", "--output", str(output)]
        started = self._start(side, line, out, {})
        command = Command(started.process, started.words, started.log, output, out)
        self.programs.append(command)
        return command

    def receive(self, side: Namespace, *words: str) -> Command:
        """Start `harness receive` and wait until it has joined."""
        command = self.harness(side, "receive", *words)
        command.wait_event("start")
        return command

    def close(self) -> None:
        """End what still runs, remove the namespaces by name, and hold that nothing is left."""
        with ExitStack() as last:
            for side in self.namespaces:
                last.callback(side.remove)
            for program in self.programs:
                last.callback(program.kill)


@contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    """Yield an empty lab; it is gone afterwards."""
    made = Lab(folder)
    try:
        yield made
    finally:
        made.close()


def analyze(path: Path, *words: str) -> Summary:
    """Return what `harness analyze PATH` prints."""
    line = [sys.executable, "-m", "harness", "analyze", str(path), *words, "--json"]
    done = subprocess.run(line, capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == 0, f"{' '.join(line)}: {done.stderr.decode()}"
    return msgspec.json.decode(done.stdout, type=Summary)


def stream_of(summary: Summary, group: str) -> StreamSummary:
    """Return the only stream of a group."""
    (stream,) = [stream for stream in summary.streams if stream.group == group]
    return stream


class Wire:
    """A sender tx (tx0, 10.77.0.1) and a receiver rx (rx0, 10.77.0.2) with a switch between them that drops by nft.

    The drops happen on arrival at the switch's port p0: after the sender's kernel and its captures, before those of
    the receiver. Multicast is flooded: snooping is off.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.tx, self.switch, self.rx = lab.namespace(), lab.namespace(), lab.namespace()
        self.switch.ip("link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
        self.switch.ip("link", "set", "br0", "up")
        for number, (side, name) in enumerate(((self.tx, "tx0"), (self.rx, "rx0"))):
            self.plug_in(side, number, name)
        for side, name in ((self.tx, "tx0"), (self.rx, "rx0"), (self.switch, "p0"), (self.switch, "p1")):
            side.wait_until_up(name)
        self.wait_forwarding()
        self.nft("add table netdev wire", "add chain netdev wire in { type filter hook ingress device p0 priority 0; }")

    def plug_in(self, side: Namespace, number: int, name: str) -> None:
        """Make the cable from an interface of a host to port p{number} of the switch, and set both ends up."""
        port = f"p{number}"
        self.switch.ip("link", "add", port, "type", "veth", "peer", "name", name, "netns", side.name)
        self.switch.ip("link", "set", port, "master", "br0", "up")
        side.ip("link", "set", name, "addrgenmode", "none")
        side.ip("addr", "add", f"10.77.0.{number + 1}/24", "dev", name)
        side.ip("link", "set", name, "up")
        side.ip("route", "add", "224.0.0.0/4", "dev", name)

    def wait_forwarding(self) -> None:
        """Wait until both ports of the switch forward."""

        def states() -> list[str]:
            return [link["state"] for link in json.loads(run("bridge", "-n", self.switch.name, "-j", "link"))]

        wait_for("forwarding ports", lambda: states() == ["forwarding"] * 2)

    def nft(self, *lines: str) -> None:
        """Carry out lines of nft at the switch."""
        text = "\n".join(lines) + "\n"
        done = subprocess.run(self.switch.command("nft", "-f", "-"), input=text, capture_output=True, text=True)
        assert done.returncode == 0, f"{text}{done.stderr}"

    def drop(self, name: str, rule: str) -> None:
        """Drop what a rule matches, on a counter of its own."""
        self.nft(f"add counter netdev wire {name}", f"add rule netdev wire in {rule} counter name {name} drop")

    def dropped(self, name: str) -> int:
        """Return how many packets a rule has dropped."""
        words = ["nft", "-j", "list", "counter", "netdev", "wire", name]
        answer = json.loads(run(*self.switch.command(*words)))
        return next(int(item["counter"]["packets"]) for item in answer["nftables"] if "counter" in item)


class Capture:
    """A pcapng file that dumpcap writes on an interface: UDP packets of some ports.

    Args:
      lab: its lab.
      tx: where the marker of the end is sent from, to 10.77.0.2; it must pass the interface.
      side: where the interface is.
      interface: its name.
      ports: the UDP ports wanted.
    """

    def __init__(self, lab: Lab, tx: Namespace, side: Namespace, interface: str, *ports: int) -> None:
        self.tx = tx
        self.path = lab.folder / f"{interface}-{ports[0]}.pcapng"
        wanted = " or ".join(f"udp port {port}" for port in (*ports, MARKER_PORT))
        words = ["dumpcap", "-q", "-n", "-i", interface, "-f", wanted, "-w", str(self.path)]
        self.program = lab.start(side, *words)
        wait_for("capture", lambda: "File: " in self.program.said())

    def end(self) -> Path:
        """Send the marker and wait until it is in the file, as all before it then is; return the file, whole."""
        code = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
        code += f"s.sendto({MARKER!r}, ('10.77.0.2', {MARKER_PORT}))"
        run(*self.tx.command(sys.executable, "-S", "-c", code))
        wait_for("marker in the capture", lambda: MARKER in self.path.read_bytes())
        self.program.interrupt()
        self.program.wait()
        return self.path


def two_hosts(lab: Lab, n_cables: int = 1) -> tuple[Namespace, Namespace]:
    """Return two namespaces joined by cables, the first tx0 10.77.0.1 to rx0 10.77.0.2 (see `netns.cable`)."""
    tx, rx = lab.namespace(), lab.namespace()
    for number in range(n_cables):
        cable(tx, rx, number)
    return tx, rx
