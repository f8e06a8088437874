"""`harness run` over several hosts of every kind: what is sent, lost, late and missing is counted and told right."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from host_helpers import PATIENCE_S, Sshd, is_alive, sshd, wait_for
from netns import Namespace, run

from harness.analysis import analyze_recording
from harness.errors import HostError
from harness.model import Event, Summary
from harness.model.scenario_text import parse_scenario
from harness.run import perform_over_hosts
from harness.store import RunReader, open_run

GROUP = "239.255.78.3:5078"
TWO_HOSTS = """
name = "two"
linger = "100ms"
[[host]]
name = "tx"
[[host]]
name = "rx"
[[stream]]
host = "tx"
group = "239.255.78.3:5078"
interface = "TX"
rate = "500pps"
[[receiver]]
host = "rx"
groups = ["239.255.78.3:5078"]
interface = "RX"
"""


def two_hosts(tx: str = "lo", rx: str = "lo", **stream: str | int) -> str:
    more = "".join(f"{key} = {json.dumps(value)}\n" for key, value in stream.items())
    return (
        TWO_HOSTS.replace('"TX"', f'"{tx}"').replace('"RX"', f'"{rx}"').replace("[[receiver]]", f"{more}[[receiver]]")
    )


class Controller:
    """`harness run` as a process, perhaps in a namespace; its recording is complete when the manifest has its end."""

    def __init__(self, folder: Path, name: str, text: str, *hosts: str, side: Namespace | None = None) -> None:
        self.run, self.log, scenario = folder / name, folder / f"{name}.log", folder / f"{name}.toml"
        scenario.write_text(text)
        words = [sys.executable, "-m", "harness", "run", str(scenario), "--json", "--output", str(self.run)]
        words += [word for host in hosts for word in ("--host", host)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                side.command(*words) if side else words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=os.environ | {"XDG_STATE_HOME": str(folder / "state")},
            )

    def manifest(self) -> dict[str, object]:
        path = self.run / "manifest.json"
        return dict(json.loads(path.read_bytes())) if path.is_file() else {}

    def events(self) -> list[Event]:
        return open_run(self.run).events if self.manifest() else []

    def wait_event(self, kind: str) -> None:
        self.wait(kind, lambda: any(event.kind == kind for event in self.events()))

    def wait(self, what: str, is_there: Callable[[], bool]) -> None:
        def is_so() -> bool:
            assert is_there() or self.process.poll() is None, f"ended early: {self.log.read_text()}"
            return is_there()

        wait_for(what, is_so)

    def agents(self) -> list[int]:
        """Return the ids of the agents that it started here, in the order of their hosts."""
        children = psutil.Process(self.process.pid).children()
        return [child.pid for child in sorted(children, key=lambda child: child.pid) if child.cmdline()[-1] == "agent"]

    def recorded(self) -> tuple[RunReader, Summary]:
        """Wait for the recording; the figures that it draws after that are held elsewhere."""
        self.wait("end", lambda: self.manifest().get("end") is not None)
        self.close()
        assert "Traceback" not in self.log.read_text()
        return open_run(self.run), analyze_recording(self.run)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)


@contextmanager
def controlling(folder: Path, name: str, text: str, *hosts: str, side: Namespace | None = None) -> Iterator[Controller]:
    made = Controller(folder, name, text, *hosts, side=side)
    try:
        yield made
    finally:
        made.close()


def wait_packets(folder: Path) -> Path:
    """Wait until rx has packets on its disk, and return the directory of its part."""
    spool = folder / "state" / "multicast-harness" / "agent"
    wait_for("packets", lambda: any(path.stat().st_size > 3200 for path in spool.glob("*-rx/recording/packets.bin")))
    return next(spool.glob("*-rx"))


@pytest.fixture
def sshd_at_rx(tmp_path: Path, veth_pair: tuple[Namespace, Namespace]) -> Iterator[Sshd]:
    """An sshd at the far end of the cable."""
    with sshd(tmp_path, veth_pair[1], "10.77.0.2") as made:
        yield made


def in_namespace(name: str, side: Namespace) -> str:
    return f'{name} = {{ kind = "namespace", namespace = "{side.name}" }}'


@pytest.mark.lab
def test_same_file_runs_over_every_kind_of_host(tmp_path: Path, namespace: Namespace) -> None:
    text = two_hosts(count=300)
    with sshd(tmp_path, namespace) as server:
        kinds = {
            "local": (),
            "namespace": (in_namespace("tx", namespace), in_namespace("rx", namespace)),
            "ssh": (server.toml("tx"), server.toml("rx")),
        }
        for kind, hosts in kinds.items():
            with controlling(tmp_path, kind, text, *hosts, side=namespace) as controller:
                reader, summary = controller.recorded()
            assert [host.kind for host in reader.manifest.hosts] == [kind, kind]
            assert reader.manifest.end is not None
            assert (reader.manifest.end.reason, reader.manifest.end.error) == ("complete", None)
            assert reader.warnings == []
            (stream,) = summary.streams
            assert (stream.receiver, stream.expected, stream.received, stream.lost) == ("rx", 300, 300, 0)
            assert [(sender.sent, sender.scheduled) for sender in summary.senders] == [(300, 300)]
            assert stream.delay.minimum_ns is not None
            assert 0 <= stream.delay.minimum_ns < 100_000_000
            assert open_run(controller.run / "hosts" / "rx").is_complete
    assert list((tmp_path / "state").rglob("recording")) == []  # fetched, so none is left there


@pytest.mark.lab
def test_loss_between_two_namespaces_is_counted_as_the_kernel_did(
    tmp_path: Path, veth_pair: tuple[Namespace, Namespace]
) -> None:
    tx, rx = veth_pair
    rules = (
        "add table netdev t\nadd counter netdev t gone\n"
        "add chain netdev t in { type filter hook ingress device rx0 priority 0; }\n"
        # a datagram's data begins 64 bits into @th, and a probe's number 16 bytes into that
        "add rule netdev t in udp dport 5078 @th,192,64 100-149 counter name gone drop\n"
    )
    subprocess.run(rx.command("nft", "-f", "-"), input=rules, text=True, check=True, timeout=20)
    hosts = in_namespace("tx", tx), in_namespace("rx", rx)
    with controlling(tmp_path, "run", two_hosts("tx0", "rx0", count=300), *hosts) as controller:
        _, summary = controller.recorded()
    answer = json.loads(run(*rx.command("nft", "-j", "list", "counter", "netdev", "t", "gone")))
    assert [item["counter"]["packets"] for item in answer["nftables"] if "counter" in item] == [50]
    (stream,) = summary.streams
    assert stream.attribution is not None
    assert stream.attribution.network == 50
    assert stream.attribution.not_sent == 0  # the sender's log came along
    own = stream.attribution.own_buffer  # on a machine too busy to read its sockets
    assert (stream.expected, stream.received, stream.lost) == (300, 250 - own, 50 + own)
    assert (100, 149, "mid_run") in [(window.first_seq, window.last_seq, window.kind) for window in stream.windows]
    assert stream.source.startswith("10.77.0.1:")


@pytest.mark.lab
async def test_ssh_refuses_keys_that_it_does_not_know_and_says_what_adds_them(
    tmp_path: Path, namespace: Namespace
) -> None:
    with sshd(tmp_path, namespace) as server:
        unknown, changed = tmp_path / "unknown", tmp_path / "changed"
        unknown.touch()
        kind, key, *_ = (server.folder / "stranger.pub").read_text().split()
        changed.write_text(f"[127.0.0.1]:2222 {kind} {key}\n")
        for known, says in ((unknown, f"ssh-keyscan -p 2222 127.0.0.1 >> {unknown}"), (changed, "ssh-keygen -f")):
            async with server.host(namespace, known=known) as host:
                with pytest.raises(HostError) as raised:
                    await host.start()
            assert says in str(raised.value)
            assert "\n" not in str(raised.value)
        assert unknown.read_bytes() == b""
        async with server.host(namespace, key="stranger") as host:
            with pytest.raises(HostError, match=r"ssh to 127\.0\.0\.1 was refused .*ssh-copy-id -p 2222 127\.0\.0\.1"):
                await host.start()
        async with server.host(namespace) as host:
            host.python = "/nowhere/python"
            with pytest.raises(HostError, match=r"name the Python that has multicast-harness there"):
                await host.start()
            host.python = sys.executable
            await host.start()
            pid = int(host.hello["pid"])
            await host.kill()  # of the client here: the agent there finds the end of its stdin
        wait_for("end of the agent", lambda: not is_alive(pid))


@pytest.mark.lab
def test_recording_of_a_host_that_comes_back_is_fetched(
    tmp_path: Path, veth_pair: tuple[Namespace, Namespace], sshd_at_rx: Sshd
) -> None:
    tx, _ = veth_pair
    text = two_hosts("tx0", "rx0", duration="3s")
    with controlling(tmp_path, "run", text, sshd_at_rx.toml("rx"), side=tx) as controller:
        controller.wait_event("start")
        wait_packets(tmp_path)
        sshd_at_rx.stop()
        controller.wait_event("host_lost")
        sshd_at_rx.start()
        reader, summary = controller.recorded()
    tx_info, rx_info = reader.manifest.hosts
    assert (tx_info.lost, tx_info.missing, rx_info.missing) == (None, None, None)
    assert rx_info.lost is not None
    assert reader.manifest.end is not None
    assert "host rx was lost: " in str(reader.manifest.end.error)
    assert "its recording was fetched" in str(reader.manifest.end.error)
    assert any("host rx was lost" in note for note in summary.notes)
    (stream,) = summary.streams
    assert stream.receiver == "rx"
    assert 50 < (stream.received or 0) < 1500
    # its silence after it was lost is no loss in the network
    assert stream.lost is not None
    assert stream.lost <= 5
    assert [sender.sent for sender in summary.senders] == [1500]


@pytest.mark.lab
def test_host_that_does_not_come_back_is_missing_and_the_rest_is_kept(
    tmp_path: Path, veth_pair: tuple[Namespace, Namespace], sshd_at_rx: Sshd
) -> None:
    tx, _ = veth_pair
    text = two_hosts("tx0", "rx0", duration="800ms")
    with controlling(tmp_path, "run", text, sshd_at_rx.toml("rx", retry="300ms"), side=tx) as controller:
        controller.wait_event("start")
        sshd_at_rx.stop()
        try:
            assert controller.process.wait(PATIENCE_S) == 2
        finally:
            sshd_at_rx.start()
    said = controller.log.read_text()
    assert "Traceback" not in said
    assert "host rx was lost" in said
    reader = open_run(controller.run)
    assert "whole recording" in str(reader.manifest.hosts[1].missing)
    assert "Connection refused" in str(reader.manifest.hosts[1].missing)
    assert any("missing: its whole recording" in note for note in analyze_recording(controller.run).notes)
    assert [sender.sent for sender in analyze_recording(controller.run).senders] == [400]


def test_agent_killed_in_a_run_ends_its_part_alone(tmp_path: Path) -> None:
    with controlling(tmp_path, "run", two_hosts(duration="3s")) as controller:
        controller.wait_event("start")
        owner = json.loads((wait_packets(tmp_path) / "owner.json").read_bytes())
        os.kill(owner["pid"], signal.SIGKILL)
        reader, summary = controller.recorded()
    assert "was killed by signal 9" in str(reader.manifest.hosts[1].lost)
    assert [event.kind for event in reader.events].count("host_lost") == 1
    (stream,) = summary.streams
    assert stream.lost == 0
    assert [sender.sent for sender in summary.senders] == [1500]


def test_ctrl_c_ends_all_parts_and_keeps_the_data(tmp_path: Path) -> None:
    with controlling(tmp_path, "run", 'duration = "10min"\n' + two_hosts()) as controller:
        controller.wait_event("start")
        agents = controller.agents()
        assert len(agents) == 2
        wait_packets(tmp_path)
        controller.process.send_signal(signal.SIGINT)
        reader, summary = controller.recorded()
    assert reader.manifest.end is not None
    assert (reader.manifest.end.reason, reader.manifest.end.error) == ("interrupted", None)
    assert [stream.lost for stream in summary.streams] == [0]
    assert [is_alive(pid) for pid in agents] == [False, False]


SKEWED = """#!{python}
import sys, time
true = time.time_ns
time.time_ns = lambda: true() + 3_000_000_000
import harness.evidence
harness.evidence.boot_id = lambda: "another machine"
from harness.cli import main
sys.exit(main(sys.argv[3:]))
"""


def test_clock_of_a_host_is_measured_and_taken_out_of_its_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    skewed = tmp_path / "python"
    skewed.write_text(SKEWED.format(python=sys.executable))
    skewed.chmod(0o755)
    text = two_hosts(count=200).replace('name = "tx"', f'name = "tx"\npython = "{skewed}"')
    outcome = perform_over_hosts(parse_scenario(text, "t.toml"), output=tmp_path / "run", command=["harness"])
    assert outcome.error is None
    reader, summary = open_run(outcome.path), analyze_recording(outcome.path)
    tx, rx = reader.manifest.hosts
    assert tx.clock_offset_ns is not None
    assert tx.clock_error_bound_ns is not None
    assert abs(tx.clock_offset_ns - 3_000_000_000) <= tx.clock_error_bound_ns + 50_000
    assert (rx.clock_offset_ns, rx.clock_error_bound_ns) == (0, 0)
    (stream,) = summary.streams
    assert (stream.lost, stream.schedule.sent) == (0, 200)
    assert stream.delay.minimum_ns is not None
    assert abs(stream.delay.minimum_ns) <= tx.clock_error_bound_ns + 100_000_000
    started_ns = next(event.t_ns for event in reader.events if event.kind == "start")
    assert stream.schedule.first_due_ns is not None
    assert abs(stream.schedule.first_due_ns - started_ns) <= tx.clock_error_bound_ns + 50_000
    assert any("host tx: its clock differed by 3 s" in note for note in summary.notes)


def test_part_that_a_host_cannot_do_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    text = two_hosts(rx="nope0", count=10)
    with pytest.raises(HostError, match=r"host rx: .*nope0"):
        perform_over_hosts(parse_scenario(text, "t.toml"), output=tmp_path / "run", command=["harness"])
    assert not (tmp_path / "run").exists()
    assert list((tmp_path / "state").rglob("recording")) == []
