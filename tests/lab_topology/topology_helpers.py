"""A lab of two hosts, and `harness lab` as a program of its own, its journals in a directory of the test."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TWO_HOSTS = """
name = "two"
[[host]]
name = "tx"
kind = "lab"
[[host]]
name = "rx"
kind = "lab"
settings = { "net.ipv4.conf.all.rp_filter" = "1" }
routes = ["192.0.2.0/24 via 10.77.0.1"]
[[switch]]
name = "sw"
query_interval = "2s"
[[link]]
ends = ["tx:eth0", "sw"]
addresses = ["10.77.0.1/24", "fd77::1/64"]
[[link]]
ends = ["rx:eth0", "sw"]
addresses = ["10.77.0.2/24", "fd77::2/64"]
mtu = 1400
[[stream]]
group = "239.77.1.1:5000"
host = "tx"
interface = "eth0"
duration = "1s"
[[receiver]]
groups = ["239.77.1.1:5000"]
host = "rx"
interface = "eth0"
"""

LIMIT_S = 30
"""No command takes longer."""


def two_hosts_file(folder: Path, text: str = TWO_HOSTS) -> str:
    (folder / "two.toml").write_text(text)
    return str(folder / "two.toml")


def run_of(folder: Path, text: str = TWO_HOSTS) -> list[str]:
    """Return the words after `harness lab` that run a scenario into the folder."""
    return ["run", two_hosts_file(folder, text), "--output", str(folder / "run"), "--no-report"]


def lab_command(
    folder: Path, *words: str, prefix: Sequence[str] = (), environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start `harness lab`; the labs' journals go into the folder."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "harness", "lab", *words],
        env={**os.environ, "XDG_STATE_HOME": str(folder), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def standing_lab(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Yield `harness lab up`, which has told that its lab stands."""
    with lab_command(folder, "up", two_hosts_file(folder)) as program:
        assert program.stdout is not None
        try:
            assert "ip netns exec" in program.stdout.readline()
            yield program
        finally:
            program.terminate()
