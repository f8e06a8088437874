"""Fixtures of several folders of tests: networks of our own, runs into a temporary directory, the watch over sockets.

It is the only conftest.py: mypy knows a module by its name alone where folders are no packages.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from netns import Namespace, cabled, namespaces

from harness.analysis import analyze_recording
from harness.model import Summary
from harness.model.scenario_text import parse_scenario
from harness.run import Outcome, perform

Performed = tuple[Outcome, Summary]


def open_sockets() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.startswith(("socket:", "anon_inode:[timerfd]")):
            found.add(f"{fd} {target}")
    return found


@pytest.fixture(autouse=True)
def no_socket_is_left_open() -> Iterator[None]:
    before = open_sockets()
    yield
    assert open_sockets() <= before


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace with nothing but a loopback, which carries IPv4 and IPv6 multicast."""
    with namespaces(1) as (made,):
        made.ip("-6", "route", "add", "local", "ff00::/8", "dev", "lo", "table", "local")
        yield made


@pytest.fixture
def veth_pair() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces joined by a cable: tx0 10.77.0.1 fd77::1 in the first, rx0 10.77.0.2 fd77::2 in the second."""
    with cabled() as sides:
        yield sides


@pytest.fixture
def perform_text(tmp_path: Path) -> Callable[[str], Performed]:
    """Run a scenario given as TOML into a directory of the test, and analyze it from disk."""

    def run(text: str) -> Performed:
        outcome = perform(parse_scenario(text, "test.toml"), output=tmp_path / "run", command=["harness", "run"])
        return outcome, analyze_recording(outcome.path)

    return run
