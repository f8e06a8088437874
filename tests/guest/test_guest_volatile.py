"""The disk of a guest: what was flushed survives a power cut, what was not survives by chance, sector by sector."""

import random
import struct
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.lab.guest.volatile import SECTOR, VolatileDisk

N_SECTORS = 16
CLIENT_FLAGS = 3
GO, INFO, ABORT, STRUCTURED = 7, 6, 2, 8
READ, WRITE, DISCONNECT, FLUSH, TRIM = 0, 1, 2, 3, 4


def image(path: Path) -> Path:
    disk = path / "disk.img"
    disk.write_bytes(bytes(N_SECTORS * SECTOR))
    return disk


WRITES = st.tuples(st.just("write"), st.integers(0, N_SECTORS - 1), st.integers(1, 4), st.integers(1, 255))
STEPS = st.lists(st.one_of(WRITES, st.just(("flush", 0, 0, 0))), max_size=30)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, seed=st.integers(0, 2**32))
def test_a_power_cut_keeps_what_was_flushed_and_the_rest_by_chance(
    tmp_path: Path, steps: list[tuple[str, int, int, int]], seed: int
) -> None:
    path = image(tmp_path)
    disk = VolatileDisk(path)
    safe, latest = [0] * N_SECTORS, [0] * N_SECTORS
    for kind, first, count, value in steps:
        if kind == "flush":
            disk.flush()
            safe = latest.copy()
        else:
            n_written = min(count, N_SECTORS - first)
            disk.write(first * SECTOR, bytes([value]) * (n_written * SECTOR))
            latest[first : first + n_written] = [value] * n_written
        assert disk.read(0, N_SECTORS * SECTOR) == b"".join(bytes([one]) * SECTOR for one in latest)
    disk.power_cut(random.Random(seed))
    disk.close()
    found = path.read_bytes()
    for sector in range(N_SECTORS):
        there = found[sector * SECTOR : (sector + 1) * SECTOR]
        assert there in (bytes([safe[sector]]) * SECTOR, bytes([latest[sector]]) * SECTOR)


@pytest.mark.parametrize(("survives", "expected"), [(0.0, 0), (1.0, 7)])
def test_the_chance_to_survive_is_each_sectors_own(tmp_path: Path, survives: float, expected: int) -> None:
    path = image(tmp_path)
    disk = VolatileDisk(path)
    disk.write(0, bytes([7]) * SECTOR * N_SECTORS)
    assert disk.n_unflushed == N_SECTORS
    n_lost = disk.power_cut(random.Random(1), survives)
    assert n_lost == (0 if survives else N_SECTORS)
    disk.close()
    assert set(path.read_bytes()) == {expected}


def test_a_torn_write_leaves_some_of_its_sectors(tmp_path: Path) -> None:
    path = image(tmp_path)
    disk = VolatileDisk(path)
    disk.write(0, bytes([7]) * SECTOR * N_SECTORS)
    assert 0 < disk.power_cut(random.Random(1)) < N_SECTORS
    disk.close()
    assert set(path.read_bytes()) == {0, 7}


def test_a_disk_that_keeps_its_power_empties_its_cache(tmp_path: Path) -> None:
    path = image(tmp_path)
    disk = VolatileDisk(path)
    disk.write(SECTOR, bytes([9]) * SECTOR)
    disk.close()
    assert path.read_bytes()[SECTOR : 2 * SECTOR] == bytes([9]) * SECTOR


class Client:
    """An NBD client, as the protocol's text has it."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream

    async def exactly(self, n_bytes: int) -> bytes:
        data = b""
        while len(data) < n_bytes:
            more = await self.stream.receive_some(n_bytes - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    async def greet(self) -> None:
        assert await self.exactly(18) == b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3)
        await self.stream.send_all(struct.pack(">I", CLIENT_FLAGS))

    async def option(self, number: int) -> list[tuple[int, bytes]]:
        data = struct.pack(">IH", 0, 0) if number in (GO, INFO) else b""
        await self.stream.send_all(b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data)
        replies = []
        while True:
            magic, echoed, kind, length = struct.unpack(">QIII", await self.exactly(20))
            assert (magic, echoed) == (0x3E889045565A9, number)
            replies.append((kind, await self.exactly(length)))
            if kind != 3:
                return replies

    async def request(self, kind: int, offset: int = 0, length: int = 0, data: bytes = b"", flags: int = 0) -> bytes:
        head = struct.pack(">IHHQQI", 0x25609513, flags, kind, 4711, offset, length)
        await self.stream.send_all(head + data)
        magic, error, handle = struct.unpack(">IIQ", await self.exactly(16))
        assert (magic, handle) == (0x67446698, 4711)
        if error:
            raise OSError(error, "refused")
        return await self.exactly(length) if kind == READ else b""


@pytest.fixture
def disk(tmp_path: Path) -> VolatileDisk:
    return VolatileDisk(image(tmp_path))


async def test_a_client_reads_what_it_wrote_before_anything_is_on_the_disk(disk: VolatileDisk) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.serve, theirs)
        client = Client(ours)
        await client.greet()
        assert await client.option(STRUCTURED) == [(0x80000001, b"")]
        (kind, export), acknowledged = await client.option(GO)
        assert (kind, acknowledged) == (3, (1, b""))
        assert struct.unpack(">HQH", export) == (0, N_SECTORS * SECTOR, 1 | 4 | 8)
        text = bytes(range(256)) * 4
        await client.request(WRITE, SECTOR, len(text), text)
        assert await client.request(READ, 0, 3 * SECTOR) == bytes(SECTOR) + text
        assert disk.path.read_bytes() == bytes(N_SECTORS * SECTOR)
        await client.request(FLUSH)
        assert disk.path.read_bytes()[SECTOR : 3 * SECTOR] == text
        await client.request(WRITE, 0, SECTOR, bytes([5]) * SECTOR, flags=1)  # FUA: on the medium before the answer
        assert disk.path.read_bytes()[:SECTOR] == bytes([5]) * SECTOR
        assert disk.n_flushes == 2
        await ours.send_all(struct.pack(">IHHQQI", 0x25609513, 0, DISCONNECT, 0, 0, 0))


@pytest.mark.parametrize(
    ("kind", "offset", "length"), [(READ, 1, SECTOR), (READ, 0, 17 * SECTOR), (TRIM, 0, SECTOR), (READ, 16 * SECTOR, 1)]
)
async def test_what_the_disk_cannot_do_is_refused_and_the_client_goes_on(
    disk: VolatileDisk, kind: int, offset: int, length: int
) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.serve, theirs)
        client = Client(ours)
        await client.greet()
        await client.option(GO)
        with pytest.raises(OSError, match="refused"):
            await client.request(kind, offset, length)
        assert await client.request(READ, 0, SECTOR) == bytes(SECTOR)
        await ours.aclose()


async def test_a_client_that_breaks_off_or_breaks_the_rules_is_left(disk: VolatileDisk) -> None:
    for garbage in (b"", b"\0\0\0\3garbage that is no option", struct.pack(">I", 3)):
        ours, theirs = trio.testing.memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(disk.serve, theirs)
            await ours.send_all(garbage or b"\0")
            await ours.aclose()
    ours, theirs = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.serve, theirs)
        client = Client(ours)
        await client.greet()
        assert (await client.option(INFO))[-1] == (1, b"")
        assert await client.option(ABORT) == [(1, b"")]


async def test_a_write_wakes_who_waits_for_one(tmp_path: Path) -> None:
    disk = VolatileDisk(image(tmp_path))
    disk.write(0, bytes(SECTOR))
    with trio.move_on_after(0.01) as before:
        await disk.written.wait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.written.wait)
        await trio.testing.wait_all_tasks_blocked()
        disk.write(SECTOR, bytes(SECTOR))
    assert before.cancelled_caught
    assert disk.n_unflushed == 2
    disk.close()
