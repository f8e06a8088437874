"""What a bundle is made of: one run, or a campaign and of its boots the one that shows the fault best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.bundle.material import CORE, EVIDENCE, OTHER_HOSTS, VECTOR, Entry, Gathering
from harness.errors import RecordError, UsageError
from harness.model.boots import CAMPAIGN_VERSION, BootMeasures, CampaignSummary
from harness.plots.campaign import plot_campaign
from harness.store import open_run
from harness.store.documents import read_document

SUMMARY, JOURNAL, BOOTS = "campaign.json", "journal.jsonl", "boots"
_FOLDER = "campaign"
_FIGURES = {
    "raster": "every boot in a row: delivered, lost, silent",
    "first-packet": "time to the first packet, boot by boot",
    "rates": "how often, by variable",
}
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

    def figures(self, scratch: Path, campaign: CampaignSummary | None) -> Iterator[Entry]:
        """Yield the figures of a campaign, drawn from the summary that is in the bundle; nothing for a run."""
        if campaign is None:
            return
        for picture in plot_campaign(campaign, scratch / _FOLDER):
            rank = VECTOR if picture.suffix == ".svg" else CORE
            yield Entry(
                f"{_FOLDER}/plots/{picture.name}", picture.read_bytes(), _FIGURES.get(picture.stem, "boots"), rank
            )


def open_case(path: Path) -> Case:
    """Return what a directory holds.

    Raises:
      RecordError: neither a run nor a campaign.
      UsageError: a campaign without a recording or a summary.
    """
    if (path / JOURNAL).is_file() and not (path / SUMMARY).is_file():
        raise UsageError(f"{path} has no {SUMMARY} yet; run harness campaign report {path} first")
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
