"""A run for people: one sentence, plain tables for a terminal, `report.html` and `report.md`.

The page is one file with everything inline, and asks the network for nothing; the Markdown fits an issue tracker.
Every figure comes from the Summary as it stands; text from the network or the user is escaped everywhere.
"""

from harness.report.headline import Status, headline, only_sent, status
from harness.report.text import format_table
from harness.report.write import write_report

__all__ = ["Status", "format_table", "headline", "only_sent", "status", "write_report"]
