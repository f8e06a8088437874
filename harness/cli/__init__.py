"""The command line: one module per subcommand, and the only place that prints, parses argv or exits.

A subcommand's module says what it is (`HELP`), what it takes (`add_arguments`) and what it does (`execute`, which
returns the exit code). Only the module that is asked for is imported, and it imports numpy, trio and matplotlib when
it runs, so that `harness --help` is instant.

Exit codes: 0 passed; 1 ran, and a limit or verdict failed; 2 usage or environment error; 130 interrupted for good.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Collection, Sequence

from harness import __version__
from harness.cli.streams import told_streams
from harness.errors import HarnessError, nearest

COMMANDS = {
    "interfaces": "interfaces with addresses, MTU, multicast, link state",
    "send": "send a stream of probes",
    "receive": "join groups, record, analyze, report",
    "run": "run a scenario, whole: traffic, timeline, verdict",
    "campaign": "run the same across reboots until a fault is reproduced",
    "lab": "provoke each cause of a drop-out on this machine, and see it named",
    "search": "search for the highest rate without loss",
    "bench": "measure this engine beside its peers and a bare loop",
    "analyze": "a recording, capture or table -> summary",
    "diagnose": "what explains a run: ranked causes, with the evidence for and against",
    "plot": "draw the figures of a recording",
    "report": "write report.html and report.md of a recording",
    "compare": "recordings side by side, and what differs significantly",
    "export": "write a recording or capture, or a part of it, as CSV, Parquet or pcapng",
    "doctor": "can this host, this interface, this launcher send and receive multicast?",
    "protocols": "list the known formats; check a schema of your own",
    "agent": "serve a controller over stdin and stdout; harness run starts it on each host",
    "completion": "print completions for bash, zsh or tcsh",
}
"""Subcommands and their one-line help; the module of the same name implements each."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    # nothing here multiplies matrices, and numpy's threads for that spin while it loads: half of what its import takes
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with told_streams():
            return _run(arguments)
    except HarnessError as exc:
        print(f"harness: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("harness: interrupted", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    if wanted is not None and wanted not in COMMANDS:
        print(f"harness: unknown command {wanted!r}{nearest(wanted, COMMANDS)}", file=sys.stderr)
        return 2
    complete = [wanted] if wanted else []
    # nothing but the help of a command that stands first can be asked for
    parser = build_parser(complete, complete if wanted and arguments[0] == wanted else COMMANDS)
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return 2
    return int(importlib.import_module(f"harness.cli.{args.command}").execute(args))


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, like all of this program's, with the nearest valid spelling."""

    def parse_known_args(  # type: ignore[override] # argparse has overloads for a namespace of any type
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            near = nearest(unknown[0].partition("=")[0], self._option_string_actions)
            self.error(f"{unknown[0]!r} is not understood{near if near.startswith('; did') else ''}")
        return known, unknown

    def error(self, message: str) -> None:  # type: ignore[override] # argparse says NoReturn; exit() does not return
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _sentence(text: str) -> str:
    """Return a help text as a sentence.

    >>> _sentence("list the known formats"), _sentence("does it work?")
    ('List the known formats.', 'Does it work?')
    """
    return text[0].upper() + text[1:] + ("" if text.endswith("?") else ".")


def build_parser(complete: Collection[str], known: Collection[str] = COMMANDS) -> argparse.ArgumentParser:
    """Return the parser of the subcommands in `known`; only those in `complete` get their arguments."""
    parser = _Parser(
        prog="harness",
        description="Send, receive, record, analyze and plot multicast and UDP traffic until a drop-out reproduces.",
        epilog="Quantities carry units: 60s, 250ms, 1kpps, 10Mbit/s, 8MB. Exit code: 0 passed, 1 failed, 2 error.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    # without `prog`, argparse would have it formatted, and load what it takes to measure a terminal
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser, prog=parser.prog)
    for name in known:
        help_text = COMMANDS[name]
        command = commands.add_parser(name, help=help_text, description=_sentence(help_text), allow_abbrev=False)
        if name in complete:
            importlib.import_module(f"harness.cli.{name}").add_arguments(command)
    return parser
