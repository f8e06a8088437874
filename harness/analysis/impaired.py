"""What senders did to their own streams: asked by the scenario, recorded probe by probe in `truth.jsonl`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from harness.analysis.truth import TRUTH
from harness.errors import UsageError
from harness.model.scenario import Impair
from harness.model.witness import SenderImpairment
from harness.store import RunReader
from harness.units import parse_duration


def load_impairments(reader: RunReader) -> list[SenderImpairment]:
    """Return what the run's own senders were asked to do to their streams, and did; [] where none was.

    It is the sender's word about itself, as its log is. A run that was killed has no record of what was done; nothing
    that is unreadable raises.

    Args:
      reader: the run that sent.
    """
    asked = [entry for entry in reader.manifest.resolved.get("stream") or [] if isinstance(entry, dict)]
    by_id = {
        place if entry.get("stream") is None else entry["stream"]: entry["impair"]
        for place, entry in enumerate(asked, start=1)  # a stream that the scenario does not number is so numbered
        if isinstance(entry.get("impair"), dict)
    }
    senders = [info for info in reader.manifest.senders if info.stream_id in by_id]
    if not senders:
        return []
    done = _record(reader.path / TRUTH)
    return [
        msgspec.structs.replace(
            _asked(by_id[info.stream_id], info.stream_id, info.epoch),
            dropped=None if done is None else sorted(done.get((info.stream_id, "dropped"), ())),
            corrupted=None if done is None else sorted(done.get((info.stream_id, "corrupted"), ())),
            n_duplicated=0 if done is None else len(done.get((info.stream_id, "duplicated"), ())),
        )
        for info in senders
    ]


def _asked(entry: dict[str, Any], stream_id: int, epoch: int) -> SenderImpairment:
    nothing = SenderImpairment(stream_id=stream_id, epoch=epoch)
    try:
        impair = msgspec.convert(entry, Impair)
        starts = [(parse_duration(dropout.at), parse_duration(dropout.lasts)) for dropout in impair.dropouts]
    except (msgspec.ValidationError, UsageError):  # of another version
        return nothing
    return msgspec.structs.replace(
        nothing,
        loss=impair.loss,
        corrupt=impair.corrupt,
        dropouts_ns=[(start_ns, start_ns + lasts_ns) for start_ns, lasts_ns in starts],
    )


def _record(path: Path) -> dict[tuple[int, str], set[int]] | None:
    """Return the numbers by stream and deed; None without a record that can be read."""
    found: dict[tuple[int, str], set[int]] = {}
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                found.setdefault((int(record["stream"]), str(record["did"])), set()).add(int(record["seq"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found
