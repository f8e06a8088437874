"""`harness export PATH FILE`: a recording, capture or table in another format, whole or around a moment."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from harness.cli.options import add_json, quantity, whole_number
from harness.units import parse_duration

_ANY_NS = whole_number(-(2**62), 2**62)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", metavar="PATH", help="a run directory, results/NAME; or .pcap, .pcapng, .csv, .parquet")
    parser.add_argument(
        "file", metavar="FILE", help="where to write; its ending names the format: .csv, .parquet, .pcapng"
    )
    part = parser.add_argument_group("which part", "all of it unless one of these is given")
    part.add_argument(
        "--window", metavar="N", type=whole_number(1, 10**9), help="around the N-th drop-out window, in order of time"
    )
    part.add_argument(
        "--margin", metavar="TIME", type=quantity(parse_duration), help="before and after that window (default 2s)"
    )
    part.add_argument(
        "--between",
        metavar=("START", "END"),
        nargs=2,
        type=quantity(parse_duration),
        help="between two times since the first packet, 12s 15.5s",
    )
    part.add_argument("--from-ns", metavar="NS", type=_ANY_NS, help="from this moment on, realtime in ns")
    part.add_argument("--to-ns", metavar="NS", type=_ANY_NS, help="up to this moment, realtime in ns")
    group = parser.add_argument_group("streams of a capture")
    group.add_argument("--protocol", metavar="NAME", help="format, or path.py:NAME (default: guessed, and said)")
    group.add_argument("--sequence-bits", metavar="N", type=whole_number(1, 64), help="width of the sequence number")
    group.add_argument("--clock-rate", metavar="HZ", type=whole_number(1, 10**9), help="media clock, 48000 or 90000")
    add_json(parser)


def execute(args: argparse.Namespace) -> int:
    """Write the file."""
    from harness.analysis import StreamOptions
    from harness.errors import UsageError
    from harness.exporting import SpanChoice, choose_span, export
    from harness.exporting.sources import open_source
    from harness.exporting.write import check_name, check_target

    options = StreamOptions(protocol=args.protocol, sequence_bits=args.sequence_bits, clock_rate=args.clock_rate)
    between = tuple(args.between) if args.between else None
    choice = SpanChoice(args.window, args.margin, between, args.from_ns, args.to_ns)
    target = Path(args.file)
    check_name(target)
    source = open_source(Path(args.path), options)
    if source.kind == "run" and options != StreamOptions():
        raise UsageError(f"{source.path} is a run, which knows its streams; --protocol and the like go with a capture")
    check_target(source, target)
    done = export(source, target, choose_span(source, choice))
    for warning in done.warnings:
        print(f"harness: {warning}", file=sys.stderr)
    if args.json:
        print(json.dumps({"file": str(done.path), done.unit: done.n}))
    else:
        print(f"{done.path}: {done.n:,} {done.unit}")
    return 0
