"""Outcomes of boots, and promises of syncs, from what a guest's disk holds."""

import json
import re
import zlib
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from harness.errors import LabError
from harness.lab.guest.lab import BootSeen, Synced
from harness.lab.guest.outcome import (
    BootResult,
    Finding,
    broken_promises,
    finding_of,
    read_journal,
    results,
    synced_rows,
)
from harness.lab.guest.reboots import MIXED, Row, deaf_numbers, journal_problems
from harness.lab.guest.work import EXPECTED, Disturbance
from harness.model.boots import Outcome

MAC, OTHER = "52:54:00:4d:43:01", "52:54:00:4d:43:02"
S = 10**9


@pytest.mark.parametrize(
    ("arrivals", "mac", "expected"),
    [
        ([10 * S + 1], MAC, "heard"),
        ([11 * S + 1], MAC, "late"),
        ([14 * S], MAC, "deaf-until-reopened"),
        ([13 * S, 15 * S], MAC, "late"),
        ([], OTHER, "joined-wrong-interface"),
        ([], MAC, "silent"),
    ],
)
def test_the_first_arrival_tells_what_was_heard(arrivals: list[int], mac: str, expected: Finding) -> None:
    events = [("join", 10 * S), ("reopen", 14 * S), ("join", 14 * S)]
    assert finding_of(np.array(arrivals, np.int64), events, mac, MAC) == expected


def journal(folder: Path, *lines: dict[str, Any], tail: str = "") -> None:
    folder.mkdir(exist_ok=True)
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)


def test_a_journal_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"event": "boot"}\nnonsense\n{}\n')
    with pytest.raises(LabError, match="journal"):
        read_journal(tmp_path / "journal.jsonl")


def claim(path: str, data: bytes) -> Synced:
    return Synced(path, len(data), zlib.crc32(data))


def test_a_synced_byte_that_is_missing_or_differs_is_found(tmp_path: Path) -> None:
    data = tmp_path / "campaign"
    data.mkdir()
    (data / "kept").write_bytes(b"abcdef")
    (data / "short").write_bytes(b"ab")
    (data / "other").write_bytes(b"abX")
    claims = [claim(f"/data/campaign/{name}", b"abc") for name in ("kept", "short", "other", "gone", "x.tmp")]
    claims.append(claim("/data/guest/elsewhere", b"abc"))
    assert broken_promises(data, claims) == [
        "/data/campaign/short: 3 bytes were synced, 2 are there",
        "/data/campaign/other: the first 3 bytes are not those that were synced",
        "/data/campaign/gone: 3 bytes were synced, 0 are there",
    ]
    assert broken_promises(data, claims[:1]) == []


def test_the_rows_of_a_recording_that_is_gone_are_counted_as_promised(tmp_path: Path) -> None:
    run = tmp_path / "campaign" / "boots" / "0001"
    run.mkdir(parents=True)
    lines = b'{"first":0,"rows":5}\n{"first":5,"rows":7}\n'
    (run / "packets.crc").write_bytes(lines)
    claims = [Synced("/data/campaign/boots/0001/packets.crc", size, 0) for size in (21, len(lines), 21)]
    assert synced_rows(tmp_path / "campaign", claims) == {"boots/0001": (12, 0)}


def test_the_mixed_plan_is_what_it_is_meant_to_be() -> None:
    counted = [one for one in MIXED if one != "hang"]
    assert len(counted) == 20
    assert sum(one.startswith("cut") for one in MIXED) == 3
    assert set(MIXED) == set(get_args(Disturbance))
    assert set(EXPECTED) == set(MIXED)
    assert deaf_numbers(MIXED) == tuple(range(2, 21, 2))
    assert MIXED[-1] in ("healthy", "deaf")


def test_a_campaign_s_boots_are_taken_from_its_journal(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"seq": 1, "kind": "created"},
        {"seq": 2, "kind": "boot_begin", "boot": 1, "boot_id": "a"},
        {"seq": 3, "kind": "boot_end", "boot": 1, "boot_id": "a", "outcome": "reproduced"},
        {"seq": 4, "kind": "boot_end", "boot": 2, "boot_id": "b", "outcome": "hung"},
        {"seq": 5, "kind": "boot_begin", "boot": 3, "boot_id": "b"},
        {"seq": 6, "kind": "boot_end", "boot": 3, "boot_id": "c", "outcome": "crashed"},
        {"seq": 7, "kind": "boot_begin", "boot": 4, "boot_id": "c"},
    ]
    journal(tmp_path, *lines, tail='{"seq": 8, "ki')
    own = tmp_path / "boots" / "0001"
    own.mkdir(parents=True)
    (own / "environment.json").write_text(json.dumps({"interfaces": {"eth0": {"mac": OTHER}}}))
    found = results(tmp_path, [BootSeen(1, "a", 0, 0, 0)], MAC)
    assert [(one.number, one.boot_id, one.outcome, one.finding, one.first_ns) for one in found] == [
        (1, "a", "reproduced", "joined-wrong-interface", None),
        (2, "", "hung", "", None),
        (3, "b", "crashed", "", None),
    ]


@pytest.mark.parametrize(
    ("disturbance", "outcome", "finding", "is_right"),
    [
        ("deaf", "reproduced", "deaf-until-reopened", True),
        ("deaf", "reproduced", "late", False),
        ("deaf", "ok", "deaf-until-reopened", False),
        ("hang", "hung", "", True),
        ("hang", "crashed", "", False),
    ],
)
def test_a_verdict_is_right_only_for_the_right_reason(
    disturbance: Disturbance, outcome: Outcome, finding: Finding, is_right: bool
) -> None:
    assert Row(disturbance, BootResult(1, "a", outcome, finding, None, 0)).is_right is is_right


@pytest.mark.parametrize(
    ("numbers", "ids", "kept"),
    [
        ([1, 2, 3], ["a", "", "c"], ""),
        ([1, 2], ["a", "c"], "of 3 boots the journal has 2"),
        ([1, 1, 2], ["a", "", "c"], r"numbered \[1, 1, 2\]"),
        ([1, 2, 3], ["a", "a", "c"], "share a boot id"),
        ([1, 2, 3], ["c", "", "a"], "not those that the kernels told"),
    ],
)
def test_every_boot_is_in_the_journal_once(numbers: list[int], ids: list[str], kept: str) -> None:
    found = [BootResult(number, one, "ok", "heard", None, 0) for number, one in zip(numbers, ids, strict=True)]
    problems = journal_problems(found, [BootSeen(1, "a", 0, 0, 0), BootSeen(2, "c", 0, 0, 0)], 3)
    assert bool(problems) == bool(kept)
    assert not kept or any(re.search(kept, problem) for problem in problems)
