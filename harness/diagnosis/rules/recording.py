"""The recording itself: what cannot be read of it may be what seems to be missing."""

from __future__ import annotations

from harness.diagnosis.case import Case
from harness.diagnosis.finding import Finding, Rule, counted
from harness.diagnosis.rules.pieces import LOSS, words
from harness.diagnosis.symptoms import Symptom

_SHARE = 0.9


def recording_damaged(case: Case, symptom: Symptom) -> Finding | None:
    """Records that cannot be read can account for what is missing."""
    n_bad = case.summary.unreadable
    if n_bad < _SHARE * symptom.n_packets or not n_bad:
        return None
    weighing = words(case, symptom)
    weighing.say(bad=counted(n_bad, "record"))
    yes = f"{counted(n_bad, 'packet record')} cannot be read, {counted(symptom.n_packets, 'packet')} seem to be missing"
    weighing.add(1, True, yes=yes)
    return weighing.result()


RULES = (
    Rule(
        "recording-damaged",
        "The recording is damaged: {bad} of it cannot be read, so that packets of {group} which seem to be missing at "
        "{receiver} may have arrived ({when})",
        LOSS,
        recording_damaged,
        "`packets.bin` is shorter than its checksums say, or does not match them, by as many packets as seem to be "
        "missing",
        "an undamaged copy of the run",
        "take the run from a backup, or record again; look at the disk that it was on",
        "the CRC-32 of each chunk of `packets.bin`",
    ),
)
