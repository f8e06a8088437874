"""JUnit XML: well-formed whatever the names, a case for each limit and stream, from every command that has --junit."""

from __future__ import annotations

import importlib
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli import main
from harness.errors import StorageError
from harness.limits import junit_xml, write_junit
from harness.model import Parameters, StreamSummary, Summary
from harness.model.scenario import Expect

sys.path.append(str(Path(__file__).parent.parent / "plots"))
samples: Any = importlib.import_module("summary_samples")

EVIL = "<failure>]]>&\"'\x00\x1b[31m\n\ud800\uffff\U0001f4a5 é"


def stream(**changes: Any) -> StreamSummary:
    made: StreamSummary = samples.simulate(samples.Recipe(n=500))
    return msgspec.structs.replace(made, **changes)


def summary(*streams: StreamSummary) -> Summary:
    return Summary(path="results/a", parameters=Parameters(), streams=list(streams))


def test_a_case_for_each_limit_and_stream_with_outcome_and_figures() -> None:
    found = summary(
        stream(label="a", loss_ratio=0.5), stream(label="b", loss_ratio=0.0), stream(label="c", loss_ratio=None)
    )
    root = ET.fromstring(junit_xml(found, Expect(profile="default", max_loss="1%", streams=3), profile="default"))
    (suite,) = root
    assert suite.tag == "testsuite"
    assert suite.attrib["name"] == "limits default"
    cases = {(case.get("classname"), case.get("name")): case for case in suite.iter("testcase")}
    assert len(cases) == 5 * 3 + 1  # the profile's limits on each stream, and one on the whole
    failure = cases["a", "max_loss"].find("failure")
    assert failure is not None
    assert failure.get("message") == "max_loss: measured 50 %, limit 1%"
    assert cases["b", "max_loss"].find("failure") is None
    assert cases["b", "max_loss"].find("skipped") is None
    skipped = cases["c", "max_loss"].find("skipped")
    assert skipped is not None
    assert "undefined" in (skipped.get("message") or "")
    assert ("whole run", "streams") in cases
    for element in (root, suite):
        assert (element.get("tests"), element.get("failures"), element.get("errors")) == ("16", "1", "0")
        assert element.get("skipped") == str(sum(case.find("skipped") is not None for case in cases.values()))
    properties = {item.get("name"): item.get("value") for item in suite.iter("property")}
    assert properties == {"run": "results/a", "profile": "default"}


def test_streams_of_one_label_are_told_apart() -> None:
    root = ET.fromstring(junit_xml(summary(stream(label="a"), stream(label="a")), Expect(max_loss="1%")))
    assert [case.get("name") for case in root.iter("testcase")] == ["max_loss", "max_loss (2)"]


def test_no_limit_makes_an_empty_suite() -> None:
    root = ET.fromstring(junit_xml(summary(stream()), Expect()))
    assert root.get("tests") == "0"
    assert list(root.iter("testcase")) == []


def test_hostile_names_stay_inside_their_attributes() -> None:
    found = summary(stream(label=EVIL, loss_ratio=0.5))
    document = junit_xml(found, Expect(max_loss="1%", verdict=EVIL), path=EVIL, profile=EVIL)
    root = ET.fromstring(document)
    assert len(list(root.iter("failure"))) == 2
    (case, _) = root.iter("testcase")
    assert "<failure>]]>&\"'" in (case.get("classname") or "")
    assert "\x1b" not in document.decode()


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(), max_size=30))
def test_every_label_makes_a_well_formed_document(label: str) -> None:
    root = ET.fromstring(junit_xml(summary(stream(label=label)), Expect(max_loss="1%"), path=label))
    assert len(list(root.iter("testcase"))) == 1


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot write .*ENOENT"):
        write_junit(tmp_path / "none" / "x.xml", summary(), Expect())


SCENARIO = """
name = "small"
linger = "100ms"
[[stream]]
group = "239.255.84.7:5087"
interface = "127.0.0.1"
rate = "500pps"
duration = "400ms"
[stream.impair]
dropouts = [{ at = "200ms", lasts = "100ms" }]
seed = 1
[[receiver]]
groups = ["239.255.84.7:5087"]
interface = "127.0.0.1"
[expect]
profile = "default"
max_loss = "60%"
max_dropout = "150ms"
"""


def failed(path: Path) -> set[str | None]:
    return {case.get("name") for case in ET.parse(path).iter("testcase") if case.find("failure") is not None}


def test_run_and_analyze_write_the_limits_that_they_judged_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario, run = tmp_path / "small.toml", tmp_path / "run"
    scenario.write_text(SCENARIO)
    first, again, harder = (tmp_path / name for name in ("first.xml", "again.xml", "harder.xml"))
    assert main(["run", str(scenario), "--output", str(run), "--junit", str(first)]) == 0
    assert failed(first) == set()
    assert len(list(ET.parse(first).iter("testcase"))) == 5
    assert {item.get("value") for item in ET.parse(first).iter("property")} == {str(run)}
    assert main(["analyze", str(run), "--junit", str(again)]) == 0
    assert again.read_bytes() == first.read_bytes()
    assert main(["analyze", str(run), "--profile", "default", "--junit", str(harder)]) == 1
    assert failed(harder) >= {"max_loss"}
    assert "FAILED" in capsys.readouterr().out


def test_receive_has_the_option_and_an_empty_suite_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "j.xml"
    command = ["receive", "239.255.84.7:5088", "--interface", "127.0.0.1", "--duration", "50ms"]
    assert main([*command, "--output", str(tmp_path / "r"), "--junit", str(target), "--json"]) == 0
    assert ET.parse(target).getroot().get("tests") == "0"
    assert "no limit was asked for" in capsys.readouterr().err
