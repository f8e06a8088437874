"""The bench's namespaces: made, usable, removed by name, also when something fails inside."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from netns import require_lab, run

from harness.bench import place as places
from harness.bench.place import LOOPBACK, place_for_bench
from harness.errors import HarnessError
from harness.net import udp_counters


def own_namespaces() -> list[str]:
    return [line for line in run("ip", "netns", "list").splitlines() if line.startswith(f"hb{os.getpid()}-")]


@pytest.mark.lab
@pytest.mark.parametrize("error", [None, KeyboardInterrupt, RuntimeError])
def test_namespaces_are_gone_afterwards(error: type[BaseException] | None) -> None:
    require_lab()
    anchors: list[Path] = []

    def use() -> None:
        with place_for_bench() as place:
            assert len(own_namespaces()) == 2
            anchors.extend([place.tx.proc_net, place.rx.proc_net])
            assert udp_counters(4, place.rx.proc_net) is not None
            assert "rx0" in run(*place.rx.command(["ip", "link", "show", "dev", "rx0"]))
            run(*place.tx.command(["ping", "-c", "1", "-W", "2", place.rx.address]) if _has("ping") else ["true"])
            if error is not None:
                raise error

    if error is None:
        use()
    else:
        with pytest.raises(error):
            use()
    assert own_namespaces() == []
    assert not any(path.exists() for path in anchors)


@pytest.mark.lab
def test_namespaces_that_cannot_be_finished_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    require_lab()
    real: Callable[..., str] = places._ip

    def refuse_routes(*arguments: str) -> str:
        if "route" in arguments:
            raise HarnessError("no routes today")
        return real(*arguments)

    monkeypatch.setattr(places, "_ip", refuse_routes)
    with pytest.raises(HarnessError, match="no routes"), place_for_bench():
        pass
    assert own_namespaces() == []


def test_loopback_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "can_make_namespaces", lambda: False)
    with place_for_bench() as place:
        assert place is LOOPBACK
    with place_for_bench(use_loopback=True) as place:
        assert (place.tx.command(["x"]), place.is_private) == (["x"], False)


def test_refused_command_is_one_line() -> None:
    if not _has("ip"):
        pytest.skip("needs the ip command (iproute2)")
    with pytest.raises(HarnessError) as caught:
        places._ip("netns", "no-such-verb")
    assert str(caught.value).startswith("cannot make the bench's namespaces: ip netns no-such-verb")


def _has(program: str) -> bool:
    return subprocess.run(["which", program], capture_output=True, check=False).returncode == 0
