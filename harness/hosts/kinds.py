"""Three ways to an agent: a child process, a child in a network namespace, and the system's OpenSSH client."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

from harness.errors import UsageError
from harness.hosts.host import Host
from harness.model import scenario

CONNECT_S, ALIVE_S, N_ALIVE = 10, 5, 3
"""A connection that is not made within the first is given up; one without a sign of life for 15 s is over."""

AGENT = ("-m", "harness", "agent")


class LocalHost(Host):
    """A child process of this one."""

    kind = "local"

    @property
    def where(self) -> str:
        """Here."""
        return ""

    def command(self) -> list[str]:
        """Return this Python's agent."""
        return [self.python, *AGENT]


class NamespaceHost(Host):
    """A child process in a network namespace of this machine, which `ip netns add` has made.

    Attributes:
      cgroup: the cgroup v2 directory that it is started in; None for this program's own.
    """

    kind = "namespace"

    def __init__(self, name: str, python: str, program: str, namespace: str) -> None:
        super().__init__(name, python, program)
        self.namespace = namespace
        self.cgroup: Path | None = None

    @property
    def where(self) -> str:
        """The namespace."""
        return self.namespace

    def command(self) -> list[str]:
        """Return the agent inside the namespace; `ip` becomes it, so there is no process in between."""
        command = ["ip", "netns", "exec", self.namespace, self.python, *AGENT]
        if self.cgroup is None:
            return command
        enter = 'echo $$ > "$0"/cgroup.procs && exec "$@"'
        return ["sh", "-c", enter, str(self.cgroup), *command]

    def explain(self, errors: list[str]) -> str:
        """Return why it did not start."""
        text = super().explain(errors)
        if "Cannot open network namespace" in text:
            return f"{text}; see: ip netns list"
        return f"{text}; entering a namespace takes root" if "Operation not permitted" in text else text


class SshHost(Host):
    """Another machine, by the system's OpenSSH client with the user's own configuration, keys and agent.

    It never asks for anything: a host key that is not known, or another one than known, is refused.
    """

    kind = "ssh"

    def __init__(
        self,
        name: str,
        python: str,
        program: str,
        address: str,
        *,
        user: str | None = None,
        port: int | None = None,
        identity: str | None = None,
        known_hosts: str | None = None,
    ) -> None:
        super().__init__(name, python, program)
        self.address, self.user, self.port = address, user, port
        self.identity, self.known_hosts = identity, known_hosts

    @property
    def where(self) -> str:
        """The address."""
        return self.address

    def command(self) -> list[str]:
        """Return the ssh command; the remote side is quoted for a POSIX shell."""
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": str(CONNECT_S),
            "ServerAliveInterval": str(ALIVE_S),
            "ServerAliveCountMax": str(N_ALIVE),
            "ControlPath": "none",  # a shared connection would outlive a kill of this one
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "LogLevel": "ERROR",
        }
        if self.identity is not None:
            options |= {"IdentityFile": _quoted(self.identity), "IdentitiesOnly": "yes"}
        if self.known_hosts is not None:
            options |= {"UserKnownHostsFile": _quoted(self.known_hosts), "GlobalKnownHostsFile": "none"}
        words = ["ssh", "-T", *(f"-o{key}={value}" for key, value in options.items())]
        if self.port is not None:
            words += ["-p", str(self.port)]
        if self.user is not None:
            words += ["-l", self.user]
        return [*words, "--", self.address, shlex.join([self.python, *AGENT])]

    def explain(self, errors: list[str]) -> str:
        """Return why ssh, or the Python there, did not start the agent, with the remedy."""
        text = "\n".join(errors)
        port = f"-p {self.port} " if self.port is not None else ""
        named = f"[{self.address}]:{self.port}" if self.port not in (None, 22) else self.address
        file = self.known_hosts or "~/.ssh/known_hosts"
        if "IDENTIFICATION HAS CHANGED" in text:
            return (
                f"its host key is not the one in {file}: another machine answers there, or it was installed anew; "
                f"if that is so: ssh-keygen -f {file} -R '{named}', and add the new key"
            )
        if "Host key verification failed" in text:
            return (
                f"its host key is not known; compare the fingerprint with the machine's own, then add it: "
                f"ssh-keyscan {port}{self.address} >> {file}"
            )
        if "Permission denied" in text:
            whom = f"{self.user}@{self.address}" if self.user else self.address
            return f"ssh to {whom} was refused ({super().explain(errors)}); add a key there: ssh-copy-id {port}{whom}"
        if "No module named" in text or "not found" in text or "No such file" in text:
            return f"{super().explain(errors)}; name the Python that has multicast-harness there: python = ..."
        return super().explain(errors)


def _quoted(path: str) -> str:
    """Return a path as ssh's configuration takes it, white space and all."""
    return f'"{path}"' if re.search(r"\s", path) else path


def make_host(noun: scenario.Host, program: str) -> Host:
    """Return the host that a scenario's entry describes; nothing is started.

    Raises:
      UsageError: an entry without what its kind needs.
    """
    if noun.kind == "local":
        return LocalHost(noun.name, noun.python or sys.executable, program)
    if noun.kind == "namespace":
        if noun.namespace is None:
            raise UsageError(f"host {noun.name}: kind namespace needs a namespace")
        return NamespaceHost(noun.name, noun.python or sys.executable, program, noun.namespace)
    if noun.address is None:
        raise UsageError(f"host {noun.name}: kind ssh needs an address")
    return SshHost(
        noun.name,
        noun.python or "python3",
        program,
        noun.address,
        user=noun.user,
        port=noun.port,
        identity=noun.identity,
        known_hosts=noun.known_hosts,
    )
