"""`python -m harness.lab.wire` is the wire's process; with --measure it says what a wire carries here."""

from __future__ import annotations

import argparse
import sys

import msgspec

from harness.errors import HarnessError
from harness.lab.wire.cap import cap_of, cap_text
from harness.lab.wire.child import Child
from harness.lab.wire.measure import SIZE, measure


def main() -> int:
    """Run the wire, or the measurement; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.lab.wire", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure what a wire carries on this machine, and end")
    parser.add_argument("--kind", choices=("tap", "packet"), default="tap", help="kind of its ends (default: tap)")
    parser.add_argument("--size", type=int, default=SIZE, help=f"bytes of a frame (default: {SIZE})")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    args = parser.parse_args()
    if not args.measure:
        if sys.stdin.isatty():
            parser.error("a wire is started by the lab; by hand, only --measure is of use")
        return Child().serve()
    try:
        limit = measure(args.kind, args.size)
    except HarnessError as exc:
        sys.stderr.write(f"harness: {exc}\n")
        return 2
    text = msgspec.json.encode(limit).decode() if args.json else f"by default {cap_text(cap_of(None, limit), limit)}"
    sys.stdout.write(f"{text}\n")
    return 0


sys.exit(main())
