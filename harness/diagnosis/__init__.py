"""Evidence and Summary -> ranked verdicts, each cause one row of a table.

A run is cut into symptoms: every drop-out, the losses outside drop-outs, refusals. Each rule weighs its evidence for
each symptom by itself. What holds adds its weight; what nobody can tell adds nothing, and is named; what contradicts
multiplies the score by a factor below one. So

    score of a rule for a symptom = sum of weights that hold / sum of all weights * product of contradictions' factors.

The rule with the best score wins the symptom. A rule's score is its best one, times 0.4 to 1 by the share of all
missing packets that it explains, times 0.5 when it won no symptom: the winner explains it away. Two causes that each
win a symptom therefore both stand high. Where no cause reaches 0.3, the fallbacks speak: "network-outage" when the tap
was silent, else "cannot-tell" with what is missing. A run without symptoms is "ok" and nothing else.

`symptoms` what is to be explained, `case` the questions that rules ask, `snapshots`, `witnesses`, `igmp`, `elsewhere`,
`allotment` and `egress` the answers, `finding` weighing, `rules` the table, `rank` the order, `catalogue` the table for
readers.
"""

from harness.diagnosis.catalogue import Cause, catalogue
from harness.diagnosis.rank import diagnose

__all__ = ["Cause", "catalogue", "diagnose"]
