"""Symptoms to ranked verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.diagnosis.case import Case
from harness.diagnosis.finding import Finding, Rule, counted
from harness.diagnosis.rules import RULES
from harness.diagnosis.symptoms import Symptom
from harness.model import Manifest, Summary, Verdict
from harness.model.witness import Evidence

OK = Rule(
    "ok",
    "No fault found: {n} packets of {streams} arrived as they were sent",
    frozenset(),
    lambda _case, _symptom: None,
    "no drop-out, no loss, no refusal",
    "nothing needs to be settled",
    "nothing needs to be done",
    "RFC 7680; Y.1540",
)
CERTAIN, LEAST_SHOWN = 0.3, 0.12
"""Below CERTAIN a cause explains nothing and the fallbacks speak; below LEAST_SHOWN a verdict is not shown."""
EXPLAINED_AWAY = 0.5
BASE = 0.4
MAX_VERDICTS = 8


@dataclass
class _Account:
    """What one rule explains: its findings, and of those the ones where it is the best explanation."""

    rule: Rule
    place: int
    findings: list[tuple[Symptom, Finding]] = field(default_factory=list)
    won: list[tuple[Symptom, Finding]] = field(default_factory=list)

    def score(self, n_all: int) -> float:
        """Return the best score, weighed by the share of all missing packets that it explains."""
        ours = self.won or self.findings
        share = sum(symptom.n_packets for symptom, _ in ours) / max(1, n_all)
        best = max(finding.score for _, finding in ours)
        return best * (BASE + (1 - BASE) * min(1.0, share)) * (1.0 if self.won else EXPLAINED_AWAY)


def diagnose(summary: Summary, manifest: Manifest, evidence: Evidence | None = None) -> list[Verdict]:
    """Return what explains a run's symptoms, the likeliest first; exactly "ok" for a run without any.

    Args:
      summary: the analysis; its events, membership timeline and attribution are evidence.
      manifest: who sent and received; what a lab did to itself is not looked at.
      evidence: witnesses and snapshots; None where there are none.
    """
    case = Case(summary, manifest, evidence if evidence is not None else Evidence())
    if not case.symptoms:
        return [_ok(summary)]
    accounts = {rule.name: _Account(rule, place) for place, rule in enumerate(RULES)}
    for symptom in case.symptoms:
        _explain(case, symptom, accounts)
    n_all = sum(symptom.n_packets for symptom in case.symptoms)
    told = [account for account in accounts.values() if account.findings]
    ranked = sorted(told, key=lambda account: (-round(account.score(n_all), 6), account.place))
    verdicts = [_verdict(account, account.score(n_all)) for account in ranked]
    return [each for k, each in enumerate(verdicts) if k == 0 or each.score >= LEAST_SHOWN][:MAX_VERDICTS]


def _explain(case: Case, symptom: Symptom, accounts: dict[str, _Account]) -> None:
    """Give each rule's finding on a symptom to its account, and the symptom to the best of them."""
    found = _findings(case, symptom, is_fallback=False)
    if not found or max(finding.score for _, finding in found) < CERTAIN:
        found += _findings(case, symptom, is_fallback=True)
    best = max((finding.score for _, finding in found), default=0.0)
    is_won = False
    for rule, finding in found:
        account = accounts[rule.name]
        account.findings.append((symptom, finding))
        if finding.score == best and not is_won:
            account.won.append((symptom, finding))
            is_won = True


def _findings(case: Case, symptom: Symptom, *, is_fallback: bool) -> list[tuple[Rule, Finding]]:
    rules = [rule for rule in RULES if symptom.kind in rule.symptoms and rule.is_fallback is is_fallback]
    told = [(rule, rule.signature(case, symptom)) for rule in rules]
    return [(rule, finding) for rule, finding in told if finding is not None and finding.score > 0]


def _verdict(account: _Account, score: float) -> Verdict:
    ours = account.won or account.findings
    _, finding = max(ours, key=lambda pair: (pair[1].score, pair[0].n_packets, -pair[0].start_ns))
    rule = account.rule
    sentence = rule.sentence.format_map(_Words(finding.values))
    if len(ours) > 1:
        sentence += f"; and {len(ours) - 1} more like it"
    missing = list(dict.fromkeys(finding.missing))
    return Verdict(
        name=rule.name,
        sentence=_begun(sentence),
        score=round(score, 3),
        evidence_for=finding.is_for,
        evidence_against=finding.is_against,
        settled_by=rule.settled_by + (f"; not known here: {'; '.join(missing)}" if missing else ""),
        remedy=rule.remedy.format_map(_Words(finding.values)),
    )


def _ok(summary: Summary) -> Verdict:
    n_streams = len(summary.streams) or len(summary.senders)
    n = sum(stream.received for stream in summary.streams) or sum(sender.sent for sender in summary.senders)
    sentence = OK.sentence if summary.streams else "No fault found: {n} packets of {streams} left as scheduled"
    sentence = sentence.format(n=f"{n:,}", streams=counted(n_streams, "stream"))
    n_lost = sum(stream.lost or 0 for stream in summary.streams)
    if n_lost:  # what a run does to itself, and the edges of a healthy run, are no symptoms
        sentence += f"; {n_lost:,} more were due while the group was not joined, or at the run's edges"
    return Verdict(name="ok", sentence=sentence)


def _begun(sentence: str) -> str:
    """Return a sentence with a capital first letter, unless it begins with a name or an address."""
    is_word = sentence.partition(" ")[0] in ("the", "receiver")
    return sentence[:1].upper() + sentence[1:] if is_word else sentence


class _Words(dict[str, str]):
    """Words of a sentence; one that is missing stands there in capitals."""

    def __missing__(self, key: str) -> str:
        return key.upper()
