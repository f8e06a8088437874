"""How runs end: by themselves, by time, by Ctrl-C, by kill -9, by a full disk; what was recorded is always there."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.analysis import analyze_recording
from harness.model import PACKET_DTYPE
from harness.store import open_run

PATIENCE_S = 60.0
"""How long a program may take for what it does in one second on a machine that has nothing else to do."""


class Programs:
    """The programs of one test, with its directory as theirs; none of them outlives it."""

    def __init__(self, cwd: Path) -> None:
        self.cwd, self._started = cwd, list[subprocess.Popen[str]]()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments],
            cwd=self.cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def receive(self, group: str, *more: str) -> subprocess.Popen[str]:
        return self.start("receive", group, "--interface", "127.0.0.1", "--output", "rx", "--buffer", "4MB", *more)

    def end(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate(timeout=PATIENCE_S)


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    found = Programs(tmp_path)
    try:
        yield found
    finally:
        found.end()


def wait_for(path: Path, *, n_bytes: int = 1) -> None:
    """Wait until a file has so many bytes."""
    deadline = time.monotonic() + PATIENCE_S
    while not (path.exists() and path.stat().st_size >= n_bytes):
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)


SEND = ("--interface", "127.0.0.1", "--rate", "500pps", "--duration", "60s")  # ends by itself if a test does not end it


def bytes_of(n_packets: int) -> int:
    return n_packets * PACKET_DTYPE.itemsize


@pytest.fixture
def endless_sender(programs: Programs) -> str:
    """Send to a group of its own until the test is over."""
    group = f"239.255.80.{os.getpid() % 200 + 1}:5082"
    programs.start("send", group, *SEND, "--no-report", "--output", "tx")
    return group


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_ends_cleanly_and_keeps_everything(
    number: signal.Signals, endless_sender: str, programs: Programs, tmp_path: Path
) -> None:
    process = programs.receive(endless_sender, "--json")
    wait_for(tmp_path / "rx" / "packets.bin", n_bytes=bytes_of(301))
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    reader = open_run(tmp_path / "rx")
    assert reader.is_complete
    assert reader.manifest.end is not None
    assert reader.manifest.end.reason == "interrupted"
    (stream,) = json.loads(out)["streams"]
    assert stream["received"] == reader.n_packets > 300
    assert (tmp_path / "rx" / "report.html").exists()


def test_kill_keeps_what_was_committed_and_says_so(endless_sender: str, programs: Programs, tmp_path: Path) -> None:
    process = programs.receive(endless_sender, "--no-report")
    wait_for(tmp_path / "rx" / "packets.bin", n_bytes=bytes_of(400))
    size = (tmp_path / "rx" / "packets.crc").stat().st_size
    wait_for(tmp_path / "rx" / "packets.crc", n_bytes=size + 1)  # so what stood before is committed
    process.kill()
    process.communicate(timeout=PATIENCE_S)
    summary = analyze_recording(tmp_path / "rx")
    (stream,) = summary.streams
    assert stream.received >= 400
    assert any("killed or is still going on" in note for note in summary.notes)
    assert stream.windows == [] or {window.kind for window in stream.windows} <= {"late_start"}


def test_sender_that_is_killed_leaves_a_stop_and_no_excuse(programs: Programs, tmp_path: Path) -> None:
    group = f"239.255.81.{os.getpid() % 200 + 1}:5082"
    receiver = programs.receive(group, "--no-report")
    sender = programs.start("send", group, *SEND, "--no-report", "--output", "tx")
    wait_for(tmp_path / "rx" / "packets.bin", n_bytes=bytes_of(100))
    sender.kill()
    sender.communicate(timeout=PATIENCE_S)
    time.sleep(1.0)  # of silence
    receiver.send_signal(signal.SIGINT)
    _, err = receiver.communicate(timeout=PATIENCE_S)
    assert receiver.returncode == 0, err
    (stream,) = analyze_recording(tmp_path / "rx").streams
    assert stream.received >= 100
    assert stream.windows[-1].kind == "stopped_or_ended"


def test_full_disk_ends_the_run_with_one_line_and_all_that_fitted(endless_sender: str, tmp_path: Path) -> None:
    limit = 40_000  # bytes a file: about 1250 packets

    def with_a_small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "receive", endless_sender, "--interface", "127.0.0.1", "--output", "rx"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=with_a_small_disk,
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in err
    assert "rx" in err.strip().splitlines()[-1]
    reader = open_run(tmp_path / "rx")
    assert 500 < reader.n_packets <= limit / 32
    assert reader.manifest.end is not None
    assert reader.manifest.end.reason == "error"
    assert "packets were recorded and are readable" in str(reader.manifest.end.error)


def test_timeout_without_a_packet_fails_and_says_so(programs: Programs) -> None:
    process = programs.receive("239.255.82.1:5083", "--timeout", "300ms", "--no-report")
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "nothing was received within the timeout" in err


def test_hostile_datagrams_are_rejected_and_change_nothing_else(programs: Programs, tmp_path: Path) -> None:
    group, port = f"239.255.83.{os.getpid() % 200 + 1}", 5084
    stop, n_sent = threading.Event(), [0]

    def flood() -> None:
        random = np.random.default_rng(1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            payloads = [
                b"",
                random.bytes(64),
                random.bytes(1400),
                random.bytes(65_507),
                b"MCpr",
                b"MCpr\x01\x40" + bytes(20),
                b"MCpr\x09\x40" + random.bytes(58),
                b"MCpr\x01\x08" + random.bytes(58),
                b"MCpr\x01\x40" + random.bytes(58),
            ]
            next_s = time.monotonic()
            while not stop.is_set():
                for _ in range(10):
                    sock.sendto(payloads[n_sent[0] % len(payloads)], (group, port))
                    n_sent[0] += 1
                next_s += 0.001
                time.sleep(max(0.0, next_s - time.monotonic()))

    flooder = threading.Thread(target=flood)
    flooder.start()
    try:
        receiver = programs.receive(f"{group}:{port}", "--buffer", "32MB", "--no-report", "--json")
        wait_for(tmp_path / "rx" / "events.jsonl")  # it has joined
        programs.start("send", f"{group}:{port}", *SEND, "--count", "800", "--no-report", "--output", "tx")
        # the flood goes on, so the damaged headers of unknown flows keep coming; the stream's own end ends the run
        out, err = receiver.communicate(timeout=PATIENCE_S)
    finally:
        stop.set()
        flooder.join()
    assert receiver.returncode == 0, err
    summary = json.loads(out)
    (stream,) = summary["streams"]
    assert (stream["expected"], stream["received"], stream["lost"]) == (800, 800, 0), (stream, summary["socket_drops"])
    assert (stream["duplicates"], stream["corrupt"], stream["reordered"]) == (0, 0, 0)
    assert sum(summary["rejected"].values()) > 2_000
    assert {"empty", "too short", "wrong magic", "unknown version", "wrong length"} <= set(summary["rejected"])
