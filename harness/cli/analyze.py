"""`harness analyze PATH`: a recording, capture or table -> summary; for a recording figures and report too."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.analysis_options import (
    add_limits,
    add_stream_options,
    add_thresholds,
    limits_of,
    parameters_of,
    stream_options_of,
)
from harness.cli.options import add_json, add_junit, add_no_report
from harness.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", metavar="PATH", help="a run directory, results/NAME; or .pcap, .pcapng, .csv, .parquet")
    parser.add_argument(
        "--sent",
        metavar="RUN",
        help="the sender's run, when it was recorded elsewhere: its log settles what was not sent",
    )
    parser.add_argument(
        "--output", metavar="DIR", help="for a capture or table: write summary, figures and report here"
    )
    add_stream_options(parser)
    add_limits(parser)
    add_thresholds(parser)
    add_junit(parser)
    add_no_report(parser)
    add_json(parser)


def execute(args: argparse.Namespace) -> int:
    """Analyze, write the results, and print them."""
    from harness.cli.session import analyze_and_print, conclude_and_print
    from harness.conclusion import conclude_file
    from harness.model.scenario import Expect

    path, limits, parameters = Path(args.path), limits_of(args), parameters_of(args)
    options = stream_options_of(args)
    if path.is_file():
        if args.sent:
            raise UsageError("--sent goes with a run directory; a capture has no clock in common with the sender's run")
        output = Path(args.output) if args.output else None
        return conclude_and_print(conclude_file(path, parameters, options, expect=limits, output=output), args)
    if options != type(options)():
        raise UsageError(
            f"{path} is a run, which knows its streams; --protocol and the like go with a capture or table"
        )
    sender_run = Path(args.sent) if args.sent else None
    expect = limits if limits != Expect() else None
    return analyze_and_print(path, args, parameters, sender_run=sender_run, expect=expect)
