import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import trio
import wire_helpers as h
from netns import Namespace, require, require_lab

from harness.errors import HarnessError
from harness.lab.wire import End, Wire, WireError, WireSpec, measured_limit, read_truth

pytestmark = pytest.mark.lab

KINDS = ("tap", "packet")
TO = {4: (h.GROUP_V4, h.PORT), 6: (h.GROUP_V6, h.PORT)}
NAME = {4: f"{h.GROUP_V4}:{h.PORT}", 6: f"[{h.GROUP_V6}]:{h.PORT}"}

MIXED = """
seed = {seed}
log = "{log}"
[[fault]]
kind = "loss"
ratio = "3%"
[[fault]]
kind = "loss"
group = "239.255.201.7:5000"
from = "100ms"
until = "300ms"
gilbert = {{ p = "5%", r = "20%" }}
[[fault]]
kind = "loss"
seqs = [3, "500-519"]
[[fault]]
kind = "duplicate"
ratio = "2%"
[[fault]]
kind = "reorder"
ratio = "2%"
displacement = 4
timeout = "20ms"
[[fault]]
kind = "delay"
ratio = "5%"
delay = "3ms"
jitter = "4ms"
[[fault]]
kind = "corrupt"
ratio = "2%"
[[fault]]
kind = "dropout"
from = "600ms"
until = "680ms"
[[fault]]
kind = "power-save"
from = "700ms"
until = "850ms"
interval = "40ms"
"""


async def carry(kind: str, seed: int, folder: Path) -> None:
    """Send 1 kpps of each IP version for a second, and hold what arrived against the wire's truth."""
    log = "all" if seed % 2 else "touched"
    path = folder / f"{kind}{seed}.jsonl"
    payloads = [h.probe(seq) for seq in range(1_000)]
    with h.site(kind) as site:
        async with site.wire(MIXED.format(seed=seed, log=log), path) as wire:
            site.address()
            tx, rx = site.sender(), site.receiver()
            await wire.start(time.time_ns())
            async with trio.open_nursery() as nursery:
                for version in (4, 6):
                    nursery.start_soon(h.send_paced, tx[version], TO[version], payloads, 1_000)
            await wire.drain()
            arrived = {version: h.waiting(rx[version]) for version in (4, 6)}
            ledger = await wire.stop()
    assert ledger.is_balanced
    assert not ledger.forward.n_queue_drops + ledger.forward.n_over_rate + ledger.forward.n_held
    truth = read_truth(path)
    assert truth.ledger == ledger
    for version, got in arrived.items():
        of_it = [record for record in truth.records if record.to == NAME[version]]
        damaged = {record.seq: record.byte for record in of_it if record.did == "corrupted"}
        lost, copies = truth.seqs(to=NAME[version]), truth.copies(to=NAME[version])

        def left(seq: int, damaged: dict[int | None, int | None] = damaged) -> bytes:
            data, byte = bytearray(payloads[seq]), damaged.get(seq)
            if byte is not None:
                data[byte] ^= 0x55
            return bytes(data)

        assert lost
        assert copies
        assert damaged
        expected = Counter(left(seq) for seq in range(1_000) if seq not in lost)
        expected.update(left(seq) for seq in copies.elements())
        assert Counter(got) == expected, f"{kind}, seed {seed}, IPv{version}"
        if log == "all":  # then the order is known, too
            order = list[bytes]()
            for record in of_it:
                if record.seq is not None and record.did in ("sent", "duplicated"):
                    order += [left(record.seq)] * (record.copies or 1)
            assert got == order
            left_seqs = truth.seqs("sent", to=NAME[version])
            assert left_seqs != sorted(left_seqs)


@pytest.mark.parametrize("kind", KINDS)
async def test_truth_is_what_a_receiver_gets_in_twenty_seeds(kind: str, tmp_path: Path) -> None:
    at_once = trio.CapacityLimiter(10)

    async def one(seed: int) -> None:
        async with at_once:
            await carry(kind, seed, tmp_path)

    async with trio.open_nursery() as nursery:
        for seed in range(1, 21):
            nursery.start_soon(one, seed)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_flood_above_the_cap_is_accounted_for_in_full(kind: str, tmp_path: Path) -> None:
    n_sent = 30_000
    with h.site(kind) as site:
        async with site.wire('cap = "4kpps"', tmp_path / "truth") as wire:
            site.address()
            tx, rx = site.sender(), site.receiver()
            before = (await wire.count()).forward.n_in
            payloads = [h.probe(seq) for seq in range(2_000)]

            def flood() -> None:
                for number in range(n_sent):
                    tx[4].sendto(payloads[number % 2_000], TO[4])

            await trio.to_thread.run_sync(flood)
            ledger = await wire.stop()
            got = h.waiting(rx[4])
    forward = ledger.forward
    assert before < 20  # joins and the like
    strays = forward.n_in + forward.n_queue_drops - n_sent
    assert 0 <= strays < 20
    assert forward.n_over_rate > 1_000
    assert forward.n_out - strays <= len(got) <= forward.n_out
    truth = read_truth(tmp_path / "truth")
    assert len(truth.seqs("over_rate")) == sum(r.did == "over_rate" and r.to == NAME[4] for r in truth.records)
    assert {record.did for record in truth.records} == {"over_rate"}
    assert sum(record.direction == "forward" for record in truth.records) == forward.n_over_rate
    n_gone_in_queue = n_sent - len(got) - len(truth.seqs("over_rate"))
    assert 0 <= forward.n_queue_drops - n_gone_in_queue <= strays
    assert ledger.is_balanced
    assert ledger.cap_pps == 4_000


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_lost_below_the_cap(kind: str, tmp_path: Path) -> None:
    payloads = [h.probe(seq, size=200) for seq in range(20_000)]
    with h.site(kind) as site:
        async with site.wire("", tmp_path / "truth") as wire:
            site.address()
            tx, rx = site.sender(), site.receiver()
            await h.send_paced(tx[4], TO[4], payloads, 20_000)
            ledger = await wire.stop()
            assert h.waiting(rx[4]) == payloads
    assert ledger.forward.n_lost == 0
    assert ledger.cap_pps == 40_000
    assert read_truth(tmp_path / "truth").records == []


def is_igmp(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\0" and frame[23] == 2


def is_mld(frame: bytes) -> bool:
    return frame[12:14] == b"\x86\xdd" and frame[20] == 0 and frame[54] == 58


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_not_udp_passes(kind: str, tmp_path: Path) -> None:
    """Unicast needs ARP and neighbour discovery; the joins are IGMP and MLD."""
    with h.site(kind) as site:
        spec = 'log = "all"\n[[fault]]\nkind = "dropout"\ngroup = "239.255.201.7"'
        async with site.wire(spec, tmp_path / "truth") as wire:
            site.address()
            await wire.start()
            with site.first.inside():
                tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
                tap.bind(("eth0", 3))
            site.keep(tap)
            tap.setblocking(False)
            tx, rx = site.sender(), site.receiver()
            for version, family, address in ((4, socket.AF_INET, "10.66.0.2"), (6, socket.AF_INET6, "fd66::2")):
                with site.second.inside():
                    unicast = socket.socket(family, socket.SOCK_DGRAM)
                    unicast.bind((address, 5001))
                site.keep(unicast).settimeout(10)
                tx[version].sendto(b"hello", (address, 5001))
                heard = await trio.to_thread.run_sync(unicast.recv, 100)
                assert heard == b"hello"
            tx[4].sendto(b"dropped", TO[4])
            frames = list[bytes]()
            with trio.fail_after(20):
                while not (any(map(is_igmp, frames)) and any(map(is_mld, frames))):
                    await trio.sleep(0.01)
                    frames += h.waiting(tap)
            ledger = await wire.stop()
            assert h.waiting(rx[4]) == []
    assert ledger.forward.n_dropped == {"1 dropout": 1}


async def test_power_save_releases_in_bursts_and_loses_nothing(tmp_path: Path) -> None:
    payloads = [h.probe(seq) for seq in range(1_000)]
    with h.site("tap") as site:
        async with site.wire('[[fault]]\nkind = "power-save"\ndirection = "forward"', tmp_path / "truth") as wire:
            site.address()
            tx, rx = site.sender(), site.receiver()
            rx[4].setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
            start = await wire.start()
            await h.send_paced(tx[4], TO[4], payloads, 1_000)
            await wire.drain()
            stamps = []
            for seq in range(1_000):
                data, control, _, _ = rx[4].recvmsg(200, 100)
                assert data == payloads[seq]
                seconds, ns = struct.unpack("@qq", control[0][2])
                stamps.append(seconds * 10**9 + ns - start.realtime_ns)
    ticks = {stamp // 307_000_000 for stamp in stamps}
    assert ticks <= {1, 2, 3, 4}
    assert len(ticks) >= 3
    late_ns = sorted(stamp % 307_000_000 for stamp in stamps)
    assert late_ns[len(late_ns) // 2] < 20_000_000


async def test_corruption_whose_checksum_is_kept_dies_in_the_receiving_kernel(tmp_path: Path) -> None:
    spec = '[[fault]]\nkind = "corrupt"\nnths = ["3-5"]\nchecksum = "keep"\ngroup = "239.255.201.7"'
    with h.site("packet") as site:
        async with site.wire(spec, tmp_path / "truth") as wire:
            await wire.start()
            tx, rx = site.sender(), site.receiver()
            await h.send_paced(tx[4], TO[4], [h.probe(seq) for seq in range(10)], 1_000)
            ledger = await wire.stop()
            got = [payload[23] for payload in h.waiting(rx[4])]
    assert got == [0, 1, 5, 6, 7, 8, 9]
    assert ledger.forward.n_corrupted == 3
    assert ledger.forward.n_completed >= 10  # veth leaves checksums to a card that is none


async def test_the_timeline_begins_when_told_on_either_clock(tmp_path: Path) -> None:
    spec = '[[fault]]\nkind = "dropout"\nfrom = "50ms"\nuntil = "100ms"\ngroup = "239.255.201.7"'
    payloads = [h.probe(seq) for seq in range(400)]
    with h.site("tap") as site:
        async with site.wire(spec, tmp_path / "truth") as wire:
            site.address()
            tx, rx = site.sender(), site.receiver()
            at_ns = time.time_ns() + 100_000_000
            by_realtime = await wire.start(at_ns)
            by_monotonic = await wire.start(at_monotonic_ns=by_realtime.monotonic_ns)
            await h.send_paced(tx[4], TO[4], payloads, 1_000)
            await wire.stop()
            n_got = len(h.waiting(rx[4]))
    assert by_realtime.realtime_ns == at_ns
    assert abs(by_monotonic.realtime_ns - at_ns) < 5_000_000
    truth = read_truth(tmp_path / "truth")
    assert truth.starts == [by_realtime, by_monotonic]
    dropped = [record for record in truth.records if record.did == "dropped"]
    assert len(dropped) == 400 - n_got > 0
    for record in dropped:
        assert 50_000_000 <= record.monotonic_ns - by_monotonic.monotonic_ns < 100_000_000
        assert abs(record.realtime_ns - record.monotonic_ns - at_ns + by_realtime.monotonic_ns) < 5_000_000


SCRIPT = """
import sys, trio
from pathlib import Path
from harness.lab.wire import End, Limit, Wire, WireSpec

async def main():
    ends = [End(name, "eth0") for name in sys.argv[1:3]]
    limit = Limit(kind="tap", pps=1e5, size=242, n_frames=1)
    async with Wire(WireSpec(), ends, Path(sys.argv[3]), limit=limit) as wire:
        print(wire.pid, flush=True)
        await trio.sleep(60)

trio.run(main)
"""


def has_tap(host: Namespace) -> bool:
    return any(link["ifname"] == "eth0" for link in json.loads(host.ip("-j", "link")))


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for yet does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def until(is_there: bool, host: Namespace) -> None:
    deadline = time.monotonic() + 20
    while has_tap(host) is not is_there:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_tap_is_left_when_the_controller_ends(how: signal.Signals, tmp_path: Path) -> None:
    with h.site("tap") as site:
        names = [site.first.name, site.second.name, str(tmp_path / "truth")]
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *names],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        with process:
            try:
                assert process.stdout is not None
                pid = int(process.stdout.readline())
                assert has_tap(site.first)
                assert has_tap(site.second)
                os.killpg(process.pid, how)  # as Ctrl-C does: all of the terminal's processes
                process.wait(20)
            finally:
                process.kill()
        until(False, site.first)
        until(False, site.second)
    deadline = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert read_truth(tmp_path / "truth").ledger is not None  # it ended in order either way


async def test_a_wire_that_is_killed_is_an_error_and_leaves_a_truth_without_ledger(tmp_path: Path) -> None:
    async def lose(site: h.Site) -> None:
        async with site.wire("", tmp_path / "truth") as wire:
            assert wire.pid is not None
            os.kill(wire.pid, signal.SIGKILL)
            await wire.stop()

    with h.site("tap") as site:
        with pytest.raises(WireError, match=r"^wire: its process ended early: exit code -9$"):
            await lose(site)
        assert not has_tap(site.first)
    assert read_truth(tmp_path / "truth").ledger is None


async def test_a_wire_that_somebody_else_ends_is_an_error_with_a_whole_ledger(tmp_path: Path) -> None:
    with h.site("tap") as site:
        wire = site.wire("", tmp_path / "truth")

        async def lose() -> None:
            async with wire:
                assert wire.pid is not None
                os.kill(wire.pid, signal.SIGTERM)
                await wire.count()

        with pytest.raises(WireError, match=r"^wire: something else than its controller has ended it$"):
            await lose()
    assert wire.ledger is not None
    assert read_truth(tmp_path / "truth").ledger == wire.ledger


async def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next(tmp_path: Path) -> None:
    with h.site("tap") as site:
        async with site.wire("", tmp_path / "truth") as wire:
            for _ in range(20):
                with trio.move_on_after(0.0005):
                    await wire.count()
            assert (await wire.start(10**18)).realtime_ns == 10**18


async def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    async def refusal(*ends: End, truth: Path = tmp_path / "truth", spec: WireSpec | None = None) -> str:
        with pytest.raises(HarnessError) as caught:
            async with Wire(spec or WireSpec(), ends, truth, limit=h.LIMIT):
                pass
        text = str(caught.value)
        assert "\n" not in text
        return text

    with h.site("tap") as site:
        first, second = site.ends
        assert "no network namespace 'nowhere'" in await refusal(End("nowhere", "eth0"), second)
        assert "an interface of this name is there already" in await refusal(End(first.namespace, "lo"), second)
        assert "no interface with this name; see: ip link" in await refusal(
            first, End(second.namespace, "none", "packet")
        )
        assert "1 to 15 bytes" in await refusal(End(first.namespace, "a" * 16), second)
        assert "two ends, not 1" in await refusal(first)
        assert "80% of the 100 kpps" in await refusal(first, second, spec=WireSpec(cap="90kpps"))
        (tmp_path / "taken").touch()
        assert "name a file that is not there yet" in await refusal(first, second, truth=tmp_path / "taken")
        assert not has_tap(site.first)


async def test_the_limit_is_measured_once_and_the_default_cap_lies_below_it(tmp_path: Path) -> None:
    with h.site("tap") as site:
        async with site.wire("", tmp_path / "truth", limit=None) as wire:
            assert wire.limit is await measured_limit("tap")
            assert wire.limit is not None
            assert wire.limit.pps > 1_000
            assert wire.cap_pps <= wire.limit.pps / 2
            assert "measured on this machine" in wire.statement
    truth = read_truth(tmp_path / "truth")
    assert truth.header.limit_pps == wire.limit.pps
    assert wire.ledger is not None
    assert wire.ledger.limit_pps == wire.limit.pps


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_is_measured_by_a_command(kind: str) -> None:
    require_lab()
    command = [sys.executable, "-m", "harness.lab.wire", "--measure", "--kind", kind]
    done = subprocess.run([*command, "--json"], capture_output=True, check=True, timeout=60)
    limit = json.loads(done.stdout)
    assert limit["kind"] == kind
    assert limit["size"] == 242
    assert 24_000 <= limit["n_frames"] < 24_050  # the hosts say a word of their own
    refused = subprocess.run([*command, "--size", "9000"], capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1


def test_a_wire_needs_no_more_than_a_user_namespace() -> None:
    require_lab()
    inside = ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-m", "harness.lab.wire", "--measure"]
    done = subprocess.run(inside, capture_output=True, text=True, timeout=60, check=False)
    if "unshare" in done.stderr:
        require(f"user namespaces ({done.stderr.strip()})")
    assert done.returncode == 0, done.stderr
    assert "measured on this machine (tap, frames of 242 bytes)" in done.stdout


async def test_frames_that_the_kernel_refuses_are_counted_and_logged(tmp_path: Path) -> None:
    payloads = [h.probe(seq) for seq in range(20)]
    with h.site("tap") as site:
        async with site.wire("", tmp_path / "truth") as wire:
            site.address()
            tx = site.sender()
            site.second.ip("link", "set", "eth0", "down")
            await h.send_paced(tx[4], TO[4], payloads, 1_000)
            ledger = await wire.stop()
    assert ledger.is_balanced
    truth = read_truth(tmp_path / "truth")
    assert truth.seqs("refused") == list(range(20))
    assert {record.errno for record in truth.records} == {errno.EIO}
