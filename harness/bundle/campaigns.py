"""What a bundle is made of: one run, or a campaign and of its boots the one that shows the fault best."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.bundle.material import CORE, EVIDENCE, OTHER_HOSTS, VECTOR, Entry, Gathering, Material
from harness.errors import RecordError, UsageError
from harness.model.boots import CAMPAIGN_VERSION, BootMeasures, CampaignSummary
from harness.store import open_run
from harness.store.documents import read_document

SUMMARY, JOURNAL, BOOTS = "campaign.json", "journal.jsonl", "boots"
_FOLDER = "campaign"
_OF_BOOT = {
    "measures.json": "what was measured on the boot",
    "boot.json": "what the campaign itself knows of the boot",
    "environment.json": "the system on the boot",
}


@dataclass(frozen=True)
class Case:
    """What is reported.

    Attributes:
      path: a run's or a campaign's directory.
      run: the run itself, or the campaign's run that is shown.
      campaign: None for a run.
    """

    path: Path
    run: Path
    campaign: CampaignSummary | None = None

    @property
    def summary_name(self) -> str:
        """The name of a campaign's summary in the bundle."""
        return f"{_FOLDER}/{SUMMARY}"

    def find_documents(self, gathering: Gathering) -> None:
        """Find a campaign's own files."""
        if self.campaign is None:
            return
        gathering.find_file(self.path / SUMMARY, self.summary_name, "every boot, and the verdict over all", CORE)
        gathering.find_file(self.path / JOURNAL, f"{_FOLDER}/{JOURNAL}", "every transition of the campaign", EVIDENCE)
        for said in sorted(self.path.glob("said-*.json")):
            gathering.find_file(said, f"{_FOLDER}/{said.name}", "the campaign with everything resolved", EVIDENCE)
        for boot in sorted((self.path / BOOTS).iterdir()):
            for name, what in _OF_BOOT.items():
                gathering.find_file(boot / name, f"{_FOLDER}/{BOOTS}/{boot.name}/{name}", what, OTHER_HOSTS)

    def figures(
        self, scratch: Path, campaign: CampaignSummary | None, material: Material, *, is_redacted: bool
    ) -> Iterator[Entry]:
        """Yield a campaign's figures: drawn anew where that is possible, else as they are unless redaction is asked."""
        if campaign is None:
            return
        pictures = _redrawn(campaign, scratch / _FOLDER)
        if pictures is None:
            pictures = sorted((self.path / "plots").glob("*.[ps][nv]g"))
            if is_redacted:
                for picture in pictures:
                    material.leave_out(f"{_FOLDER}/plots/{picture.name}", "it cannot be drawn again without names")
                return
        for picture in pictures:
            rank = VECTOR if picture.suffix == ".svg" else CORE
            yield Entry(f"{_FOLDER}/plots/{picture.name}", picture.read_bytes(), "the boots in a figure", rank)


def _redrawn(campaign: CampaignSummary, folder: Path) -> list[Path] | None:
    try:
        draw = importlib.import_module("harness.plots.campaign").plot_campaign
    except (ImportError, AttributeError):
        return None
    return list(draw(campaign, folder))


def open_case(path: Path) -> Case:
    """Return what a directory holds.

    Raises:
      RecordError: neither a run nor a campaign.
      UsageError: a campaign without a recording.
    """
    if not (path / SUMMARY).is_file():
        return Case(path, open_run(path).path)
    campaign = read_document(path / SUMMARY, CampaignSummary, CAMPAIGN_VERSION)
    for boot in sorted(campaign.boots, key=_telling):
        for manifest in sorted((path / BOOTS / f"{boot.boot:04d}").glob("*/manifest.json")):
            try:
                open_run(manifest.parent)
            except RecordError:
                continue
            return Case(path, manifest.parent, campaign)
    raise UsageError(f"{path}: no boot of the campaign has a recording that can be read; there is nothing to show yet")


def _telling(boot: BootMeasures) -> tuple[bool, int, int]:
    """Return a sort key: boots with the fault first, of those the one with the longest drop-outs."""
    silent_ns = sum(window.end_ns - window.start_ns for window in boot.dropouts)
    return (boot.outcome != "reproduced", -silent_ns, boot.boot)
