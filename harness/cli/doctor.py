"""`harness doctor`: can this host, this interface, this launcher send and receive multicast?"""

from __future__ import annotations

import argparse
import sys
import textwrap
from typing import TYPE_CHECKING

from harness.cli.options import add_interface, add_json, checked
from harness.model.endpoint import Endpoint, parse_endpoint
from harness.units import parse_duration

if TYPE_CHECKING:
    from harness.doctor import Line

WIDTH = 100
_PORT = 5000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "group",
        metavar="GROUP[:PORT]",
        nargs="?",
        type=checked(group_of),
        help="the group that matters (default: one of its own in 239.255.0.0/16)",
    )
    add_interface(parser)
    parser.add_argument(
        "--listen",
        metavar="TIME",
        type=checked(parse_duration),
        default="25s",
        help="how long to wait for a membership query at most (default 25s; queriers ask every 125s)",
    )
    add_json(parser)


def group_of(text: str) -> Endpoint:
    """Return the group written "239.1.2.3", "239.1.2.3:5000" or "[ff15::1]:5000".

    Raises:
      UsageError: not an address, or not a group.

    >>> str(group_of("239.1.2.3")), str(group_of("[ff15::1]:5004"))
    ('239.1.2.3:5000', '[ff15::1]:5004')
    """
    from harness.errors import UsageError
    from harness.model.endpoint import parse_address

    is_bare = not text.startswith("[") and (text.count(":") != 1)
    found = Endpoint(parse_address(text), _PORT) if is_bare else parse_endpoint(text)
    if not found.is_multicast:
        raise UsageError(f"{found.address} is no multicast group; write one such as 239.1.2.3")
    return found


def execute(args: argparse.Namespace) -> int:
    """Examine, printing each answer as it comes; 1 when something is broken."""
    from harness.cli.session import print_json
    from harness.doctor import examine, patient_of

    lines: list[Line] = []
    is_live = sys.stderr.isatty()
    patient = patient_of(group_of(args.group) if args.group else None, args.interface)
    where = "loopback with TTL 0" if patient.interface is None else f"{patient.interface.name} with TTL 1"
    print(f"harness: packets of its own go to {patient.group} by {where}", file=sys.stderr)

    def on_wait(waited_ns: int, whole_ns: int) -> None:
        if is_live:
            text = f"listening for a membership query: {waited_ns // 10**9} s of {whole_ns // 10**9}"
            print(f"\r{text}", end="", file=sys.stderr, flush=True)

    is_cut = False
    try:
        for line in examine(patient, listen_ns=parse_duration(args.listen), on_wait=on_wait):
            lines.append(line)
            if is_live:
                print("\r\033[K", end="", file=sys.stderr, flush=True)
            if not args.json:
                print(text_of(line), flush=True)
    except KeyboardInterrupt:
        is_cut = True
        print("\nharness: interrupted: what was known by then", file=sys.stderr)
    if args.json:
        print_json({"group": str(patient.group), "is_complete": not is_cut, "lines": lines})
    return 1 if any(line.status == "broken" for line in lines) else 0


def text_of(line: Line) -> str:
    """Return an answer as text for a terminal, its remedy below it."""
    lead = f"{line.status:<11}{line.name:<15}"
    text = textwrap.fill(line.text, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))
    if not line.remedy:
        return text
    lead = " " * len(lead) + "-> "
    return text + "\n" + textwrap.fill(line.remedy, WIDTH, initial_indent=lead, subsequent_indent=" " * len(lead))
