"""A capture file with its addresses replaced, and what a capture has to say before that."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from harness.bundle.frames import KNOWN_LINKS, Rewriter
from harness.bundle.redactor import Redactor
from harness.capture import Frames, Interface, open_capture
from harness.capture.blocks import PcapngFile, copy_rows, packet_blocks
from harness.errors import RecordError

MOST_FRAMES = 200_000
"""Frames of a capture that are rewritten, one by one."""


def learn_capture(path: Path, redactor: Redactor) -> None:
    """Take note of all addresses and names in a capture.

    Raises:
      RecordError: it cannot be read, or not be redacted: too long, or of a link type whose addresses are not known.
    """
    capture, rewriter = open_capture(path), Rewriter.learning(redactor.addresses)
    n_seen = 0
    for frames in capture.frames():
        n_seen += len(frames)
        if n_seen > MOST_FRAMES:
            raise RecordError(f"{path.name} has more than {MOST_FRAMES:,} frames; cut a part out with harness export")
        for row in range(len(frames)):
            if _is_whole(frames, row):
                rewriter.frame(frames.bytes_of(row), _link_of(path, capture.interfaces, int(frames.interface[row])))
    for interface in capture.interfaces:
        redactor.learn([interface.name, interface.description], has_telling_keys=False)


def redact_capture(path: Path, target: Path, redactor: Redactor) -> int:
    """Write a capture with everything replaced that `redactor` replaces, and return the number of frames.

    Frames keep time, interface and length on the wire; comments, name tables and other blocks are left out.

    Raises:
      RecordError: it cannot be read, or is of a link type whose addresses are not known.
      StorageError: the target cannot be written.
    """
    capture, rewriter = open_capture(path), Rewriter.replacing(redactor.addresses)
    n_described = n_written = 0
    with PcapngFile(target) as file:
        for frames in capture.frames():
            for interface in capture.interfaces[n_described:]:
                name, words = redactor.text(interface.name), redactor.text(interface.description)
                file.add_interface(dataclasses.replace(interface, name=name, description=words))
                n_described += 1
            rows = [row for row in range(len(frames)) if _is_whole(frames, row)]
            shown = [
                rewriter.frame(frames.bytes_of(row), _link_of(path, capture.interfaces, int(frames.interface[row])))
                for row in rows
            ]
            if not rows:
                continue
            chosen = frames.part(np.array(rows, np.intp))
            length = np.array([len(data) for data in shown], np.int64)
            out, at = packet_blocks(chosen.rx_ns, chosen.interface, length, chosen.wire)
            copy_rows(out, at, np.frombuffer(b"".join(shown), np.uint8), np.cumsum(length) - length, length)
            file.write(out)
            n_written += len(rows)
    return n_written


def _is_whole(frames: Frames, row: int) -> bool:
    return int(frames.captured[row]) >= 0 and int(frames.interface[row]) >= 0


def _link_of(path: Path, interfaces: list[Interface], number: int) -> int:
    link_type = interfaces[number].link_type
    if link_type not in KNOWN_LINKS:
        raise RecordError(f"{path.name}: the addresses in frames of {interfaces[number].link_name} are not known")
    return link_type
