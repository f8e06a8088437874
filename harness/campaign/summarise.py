"""A campaign's directory -> CampaignSummary: the journal says which boots there were, their folders what they found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from harness.campaign import directory as layout
from harness.campaign.journal import read_state
from harness.campaign.measure import measure, read_measures, write_measures
from harness.campaign.plan import Resolved, ordered
from harness.campaign.state import Settled
from harness.campaign.statistics import statistics
from harness.errors import HarnessError, RecordError, StorageError
from harness.model.boots import BootMeasures, CampaignSummary
from harness.model.campaign import Campaign
from harness.store.documents import write_document


def summarise(directory: Path, *, measures_again: bool = False) -> CampaignSummary:
    """Return a campaign as it stands; boots that were cut short are measured now, from what is left of them.

    The journal has the last word on how a boot ended: a machine that crashed after the measures were written and before
    their end was journalled did crash.

    Args:
      directory: of the campaign, which may be under way.
      measures_again: measure every boot anew, as after an update of this program.

    Raises:
      RecordError: the journal or the stored campaign cannot be read.
    """
    state, _ = read_state(directory / layout.JOURNAL)
    resolved = layout.stored(directory, state.sha256)
    notes: list[str] = []
    boots = [_boot(directory, settled, resolved, notes, measures_again) for settled in state.settled]
    campaign = resolved.campaign
    return CampaignSummary(
        name=campaign.name,
        description=campaign.description,
        planned=len(ordered(campaign)),
        boots=boots,
        statistics=statistics(boots, _variables(campaign, boots)),
        sessions=dict(sorted(state.arrivals.items())),
        ended=state.finished,
        notes=notes,
    )


def _variables(campaign: Campaign, boots: list[BootMeasures]) -> list[str]:
    """Return the variables that boots differ in; those of an earlier form of the campaign file come last."""
    names = [*campaign.matrix, *(name for boot in boots for name in boot.values)]
    return [name for name in dict.fromkeys(names) if len({boot.values.get(name) for boot in boots}) > 1]


def _boot(
    directory: Path, settled: Settled, resolved: Resolved, notes: list[str], measures_again: bool
) -> BootMeasures:
    path = layout.boot_path(directory, settled.number)
    cut_short = (settled.outcome, settled.text) if settled.outcome in ("hung", "crashed") else None
    try:
        found = None if measures_again else _if_any(lambda: read_measures(path))
        if found is None and (path / layout.BOOT).is_file():
            found = measure(path, resolved.campaign.reproduced_when, cut_short=cut_short)
            _keep(path, found)
    except HarnessError as exc:
        notes.append(f"boot {settled.number}: {exc}")
        found = None
    if found is None:
        found = BootMeasures(
            boot=settled.number,
            boot_id=settled.boot_id,
            values=settled.values,
            outcome=settled.outcome,
            reason=settled.text,
            began_ns=0,
        )
    if not measures_again or cut_short is not None:
        found = msgspec.structs.replace(found, outcome=settled.outcome, reason=settled.text)
    return found


def _if_any(read: Callable[[], BootMeasures]) -> BootMeasures | None:
    try:
        return read()
    except RecordError:
        return None


def _keep(path: Path, measures: BootMeasures) -> None:
    """Keep measures for the next time; a directory that is only read, as from a backup, does without."""
    try:
        write_measures(path, measures)
    except StorageError:
        return


def write_summary(directory: Path, summary: CampaignSummary) -> Path:
    """Write `campaign.json` and return its path.

    Raises:
      StorageError: it cannot be written.
    """
    path = directory / layout.SUMMARY
    write_document(path, summary, "is the disk full?")
    return path
