"""The doctor with real sockets: on loopback, in a namespace with a switch that asks, without the right to a tap."""

import ipaddress
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest
from netns import Namespace

from harness.cli import main
from harness.cli.doctor import group_of
from harness.doctor import examine, patient_of
from harness.doctor.querier import general_query
from harness.errors import UsageError
from harness.model import Endpoint
from harness.net.tap import TapFrame
from protocols.igmp import build_igmp
from protocols.membership import Query

GROUP = Endpoint(
    ipaddress.ip_address((239 << 24) | (255 << 16) | (os.getpid() + 77) % 65_536), 21_000 + os.getpid() % 20_000
)


def frame(payload: bytes, *, source: str = "10.77.0.2", vlan: bool = False, outgoing: bool = False) -> TapFrame:
    header = struct.pack(
        ">BBHHHBBH4s4s", 0x46, 0xC0, 24 + len(payload), 0, 0, 1, 2, 0,
        socket.inet_aton(source), socket.inet_aton("224.0.0.1"),
    )  # fmt: skip
    link = bytes(12) + (b"\x81\x00\x00\x05" if vlan else b"") + b"\x08\x00"
    return TapFrame("tx0", outgoing, 0, 1, link + header + b"\x94\x04\x00\x00" + payload)


def query(version: int = 3, group: str | None = None) -> bytes:
    address = ipaddress.ip_address(group) if group else None
    more = {"is_router_suppressed": False, "robustness": 2, "interval_s": 125} if version == 3 else {}
    return build_igmp(Query(version=version, group=address, max_response_s=1.0, **more))  # type: ignore[arg-type] # values by version


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("vlan", [False, True])
def test_a_general_query_is_recognised(version: int, vlan: bool) -> None:
    found = general_query(frame(query(version), vlan=vlan))
    assert found is not None
    message, parsed = found
    assert (str(message.source), parsed.version) == ("10.77.0.2", version)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00" * 13, b"\x00" * 14, bytes(12) + b"\x08\x00\x45", bytes(12) + b"\x81\x00" * 30, query(3, "239.1.1.1")],
)
def test_other_frames_are_no_general_query(data: bytes) -> None:
    made = frame(data) if data == query(3, "239.1.1.1") else TapFrame("tx0", False, 0, 1, data)
    assert general_query(made) is None


def test_loopback_hears_itself() -> None:
    lines = {line.name: line for line in examine(patient_of(GROUP, "lo"), listen_ns=0)}
    for name in ("own multicast", "second socket", "unicast"):
        assert lines[name].status == "ok", lines[name]
    assert lines["querier"].text == "loopback has no querier"


def ask(namespace: Namespace, stop: threading.Event, version: int) -> None:
    """Send general queries from a namespace until told to stop."""
    with namespace.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, 2)
    with sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.77.0.2"))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x94\x04\x00\x00")
        while not stop.wait(0.1):
            sock.sendto(query(version), ("224.0.0.1", 0))


@pytest.mark.lab
@pytest.mark.parametrize(("version", "status"), [(3, "ok"), (2, "suspicious")])
def test_a_querier_is_heard_and_ends_the_waiting(
    veth_pair: tuple[Namespace, Namespace], version: int, status: str
) -> None:
    one, other = veth_pair
    stop = threading.Event()
    asking = threading.Thread(target=ask, args=(other, stop, version))
    asking.start()
    try:
        with one.inside():
            began = time.monotonic()
            lines = {line.name: line for line in examine(patient_of(GROUP, "tx0"), listen_ns=20_000_000_000)}
    finally:
        stop.set()
        asking.join()
    assert time.monotonic() - began < 15
    assert lines["querier"].status == status, lines["querier"]
    assert f"10.77.0.2 asks in IGMPv{version}" in lines["querier"].text
    assert lines["own multicast"].status == "ok"
    assert lines["route"].status == "suspicious"
    assert "no route" in lines["route"].text


@pytest.mark.lab
def test_a_firewall_that_eats_the_group_is_broken(veth_pair: tuple[Namespace, Namespace]) -> None:
    one, _ = veth_pair
    ruleset = (
        "table inet f {\n chain i {\n type filter hook input priority 0;\n udp dport 1024-65535 counter drop\n }\n}\n"
    )
    subprocess.run(one.command("nft", "-f", "-"), input=ruleset.encode(), check=True)
    done = run_doctor(one, "--interface", "tx0", "--listen", "100ms", "--json", str(GROUP))
    lines = {line["name"]: line for line in json.loads(done.stdout)["lines"]}
    assert lines["own multicast"]["status"] == "broken"
    assert lines["firewall"]["status"] == "suspicious"
    assert lines["querier"]["status"] == "unknown"
    assert done.returncode == 1


@pytest.mark.lab
def test_an_interface_that_is_down_is_broken(veth_pair: tuple[Namespace, Namespace]) -> None:
    one, _ = veth_pair
    one.ip("link", "set", "tx0", "down")
    done = run_doctor(one, "--interface", "tx0", "--listen", "100ms", str(GROUP))
    assert done.returncode == 1
    assert b"broken     interface" in done.stdout


@pytest.mark.lab
def test_without_privileges_it_says_what_it_cannot(veth_pair: tuple[Namespace, Namespace]) -> None:
    one, _ = veth_pair
    one.ip("route", "add", "default", "via", "10.77.0.2")
    command = one.command(
        "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"
    )
    done = run_doctor(one, "--listen", "100ms", "--json", str(GROUP), command=command)
    lines = {line["name"]: line for line in json.loads(done.stdout)["lines"]}
    assert lines["tap"]["status"] == "unknown"
    assert lines["querier"]["status"] == "unknown"
    assert "CAP_NET_RAW" in lines["querier"]["remedy"]
    assert lines["own multicast"]["status"] == "ok"
    assert done.returncode == 0


@pytest.mark.lab
def test_ctrl_c_prints_what_is_known(veth_pair: tuple[Namespace, Namespace]) -> None:
    one, _ = veth_pair
    command = [
        *one.command(
            sys.executable, "-m", "harness", "doctor", "--interface", "tx0", "--listen", "60s", "--json", str(GROUP)
        )
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        time.sleep(4.0)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    told = json.loads(out)
    assert told["is_complete"] is False
    assert "tap" in [line["name"] for line in told["lines"]]


def run_doctor(
    namespace: Namespace, *arguments: str, command: list[str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    program = [*(command or namespace.command()), sys.executable, "-m", "harness", "doctor", *arguments]
    return subprocess.run(program, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("text", ["10.0.0.1", "239.1.1.1:0", "nonsense", "[ff15::1]"])
def test_a_group_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        group_of(text)


def test_a_report_is_no_query() -> None:
    assert general_query(frame(b"\x16\x00" + bytes(6))) is None


def test_an_unknown_interface_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--interface", "nosuch0", "--listen", "0"]) == 2
    assert capsys.readouterr().err.startswith("harness: ")
