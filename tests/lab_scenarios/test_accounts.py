"""The ledger of a lab run is balanced from the record that the lab wrote, and from no other."""

from pathlib import Path

import pytest

from harness.errors import RecordError
from harness.matrix.accounts import account
from harness.store import write_document


def test_a_run_outside_a_lab_has_no_ledger(tmp_path: Path) -> None:
    assert account(tmp_path) == []


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"version": 2}, r"lab\.json: version 2 is newer than this program's 1"),
        ({"meters": {}}, r"lab\.json has no integer field `version`"),
        ({"version": 1, "metres": {}}, r"lab\.json does not fit version 1: .*metres"),
    ],
)
def test_a_record_of_another_version_is_refused(tmp_path: Path, record: dict[str, object], message: str) -> None:
    write_document(tmp_path / "lab.json", record)
    with pytest.raises(RecordError, match=message):
        account(tmp_path)
