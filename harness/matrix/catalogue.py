"""The lab's scenarios: those that come with the program, each for the IP versions that it says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import ScenarioError, UsageError, nearest
from harness.matrix.variants import combined, healthy_variant
from harness.model.scenario import Scenario
from harness.model.scenario_lab import as_ipv6, is_lab
from harness.model.scenario_text import check_scenario
from harness.run.scenario_file import read_scenario

HEALTHY = "healthy"
FOLDER = Path(__file__).parent.parent / "lab" / "scenarios"


@dataclass(frozen=True, slots=True)
class Entry:
    """One scenario for one IP version; its name ends in "-v6" for the second."""

    name: str
    family: int
    path: Path
    scenario: Scenario

    @property
    def text(self) -> str:
        """How `find_entry` is asked for it: its name in the catalogue, else its file."""
        return self.name if self.path.parent == FOLDER else str(self.path)

    @property
    def cause(self) -> str:
        """The verdict that it is there to provoke."""
        return self.scenario.expect.verdict or ""


def entries(folder: Path = FOLDER) -> list[Entry]:
    """Return the whole catalogue: the healthy one first, then by name.

    Raises:
      ScenarioError: a file that is no scenario.
    """
    found = [entry for path in sorted(folder.glob("*.toml")) for entry in read_entries(path)]
    return sorted(found, key=lambda entry: (entry.cause != "ok", entry.name))


def read_entries(path: Path) -> list[Entry]:
    """Return a scenario file's entries, one for each IP version.

    Raises:
      ScenarioError: it is no scenario, or has no host of the lab.
      UsageError: it cannot be read.
    """
    scenario = read_scenario(path)
    if not is_lab(scenario):
        raise ScenarioError(f'{path.name}: no host of kind = "lab"; harness run is for scenarios without a lab')
    found = []
    for family in scenario.families:
        chosen = as_ipv6(scenario) if family == 6 else scenario
        check_scenario(chosen, path.name)
        found.append(Entry(chosen.name, family, path, chosen))
    return found


def find_entry(text: str, folder: Path = FOLDER) -> Entry:
    """Return a scenario by its name in the catalogue, or by its file.

    "one+other" is a run with two causes, "healthy~7" the seventh of the healthy runs at random.

    Raises:
      UsageError: neither.
      ScenarioError: as `read_entries`.
    """
    if Path(text).is_file():
        return read_entries(Path(text))[0]
    known = {entry.name: entry for entry in entries(folder)}
    one, plus, other = text.partition("+")
    if plus and {one, other} <= known.keys():
        return replace(known[one], name=text, scenario=combined(known[one].scenario, known[other].scenario))
    healthy, tilde, number = text.partition("~")
    if tilde and healthy == HEALTHY and number.isdecimal():
        scenario = healthy_variant(known[HEALTHY].scenario, int(number))
        return replace(known[HEALTHY], name=text, family=scenario.families[0], scenario=scenario)
    if text not in known:
        near = nearest(text, known)
        hint = near if near.startswith("; did") else "; see harness lab list"
        raise UsageError(f"no scenario file {text!r}, and none of that name in the lab{hint}")
    return known[text]
