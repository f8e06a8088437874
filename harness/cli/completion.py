"""`harness completion SHELL`: completions to be sourced by a shell."""

from __future__ import annotations

import argparse

SHELLS = ("bash", "zsh", "tcsh")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or tcsh")


def execute(args: argparse.Namespace) -> int:
    """Print the script; `source <(harness completion bash)` switches it on."""
    import shtab

    from harness.cli import COMMANDS, build_parser

    print(shtab.complete(build_parser(list(COMMANDS)), args.shell))
    return 0
