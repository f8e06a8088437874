"""`harness protocols`: the formats that are known, or a check of a schema of one's own."""

from __future__ import annotations

import argparse

from harness.cli.options import add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "protocol", metavar="NAME", nargs="?", help="only this one; path.py:NAME checks a schema of your own"
    )
    add_json(parser)


def execute(args: argparse.Namespace) -> int:
    """Print a line a format, or one format in full."""
    from harness.traffic import describe, load_protocol
    from protocols.registry import PROTOCOLS

    names = [args.protocol] if args.protocol else list(PROTOCOLS)
    described = [describe(load_protocol(name)) for name in names]
    if args.json:
        from harness.cli.session import print_json

        print_json(described)
        return 0
    if args.protocol:
        for key, value in described[0].items():
            print(f"{key:14}  {value if value not in (None, '', [], {}) else '-'}")
        return 0
    for entry in described:
        numbered = f"{entry['sequence_bits']}-bit numbers" if entry["sequence_bits"] else "no numbers"
        print(f"{entry['name']:8}  {numbered:16}  {entry['title']}")
    return 0
