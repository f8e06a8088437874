"""`harness diagnose RUN`: what explains a run, ranked, with the evidence for and against; from what is on disk."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.options import add_json

if TYPE_CHECKING:
    from harness.model import Verdict

WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", metavar="RUN", help="a run directory, results/NAME")
    add_json(parser)


def execute(args: argparse.Namespace) -> int:
    """Diagnose, write the verdicts into summary.json, and print them; 1 when the verdict is not the expected one."""
    import msgspec

    from harness.cli.session import is_passed, print_json
    from harness.conclusion import conclude, with_verdicts
    from harness.model.scenario import Expect
    from harness.store import open_run, write_summary

    path = Path(args.path)
    reader = open_run(path)
    summary = reader.summary()
    if summary is None:
        summary = conclude(path).summary
    else:
        expect = msgspec.convert(reader.manifest.resolved.get("expect", {}), Expect)
        summary = with_verdicts(summary, reader, expect)
        write_summary(path, summary)
    if args.json:
        print_json({"path": str(path), "verdicts": summary.verdicts})
    else:
        print("\n\n".join(verdict_text(rank, verdict) for rank, verdict in enumerate(summary.verdicts, start=1)))
    return 0 if is_passed(summary) else 1


def verdict_text(rank: int, verdict: Verdict) -> str:
    """Return one verdict as text for a terminal: sentence, evidence, what would settle it, remedy."""
    from harness.plots.wording import plain

    lines = [_wrapped(f"{rank}. ", f"{plain(verdict.name, 60)} ({verdict.score:.2f}): {plain(verdict.sentence, 600)}")]
    lines += [_wrapped("   for:        ", plain(text, 400)) for text in verdict.evidence_for]
    lines += [_wrapped("   against:    ", plain(text, 400)) for text in verdict.evidence_against]
    lines += [_wrapped("   settled by: ", plain(verdict.settled_by, 600))] if verdict.settled_by else []
    lines += [_wrapped("   remedy:     ", plain(verdict.remedy, 600))] if verdict.remedy else []
    return "\n".join(lines)


def _wrapped(lead: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))
