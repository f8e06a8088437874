"""The bundle of a campaign: how often, by which variable, every boot in a figure, and the run that shows it best."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from bundle_helpers import HOST, MS, NAMES, T0, USER, V4, a_named_run, every_form, needles, unpacked

from harness.bundle import Bundle, make_bundle
from harness.bundle.campaigns import open_case
from harness.campaign.statistics import statistics
from harness.cli import main
from harness.errors import UsageError
from harness.model.boots import BootDropout, BootMeasures, CampaignSummary, RasterSpan
from harness.model.evidence_change import Change
from harness.store.documents import encode_document


def boot(number: int, address: str, outcome: str, silent_ms: int = 0) -> BootMeasures:
    dropouts = [
        BootDropout(kind="stopped", receiver="rx", group="239.255.7.7:5004", start_ns=T0, end_ns=T0 + silent_ms * MS)
    ]
    text = f"{V4} on eth0 of {HOST} went"
    change = Change(kind="address", subject=f"{V4} on eth0", before=str(V4), after=None, text=text)
    return BootMeasures(
        boot=number,
        boot_id=f"8e590248-3654-43e1-ace4-0000000000{number:02d}",
        values={"address": address, "app": f"/Users/{USER}/app"},
        outcome=outcome,  # type: ignore[arg-type] # a Literal, from the rows below
        reason=f"seen by {USER}",
        began_ns=T0,
        origin_ns=T0,
        end_ns=T0 + 2_000 * MS,
        boot_to_first_ns=4_000 * MS,
        join_to_first_ns=20 * MS,
        expected=1_000,
        received=1_000 - silent_ms,
        lost=silent_ms,
        dropouts=dropouts if silent_ms else [],
        is_cured=True if silent_ms else None,
        cure_ns=7 * MS if silent_ms else None,
        spans=[RasterSpan(kind="delivered", start_ns=T0, end_ns=T0 + 900 * MS)],
        changes_previous=[change],
        changes_good=[change],
    )


BOOTS = [
    boot(1, "dhcp", "ok"),
    boot(2, "static", "reproduced", 200),
    boot(3, "dhcp", "not_run"),
    boot(4, "static", "reproduced", 300),
    boot(5, "dhcp", "ok"),
    boot(6, "static", "ok"),
]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("campaigns") / f"night-of-{USER}"
    summary = CampaignSummary(
        name="night", planned=6, boots=BOOTS, statistics=statistics(BOOTS, ["address"]), ended="done"
    )
    for one in BOOTS:
        folder = path / "boots" / f"{one.boot:04d}"
        folder.mkdir(parents=True)
        (folder / "measures.json").write_bytes(encode_document(one))
        (folder / "environment.json").write_text(json.dumps({"host": HOST, "boot": {"boot_id": one.boot_id}}))
    a_named_run(path / "boots" / "0004" / "2-receive")
    (path / "campaign.json").write_bytes(encode_document(summary))
    (path / "journal.jsonl").write_text(
        json.dumps({"seq": 1, "kind": "created", "source": f"/home/{USER}/night.toml"}) + "\n"
    )
    return path


@pytest.fixture(scope="module")
def made(campaign: Path) -> Bundle:
    return make_bundle(campaign, is_redacted=True)


def test_the_run_with_the_longest_fault_is_shown(campaign: Path) -> None:
    assert open_case(campaign).run == campaign / "boots" / "0004" / "2-receive"


def test_frequency_and_variables_are_told_with_their_figures(made: Bundle) -> None:
    text = unpacked(made.data)["README.md"].decode().replace("\\", "")
    assert ", on 2 of 5 boots\n" in text.split("## Summary")[0]
    assert "Seen on 2 of 5 boots (40 %, 95% confidence: 5.27 % to 85.3 %)." in text
    assert "1 boot could not run, crashed or hung and tell nothing." in text
    assert "### By address" in text
    assert "| static | 2 | 3 | 0 | 66.7 % |" in text
    assert "| dhcp | 0 | 2 | 1 | 0 % |" in text
    assert "| 4 | fault seen | 4 s | 20 ms | 1 | 300 | yes after 7 ms |" in text
    assert "No variable of the campaign is a version" in text


def test_campaign_documents_and_figures_are_there(made: Bundle) -> None:
    files = unpacked(made.data)
    assert {"campaign/campaign.json", "campaign/journal.jsonl", "campaign/boots/0002/measures.json"} <= set(files)
    assert [name for name in files if name.startswith("campaign/plots/") and name.endswith(".png")]
    assert "report.html" in files
    assert json.loads(files["campaign/campaign.json"])["boots"][1]["outcome"] == "reproduced"


def test_no_canary_survives_in_a_campaign(made: Bundle) -> None:
    found = {
        (name, needle)
        for name, data in unpacked(made.data).items()
        for form in every_form(name, data)
        for needle in needles()
        if needle in form
    }
    assert found == set()
    assert not any(name in made.redacted_name for name in NAMES)
    with zipfile.ZipFile(io.BytesIO(made.data)) as archive:
        assert archive.testzip() is None


def test_a_campaign_without_recordings_or_summary_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "journal.jsonl").write_text("")
    assert main(["report", "--bundle", str(tmp_path)]) == 2
    assert f"harness campaign report {tmp_path}" in capsys.readouterr().err
    empty = CampaignSummary(name="x", planned=1, boots=[], statistics=statistics([], []))
    (tmp_path / "campaign.json").write_bytes(encode_document(empty))
    with pytest.raises(UsageError, match="no boot of the campaign has a recording"):
        make_bundle(tmp_path)
