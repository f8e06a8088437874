"""Agents of every kind for tests: real ones, ones that misbehave, and an sshd of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which

import psutil
from netns import Namespace, require, require_lab, run

from harness import __version__
from harness.hosts import Host, LocalHost, SshHost

PATIENCE_S = 20.0
SSHD = "/usr/sbin/sshd"
PORT = 2222


def wait_for(what: str, is_there: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not is_there():
        assert time.monotonic() < deadline, f"no {what} within {patience_s:g} s"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def local(name: str = "here") -> LocalHost:
    return LocalHost(name, sys.executable, __version__)


class ScriptHost(Host):
    """A host whose agent is a Python script of the test."""

    kind = "script"

    def __init__(self, script: str) -> None:
        super().__init__("odd", sys.executable, __version__)
        self.script = script

    @property
    def where(self) -> str:
        return ""

    def command(self) -> list[str]:
        return [self.python, "-u", "-c", self.script]


class InsideSshHost(SshHost):
    """An ssh client that runs in a namespace of the test."""

    inside: Namespace

    def command(self) -> list[str]:
        return self.inside.command(*super().command())


class Sshd:
    """An sshd in a namespace, with configuration, host key and client key of its own."""

    def __init__(self, folder: Path, side: Namespace, address: str, state: Path) -> None:
        self.folder, self.side, self.address = folder, side, address
        folder.mkdir()
        for name in ("host", "client", "stranger"):
            self.key(name)
        authorized = folder / "authorized"
        authorized.write_bytes((folder / "client.pub").read_bytes())
        kind, key, *_ = (folder / "host.pub").read_text().split()
        self.known = folder / "known"
        self.known.write_text(f"[{address}]:{PORT} {kind} {key}\n")
        self.config = folder / "config"
        self.config.write_text(
            f"Port {PORT}\nListenAddress {address}\nHostKey {folder / 'host'}\nPidFile none\n"
            f"AuthorizedKeysFile {authorized}\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
            f"KbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nSetEnv XDG_STATE_HOME={state}\n"
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def key(self, name: str) -> None:
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / name))

    def start(self) -> None:
        """Start it and wait until it listens."""
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # where it drops its privileges; a boot script makes it
        with (self.folder / "log").open("ab") as log:
            words = self.side.command(SSHD, "-D", "-e", "-f", str(self.config))
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        listening = self.side.command("ss", "-Hltn", f"sport = :{PORT}")
        wait_for("sshd", lambda: bool(run(*listening).strip()))

    def stop(self) -> None:
        """End it and its sessions, all by their ids; the agents in them lose their stdin and nothing more."""
        assert self.process is not None
        sessions = [child for child in psutil.Process(self.process.pid).children(recursive=True) if _is_sshd(child)]
        self.process.kill()
        self.process.wait(PATIENCE_S)
        for session in sessions:
            if session.is_running():
                session.kill()

    def toml(self, name: str, **more: str) -> str:
        """Return a host of a scenario that is reached through it, as --host takes it."""
        keys = {
            "kind": "ssh",
            "address": self.address,
            "identity": str(self.folder / "client"),
            "known_hosts": str(self.known),
            "python": sys.executable,
            **more,
        }
        text = ", ".join(f'{key} = "{value}"' for key, value in keys.items())
        return f"{name} = {{ {text}, port = {PORT} }}"

    def host(self, inside: Namespace, *, key: str = "client", known: Path | None = None) -> InsideSshHost:
        made = InsideSshHost(
            "far",
            sys.executable,
            __version__,
            self.address,
            port=PORT,
            identity=str(self.folder / key),
            known_hosts=str(known or self.known),
        )
        made.inside = inside
        return made


def _is_sshd(process: psutil.Process) -> bool:
    try:
        return "sshd" in str(process.name())
    except psutil.NoSuchProcess:
        return False


@contextmanager
def sshd(folder: Path, side: Namespace, address: str = "127.0.0.1") -> Iterator[Sshd]:
    """Yield an sshd that listens in a namespace; it and its sessions are gone afterwards."""
    require_lab()
    require("" if os.path.exists(SSHD) and which("ssh") else "sshd (Debian: openssh-server)")
    made = Sshd(folder / "sshd", side, address, folder / "state")
    try:
        yield made
    finally:
        made.stop()
