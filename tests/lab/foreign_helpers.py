"""Runs of senders that are not ours, with known packets removed between them and the receiver."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab_helpers import Capture, Wire, analyze, lab, wait_for

from harness.analysis import analyze_file, analyze_recording
from harness.model import StreamSummary, Summary


@dataclass
class Sender:
    """What sends: its command, where to, and the nft match of the packets that are counted and dropped by place."""

    words: Sequence[str]
    protocol: str
    groups: Sequence[str]
    match: str
    environment: dict[str, str]


@dataclass
class Result:
    """What was heard live and in the capture, and how many packets came to the switch and ended there.

    Attributes:
      live: summary of the live recording in `run`.
      captured: summary of the capture in `file`, taken on the receiver's interface.
      sent_file: the capture taken on the sender's interface; None when nobody asked for it.
    """

    live: Summary
    captured: Summary
    n_seen: int
    n_dropped: int
    run: Path
    file: Path
    sent_file: Path | None


def send_through_losses(
    folder: Path,
    sender: Sender,
    places: str,
    n_enough: int | None = None,
    has_sent_file: bool = False,
) -> Result:
    """Run a foreign sender, dropping the packets at some places of their order, counted from 0.

    Args:
      folder: for all files.
      sender: who sends.
      places: as nft writes a set, "5, 10-12".
      n_enough: end the sender after so many packets; None lets it end by itself.
      has_sent_file: also capture what leaves the sender.
    """
    with lab(folder) as made:
        wire = Wire(made)
        wire.nft("add counter netdev wire seen", f"add rule netdev wire in {sender.match} counter name seen")
        wire.drop("lost", f"{sender.match} numgen inc mod 1000000 {{ {places} }}")
        ports = [int(group.rpartition(":")[2]) for group in sender.groups]
        capture = Capture(made, wire.tx, wire.rx, "rx0", *ports)
        before = Capture(made, wire.tx, wire.tx, "tx0", *ports) if has_sent_file else None
        receiving = made.receive(wire.rx, *sender.groups, "--interface", "rx0", "--protocol", sender.protocol)
        program = made.start(wire.tx, *sender.words, **sender.environment)
        if n_enough is None:
            program.wait()
        else:
            wait_for("packets", lambda: wire.dropped("seen") >= n_enough)
            program.process.send_signal(signal.SIGTERM)
            program.process.wait()
        file, sent_file = capture.end(), before.end() if before else None
        receiving.interrupt()
        receiving.wait_recorded()
        captured = analyze(file, "--protocol", sender.protocol)
        guessed = [stream for stream in analyze_file(file).streams if stream.group in sender.groups]
        assert {stream.protocol for stream in guessed} == {sender.protocol}
        assert figures(guessed) == figures(captured.streams)
        return Result(
            live=analyze_recording(receiving.run),
            captured=captured,
            n_seen=wire.dropped("seen"),
            n_dropped=wire.dropped("lost"),
            run=receiving.run,
            file=file,
            sent_file=sent_file,
        )


def figures(streams: Sequence[StreamSummary]) -> dict[str, tuple[int | None, ...]]:
    """Return what must be the same live, from a capture, and from one whose format is guessed, for each stream."""
    return {
        f"{stream.group} {sorted(stream.key.items())}": (
            stream.expected,
            stream.received,
            stream.lost,
            stream.duplicates,
            stream.reordered,
        )
        for stream in streams
    }


def check_single(result: Result, n_lost: int, n_ends: int = 0) -> StreamSummary:
    """Hold a run of one stream against the switch: all that it dropped is lost, all else came."""
    assert result.n_dropped == n_lost
    assert figures(result.live.streams) == figures(result.captured.streams)
    (stream,) = result.live.streams
    assert (stream.lost, stream.duplicates, stream.reordered) == (n_lost, 0, 0)
    assert stream.received == result.n_seen - n_lost - n_ends
    assert (stream.attribution.network, result.live.socket_drops) == (n_lost, 0)
    return stream
