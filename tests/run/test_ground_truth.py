"""The report agrees with what really happened, packet for packet: 20 streams, 20 seeds, one run over real sockets."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.analysis import analyze_recording
from harness.model import PacketFlag, StreamSummary, Summary
from harness.model.scenario import Dropout, Impair, Receiver, Scenario, Stream
from harness.run import Run, perform
from harness.store import open_run
from harness.traffic import Truth

N_SEEDS, COUNT = 20, 600
INTERVAL_NS = 2_000_000


def make_scenario() -> Scenario:
    random = np.random.default_rng(11)
    streams = []
    for seed in range(N_SEEDS):
        starts = sorted(random.choice(10, size=int(random.integers(0, 4)), replace=False).tolist())
        streams.append(
            Stream(
                group=f"239.255.78.{seed + 1}:5078",
                interface="127.0.0.1",
                rate="500pps",
                size="100",
                count=COUNT,
                stream=seed,
                pattern=True,
                impair=Impair(
                    loss=f"{random.choice([0, 0.5, 3])}%",
                    duplicate=f"{random.choice([0, 1, 5])}%",
                    reorder=f"{random.choice([0, 1, 5])}%",
                    corrupt=f"{random.choice([0, 1])}%",
                    displacement=int(random.integers(1, 9)),
                    dropouts=[
                        Dropout(at=f"{start * 120}ms", lasts=f"{int(random.integers(2, 100))}ms") for start in starts
                    ],
                    seed=seed,
                ),
            )
        )
    receiver = Receiver(groups=[stream.group for stream in streams], interface="127.0.0.1", buffer="4MB")
    return Scenario(name="truth", stream=streams, receiver=[receiver], linger="100ms")


@pytest.fixture(scope="module")
def performed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary, dict[int, Truth], dict[int, int]]:
    runs: list[Run] = []
    path = tmp_path_factory.mktemp("truth") / "run"
    outcome = perform(make_scenario(), output=path, command=["harness"], on_start=runs.append)
    assert (outcome.reason, outcome.error) == ("complete", None)
    truths = {sending.plan.stream_id: sending.impairment.truth for sending in runs[0].sendings if sending.impairment}
    started = {sending.plan.stream_id: runs[0].started_ns for sending in runs[0].sendings}
    return path, analyze_recording(path), truths, started


def runs_of(numbers: set[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each run of consecutive numbers: the slow, obvious way."""
    for number in sorted(numbers):
        if number - 1 not in numbers:
            last = number
            while last + 1 in numbers:
                last += 1
            yield number, last


def stream_of(summary: Summary, stream_id: int) -> StreamSummary:
    (stream,) = [stream for stream in summary.streams if stream.stream_id == stream_id]
    return stream


@pytest.mark.parametrize("seed", range(N_SEEDS))
class TestStream:
    def test_same_packets_are_missing(
        self, performed: tuple[Path, Summary, dict[int, Truth], dict[int, int]], seed: int
    ) -> None:
        path, summary, truths, _ = performed
        stream, truth = stream_of(summary, seed), truths[seed]
        good_copies = [number for number in truth.emitted if number not in set(truth.corrupted)]
        missing = set(range(COUNT)) - set(good_copies)
        assert stream.expected == COUNT
        assert stream.lost == len(missing)
        assert stream.received == COUNT - len(missing)
        rows = np.concatenate([rows[rows["stream"] == stream.number] for rows in open_run(path).packets()])
        is_numbered = (rows["flags"] & (PacketFlag.CORRUPT | PacketFlag.END)) == 0
        assert rows["seq"][is_numbered].tolist() == good_copies

    def test_same_duplicates_and_corrupt(
        self, performed: tuple[Path, Summary, dict[int, Truth], dict[int, int]], seed: int
    ) -> None:
        _, summary, truths, _ = performed
        stream, truth = stream_of(summary, seed), truths[seed]
        corrupted = set(truth.corrupted)
        assert stream.duplicates == len([number for number in truth.duplicated if number not in corrupted])
        assert stream.corrupt == len([number for number in truth.emitted if number in corrupted])

    def test_same_packets_are_reordered(
        self, performed: tuple[Path, Summary, dict[int, Truth], dict[int, int]], seed: int
    ) -> None:
        _, summary, truths, _ = performed
        stream, truth = stream_of(summary, seed), truths[seed]
        seen: list[int] = []
        extents = []
        for number in truth.emitted:
            if number in truth.corrupted or number in seen:
                continue
            if seen and number < max(seen):
                first_larger = next(place for place, other in enumerate(seen) if other > number)
                extents.append(len(seen) - first_larger)
            seen.append(number)
        assert stream.reordered == len(extents)
        assert stream.reordering is not None
        assert stream.reordering.extent_max == max(extents, default=None)

    def test_windows_stand_where_the_gaps_were(
        self, performed: tuple[Path, Summary, dict[int, Truth], dict[int, int]], seed: int
    ) -> None:
        _, summary, truths, started = performed
        stream, truth = stream_of(summary, seed), truths[seed]
        missing = set(range(COUNT)) - {number for number in truth.emitted if number not in set(truth.corrupted)}
        expected = [
            (first, last, started[seed] + first * INTERVAL_NS, started[seed] + (last + 1) * INTERVAL_NS)
            for first, last in runs_of(missing)
            if last - first + 1 >= 3
        ]
        found = [(window.first_seq, window.last_seq, window.start_ns, window.end_ns) for window in stream.windows]
        assert found == expected
        in_windows = sum(window.packets or 0 for window in stream.windows)
        in_thinning = sum(thinning.lost for thinning in stream.thinning)
        assert stream.isolated is not None
        assert stream.edge is not None
        assert stream.lost == in_windows + in_thinning + stream.isolated + stream.edge


def test_truth_file_names_every_probe_that_was_touched(
    performed: tuple[Path, Summary, dict[int, Truth], dict[int, int]],
) -> None:
    path, _, truths, _ = performed
    records = [json.loads(line) for line in (path / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    for stream_id, truth in truths.items():
        mine = [record for record in records if record["stream"] == stream_id]
        assert [record["seq"] for record in mine if record["did"] == "dropped"] == truth.dropped
        assert len(mine) == len(list(truth.records()))


def test_own_buffer_lost_nothing(performed: tuple[Path, Summary, dict[int, Truth], dict[int, int]]) -> None:
    _, summary, _, _ = performed
    assert summary.socket_drops == 0
    assert len(summary.streams) == N_SEEDS
