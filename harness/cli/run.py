"""`harness run SCENARIO.toml`: one scenario, whole."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.analysis_options import add_thresholds, parameters_of
from harness.cli.options import add_json, add_junit, add_no_report, add_output
from harness.errors import UsageError, nearest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "scenario", metavar="SCENARIO.toml", help="scenario file, or the name of one that comes with harness: demo"
    )
    parser.add_argument(
        "--host",
        metavar="'NAME = {...}'",
        action="append",
        default=[],
        help='a host of the scenario given anew, as TOML: \'rx = { kind = "ssh", address = "10.0.0.2" }\'; repeatable',
    )
    add_thresholds(parser)
    add_output(parser)
    add_junit(parser)
    add_no_report(parser)
    add_json(parser)


def execute(args: argparse.Namespace) -> int:
    """Run the scenario; its [expect] decides the exit code."""
    from harness.cli.session import perform_and_conclude
    from harness.model.scenario_hosts import with_host
    from harness.model.scenario_text import check_scenario
    from harness.run.scenario_file import read_scenario

    path = find_scenario(args.scenario)
    scenario = read_scenario(path)
    for host in args.host:
        scenario = with_host(scenario, host, "--host")
    check_scenario(scenario, path.name)
    return perform_and_conclude(scenario, args, parameters_of(args), path.parent)


def find_scenario(text: str) -> Path:
    """Return the file of a scenario given by path or by the name of a built-in one.

    Raises:
      UsageError: neither; names the built-in ones.
    """
    path = Path(text)
    built_in = {file.stem: file for file in (Path(__file__).parent.parent / "scenarios").glob("*.toml")}
    if path.is_file():
        return path
    if text in built_in:
        return built_in[text]
    raise UsageError(f"no scenario file {text!r}, and none of that name comes with harness{nearest(text, built_in)}")
