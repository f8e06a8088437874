"""What a rule says of a symptom: a score of weighed evidence, and the evidence as sentences; and the rule's row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.diagnosis.case import Case
    from harness.diagnosis.symptoms import Symptom, SymptomKind


@dataclass(frozen=True)
class Finding:
    """A rule's word on one symptom.

    Attributes:
      score: 0 to 1.
      is_for, is_against: evidence as sentences, with figures and times.
      missing: what would have been evidence, and is not there.
      values: what the rule's sentence is filled with.
    """

    score: float
    is_for: list[str]
    is_against: list[str]
    missing: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)


class Weighing:
    """Adds evidence up: the score is the weight of what holds over all weights, times a factor per contradiction.

    >>> weighing = Weighing()
    >>> weighing.add(3, True, yes="the tap saw 60 packets").add(1, None, unknown="no twin").result().score
    0.75
    >>> weighing.add(2, False, no="the second socket heard it", factor=0.5).result().score
    0.25
    """

    def __init__(self, **values: str) -> None:
        self._whole = self._held = 0.0
        self._factor = 1.0
        self._finding = Finding(0.0, [], [], [], values)

    def add(
        self, weight: float, holds: bool | None, *, yes: str = "", no: str = "", unknown: str = "", factor: float = 1.0
    ) -> Weighing:
        """Add one piece of evidence.

        Args:
          weight: how much it says, beside the others.
          holds: None when nobody can tell: that leaves its weight out of what holds.
          yes: the sentence for when it holds; "" says nothing.
          no: for when it does not.
          unknown: what nobody can tell.
          factor: what the score is multiplied by when it does not hold; 1 when its absence does not contradict.
        """
        self._whole += weight
        if holds:
            self._held += weight
        elif holds is False:
            self._factor *= factor
        place = self._finding.missing if holds is None else self._finding.is_for if holds else self._finding.is_against
        text = unknown if holds is None else yes if holds else no
        if text:
            place.append(text)
        return self

    def say(self, **values: str) -> None:
        """Set words of the sentence."""
        self._finding.values.update(values)

    def result(self, ceiling: float = 1.0) -> Finding:
        """Return the finding; `ceiling` is the score of a rule that has all its evidence."""
        share = self._held / self._whole if self._whole else 0.0
        told = self._finding
        return Finding(ceiling * share * self._factor, told.is_for, told.is_against, told.missing, told.values)


def counted(n: int, noun: str) -> str:
    """Return a number with its noun, for a sentence.

    >>> counted(1, "packet"), counted(1300, "packet"), counted(2, "query")
    ('1 packet', '1,300 packets', '2 queries')
    """
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{n:,} {noun if n == 1 else many}"


Signature = Callable[["Case", "Symptom"], Finding | None]


@dataclass(frozen=True)
class Rule:
    """One cause.

    Attributes:
      name: of the verdict.
      sentence: what it says, a template over {group}, {receiver}, {interface} and a finding's own values.
      symptoms: what it can explain.
      signature: weighs the evidence for one symptom; None when the cause is out of the question.
      evidence: its signature in words, for people.
      settled_by: what would decide it.
      remedy: what to do.
      source: standard, manual page or measurement that it rests on.
      is_fallback: speaks only where no other rule explains the symptom.
    """

    name: str
    sentence: str
    symptoms: frozenset[SymptomKind]
    signature: Signature
    evidence: str
    settled_by: str
    remedy: str
    source: str
    is_fallback: bool = False
