"""What may be done to a receiver so that its witnesses have something to say: it goes deaf, or it stops reading."""

import os
import sys
from pathlib import Path

import pytest

from harness.analysis import analyze_recording
from harness.errors import UsageError
from harness.model import Event, Summary
from harness.model.scenario import Receiver, Scenario, Stream, TimedEvent
from harness.net._darwin import DarwinPlatform
from harness.net._options import new_udp_socket
from harness.net._windows import WindowsPlatform
from harness.net.platform import PLATFORM
from harness.run import perform, resolve

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="sockets take a filter on Linux only")
GROUP = f"239.255.{os.getpid() % 250 + 1}.61:46161"
MS = 10**6


def recorded(folder: Path, *events: TimedEvent, rate: str = "200pps", count: int = 240) -> tuple[Summary, list[Event]]:
    """Run 1.2 s of a stream on loopback with events, and return what was found."""
    stream = Stream(group=GROUP, interface="lo", rate=rate, count=count)
    receiver = Receiver(groups=[GROUP], interface="lo", witnesses=[])
    scenario = Scenario(linger="200ms", stream=[stream], receiver=[receiver], event=list(events))
    outcome = perform(scenario, output=folder / "run", command=["test"])
    assert (outcome.reason, outcome.error) == ("complete", None)
    summary = analyze_recording(folder / "run")
    return summary, summary.events


@LINUX_ONLY
def test_a_deaf_socket_hears_nothing_for_as_long_as_it_is_said(tmp_path: Path) -> None:
    summary, events = recorded(tmp_path, TimedEvent(at="400ms", action="deafen", lasts="300ms"))
    (stream,) = summary.streams
    (window,) = stream.windows
    assert 250 * MS < window.duration_ns < 400 * MS
    assert stream.lost == window.packets
    assert [event.kind for event in events if event.kind == "deafen"] == ["deafen", "deafen"]
    assert summary.socket_drops == 0  # the kernel counts a filter's drops at the socket, and they are not its buffer's
    assert any("dropped at the sockets and not by their buffers" in event.text for event in events)


@LINUX_ONLY
def test_a_reopened_socket_is_free_of_the_filter(tmp_path: Path) -> None:
    deafen = TimedEvent(at="300ms", action="deafen")
    summary, _ = recorded(tmp_path, deafen, TimedEvent(at="700ms", action="reopen"))
    (window,) = summary.streams[0].windows
    assert 350 * MS < window.duration_ns < 500 * MS
    assert summary.streams[0].schedule.sent == 240  # the end of the stream was heard


def test_a_stalled_receiver_reads_later_what_its_buffer_held(tmp_path: Path) -> None:
    summary, events = recorded(tmp_path, TimedEvent(at="300ms", action="stall", lasts="300ms"))
    assert summary.streams[0].lost == 0
    assert [event.text for event in events if event.kind == "stall"] == [
        "nothing is read from here on",
        "reading goes on",
    ]


@LINUX_ONLY
def test_a_stall_that_the_buffer_does_not_hold_is_its_own_overflow(tmp_path: Path) -> None:
    stall = TimedEvent(at="200ms", action="stall", lasts="800ms")
    summary, _ = recorded(tmp_path, stall, rate="5kpps", count=6_000)
    (stream,) = summary.streams
    assert stream.lost
    assert stream.attribution.own_buffer == stream.lost


def test_an_impairment_of_the_network_is_refused_where_there_is_no_lab() -> None:
    receiver = Receiver(groups=[GROUP], interface="lo")
    scenario = Scenario(duration="1s", receiver=[receiver], event=[TimedEvent(at="1s", action="impair")])
    with pytest.raises(UsageError, match="only a lab's network can be impaired"):
        resolve(scenario)


@pytest.mark.parametrize("platform", [DarwinPlatform(), WindowsPlatform()], ids=["darwin", "windows"])
def test_other_systems_say_that_a_socket_cannot_be_deafened(platform: DarwinPlatform | WindowsPlatform) -> None:
    with new_udp_socket(4) as sock:
        with pytest.raises(UsageError, match=r"deafen is not offered on (macOS|Windows)"):
            platform.deafen(sock)
        assert platform.overhear(sock, 4) is False
        assert PLATFORM.name != platform.name
