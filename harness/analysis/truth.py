"""The impairment's own record beside what the analysis found: the tool held against a known answer."""

from __future__ import annotations

import json
from pathlib import Path

from harness.model import StreamSummary

TRUTH = "truth.jsonl"
"""What an in-process impairment did, one record a line; it stands beside the recording that it explains."""


def compare_with_truth(path: Path, streams: list[StreamSummary]) -> list[str]:
    """Return a sentence for each impaired stream of a run: does the loss found agree with what was dropped?

    A probe that was dropped never came, and one that was damaged counts as lost. A stream may lose more than its
    impairment took, by its own buffer or a real network; it can never lose less.

    Args:
      path: the run's directory; without a truth file there is nothing to say.
      streams: what the analysis found.
    """
    gone: dict[int, set[int]] = {}
    try:
        with (path / TRUTH).open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                if record["did"] in ("dropped", "corrupted"):
                    gone.setdefault(int(record["stream"]), set()).add(int(record["seq"]))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as exc:
        return [f"{TRUTH} cannot be read ({exc}); the loss is not held against it"]
    sentences = []
    for stream in streams:
        if stream.stream_id not in gone or stream.lost is None:
            continue
        taken = len(gone[stream.stream_id])
        verdict = (
            "as the impairment's own record says" if stream.lost == taken else f"but the impairment took {taken:,}"
        )
        sentences.append(f"{stream.label}: {stream.lost:,} lost, {verdict}")
    return sentences
