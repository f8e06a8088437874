"""Outcomes of boots, and promises of syncs, from what a guest's disk holds."""

import json
import zlib
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from harness.errors import LabError
from harness.lab.guest.lab import BootSeen, Synced
from harness.lab.guest.outcome import (
    Outcome,
    broken_promises,
    campaign_results,
    outcome_of,
    read_journal,
    results,
    synced_rows,
)
from harness.lab.guest.reboots import MIXED, deaf_numbers
from harness.lab.guest.workers import WORKERS, Disturbance

MAC, OTHER = "52:54:00:4d:43:01", "52:54:00:4d:43:02"
S = 10**9


def link(mac: str = MAC) -> list[dict[str, Any]]:
    return [{"event": "link", "interface": "eth0", "interfaces": [{"name": "eth0", "mac": mac}]}]


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
def test_the_first_arrival_tells_the_outcome(arrivals: list[int], mac: str, expected: Outcome) -> None:
    events = [("join", 10 * S), ("reopen", 14 * S), ("join", 14 * S)]
    assert outcome_of(np.array(arrivals, np.int64), events, link(mac), MAC) == expected


def journal(folder: Path, *lines: dict[str, Any], tail: str = "") -> None:
    folder.mkdir(exist_ok=True)
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)


def boot(number: int) -> dict[str, Any]:
    return {"event": "boot", "number": number, "boot_id": f"id{number}", "realtime_ns": 100 * S, "boottime_ns": 4 * S}


def test_a_boot_without_a_last_word_was_interrupted(tmp_path: Path) -> None:
    over = {"event": "rebooting", "number": 2, "boot_id": "id2"}
    journal(tmp_path, boot(1), boot(2), *({**line, "boot_id": "id2"} for line in link()), over, tail='{"event": "bo')
    found = results(tmp_path, [BootSeen(1, "id1", 0, 0, 0)], MAC)
    assert [(one.number, one.boot_id, one.outcome, one.first_ns) for one in found] == [
        (1, "id1", "interrupted", None),
        (2, "id2", "silent", None),
    ]


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
    assert all(set(worker.expected) == set(MIXED) for worker in WORKERS.values())
    assert deaf_numbers(MIXED) == tuple(range(2, 21, 2))
    assert MIXED[-1] in ("healthy", "deaf")


def test_a_campaign_s_boots_are_taken_from_its_journal(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"seq": 1, "kind": "created"},
        {"seq": 2, "kind": "boot_begin", "boot": 1, "boot_id": "a"},
        {"seq": 3, "kind": "boot_end", "boot": 1, "boot_id": "a", "outcome": "ok"},
        {"seq": 4, "kind": "boot_end", "boot": 2, "boot_id": "b", "outcome": "hung"},
        {"seq": 5, "kind": "boot_begin", "boot": 3, "boot_id": "b"},
        {"seq": 6, "kind": "boot_end", "boot": 3, "boot_id": "c", "outcome": "crashed"},
    ]
    journal(tmp_path, *lines)
    found = campaign_results(tmp_path, [], MAC)
    assert [(one.number, one.boot_id, one.outcome) for one in found] == [
        (1, "a", "ok"),
        (2, "", "hung"),
        (3, "b", "crashed"),
    ]
