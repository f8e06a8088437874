"""`harness analyze PATH`: a recording -> summary, figures and report, again."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.options import add_json, add_limits, add_thresholds, limits_of, parameters_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("path", metavar="PATH", help="a run directory, results/NAME")
    parser.add_argument(
        "--sent",
        metavar="RUN",
        help="the sender's run, when it was recorded elsewhere: its log settles what was not sent",
    )
    add_limits(parser)
    add_thresholds(parser)
    add_json(parser)


def execute(args: argparse.Namespace) -> int:
    """Analyze, write the results into the run, and print them."""
    from harness.cli.session import conclude_and_print
    from harness.model.scenario import Expect

    limits = limits_of(args)
    return conclude_and_print(
        Path(args.path),
        args,
        parameters_of(args),
        sender_run=Path(args.sent) if args.sent else None,
        expect=limits if limits != Expect() else None,
    )
