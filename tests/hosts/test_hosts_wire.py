"""Lines of a peer that may send anything, offsets of clocks, names of files, and what ssh is told and says."""

import os
import signal
import zlib
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import StorageError, UsageError
from harness.hosts import SshHost, offset_of
from harness.hosts.lifeline import until_orphaned
from harness.hosts.spool import Spool
from harness.hosts.stdio import streams
from harness.hosts.wire import LineReader, LongLine


async def lines_of(*pieces: bytes, max_bytes: int = 10) -> list[bytes | None]:
    send, receive = trio.testing.memory_stream_one_way_pair()
    reader, found = LineReader(receive, max_bytes), list[bytes | None]()
    async with trio.open_nursery() as nursery:

        async def feed() -> None:
            async with send:
                for piece in pieces:
                    await send.send_all(piece)
                    await trio.testing.wait_all_tasks_blocked()

        nursery.start_soon(feed)
        while (line := await reader.next()) is not None:
            found.append(None if isinstance(line, LongLine) else line)
    return found


async def test_lines_come_whole_however_they_were_cut() -> None:
    assert await lines_of(b"a\nb", b"c\n\nd", b"e\ntorn") == [b"a", b"bc", b"", b"de"]


async def test_line_that_is_too_long_is_skipped_and_the_next_one_read() -> None:
    assert await lines_of(b"0123456789\n", b"0123456789x\nok\n") == [b"0123456789", None, b"ok"]
    assert await lines_of(b"x" * 25, b"y" * 25, b"z\nok\n") == [None, b"ok"]


Way = st.integers(0, 10**9)


@settings(max_examples=200, deadline=None)
@given(st.integers(-(10**15), 10**15), st.lists(st.tuples(Way, Way, Way), min_size=1, max_size=8))
def test_true_offset_lies_within_the_bound_however_unequal_the_ways(
    true_ns: int, trips: list[tuple[int, int, int]]
) -> None:
    exchanges, now_ns = [], 0
    for there_ns, busy_ns, back_ns in trips:
        heard_ns = now_ns + there_ns + true_ns
        exchanges.append((now_ns, heard_ns, heard_ns + busy_ns, now_ns + there_ns + busy_ns + back_ns))
        now_ns += there_ns + busy_ns + back_ns
    found = offset_of(exchanges)
    assert abs(found.offset_ns - true_ns) <= found.bound_ns + 1
    assert found.bound_ns <= min(there + back for there, _, back in trips) // 2 + 1


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "a\0b", "x" * 101])
def test_no_name_leads_out_of_the_spool(tmp_path: Path, name: str) -> None:
    spool = Spool(tmp_path / "spool")
    for use in (spool.recording, spool.claim, spool.files, spool.discard):
        with pytest.raises(UsageError, match="is no name"):
            use(name)
    with pytest.raises(UsageError, match="is no name"):
        spool.read("part", name, 0)
    with pytest.raises(UsageError, match="is no name"):
        spool.make("part", {name: ""})


def test_part_is_made_once_read_and_discarded(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    recording, files = spool.make("p1", {"a.txt": "text"})
    assert (files / "a.txt").read_text() == "text"
    with pytest.raises(StorageError, match="exists"):
        spool.make("p1", {})
    assert spool.files("p1") == []
    recording.mkdir()
    (recording / "events.jsonl").write_bytes(b"0123456789")
    (recording / "plots").mkdir()
    (state,) = spool.files("p1")
    assert (state.name, state.size, state.crc32) == ("events.jsonl", 10, zlib.crc32(b"0123456789"))
    assert spool.read("p1", "events.jsonl", 7) == b"789"
    assert spool.read("p1", "events.jsonl", 10) == b""
    with pytest.raises(StorageError, match=r"gone\.bin"):
        spool.read("p1", "gone.bin", 0)
    spool.discard("p1")
    spool.discard("p1")
    assert spool.files("p1") == []


def test_recording_of_this_process_or_of_a_number_that_came_round_again_is_not_ended(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.make("mine", {})
    assert spool.claim("mine") is False
    (tmp_path / "mine" / "owner.json").write_text(f'{{"pid":{os.getppid()},"started_s":12.5}}')
    assert spool.claim("mine") is False
    (tmp_path / "mine" / "owner.json").write_text("{torn")
    assert spool.claim("mine") is False


async def test_signal_without_a_change_of_parent_is_no_orphan(autojump_clock: trio.testing.MockClock) -> None:
    parents = [100]
    done = trio.Event()

    async def watch(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await until_orphaned(lambda: True, lambda: parents[0], task_status)
        done.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(watch)
        signal.raise_signal(signal.SIGUSR2)  # as when the thread ends that started us
        await trio.sleep(0.1)
        assert not done.is_set()
        parents[0] = 1
        signal.raise_signal(signal.SIGUSR2)
        await done.wait()


async def test_streams_of_threads_read_and_write_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    ends = os.pipe()
    reader, writer = streams(*ends)
    with trio.fail_after(5):
        await writer.send_all(b"x" * 1000)
        assert await reader.receive_some(400) == b"x" * 400
        assert await reader.receive_some() == b"x" * 600
        with trio.move_on_after(0.05) as waited:  # a thread that waits on stdin must not keep the agent
            await reader.receive_some()
        assert waited.cancelled_caught
        await writer.aclose()
    os.close(ends[0])


def ssh(**keys: object) -> SshHost:
    return SshHost("far", "/opt/my env/python", "1", "10.0.0.2", **keys)  # type: ignore[arg-type] # any of its keys


def test_ssh_is_told_to_ask_nothing_and_to_check_the_key() -> None:
    words = ssh(user="lab", port=2022, identity="/keys/a b").command()
    for option in ("BatchMode=yes", "StrictHostKeyChecking=yes", "ServerAliveInterval=5", 'IdentityFile="/keys/a b"'):
        assert f"-o{option}" in words
    assert words[-7:] == ["-p", "2022", "-l", "lab", "--", "10.0.0.2", "'/opt/my env/python' -m harness agent"]


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        ("Host key verification failed.", "ssh-keyscan -p 22022 10.0.0.2 >> ~/.ssh/known_hosts"),
        ("@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.", "ssh-keygen -f"),
        ("lab@10.0.0.2: Permission denied (publickey).", "ssh-copy-id -p 22022 lab@10.0.0.2"),
        ("/usr/bin/python3: No module named harness", "python = ..."),
        ("bash: line 1: python3: command not found", "python = ..."),
        ("ssh: connect to host 10.0.0.2 port 22022: Connection refused", "Connection refused"),
        ("", "nothing was said"),
    ],
)
def test_what_ssh_says_becomes_one_line_with_its_remedy(said: str, explained: str) -> None:
    text = ssh(user="lab", port=22022).explain(said.splitlines())
    assert explained in text
    assert "\n" not in text
