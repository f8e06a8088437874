"""What is rehearsed is the way that received packets go, and nothing of it is left."""

from typing import ClassVar

import numpy as np
import pytest

from harness.analyzer import Fold
from harness.model import TRAIN_DTYPE, PacketArray, TrainArray
from harness.model.scenario import Receiver, Scenario
from harness.run import rehearsal
from harness.run.plan import resolve


class Noting(Fold):
    """A fold that notes how its packets came."""

    came: ClassVar[list[tuple[bool, list[int]]]] = []

    def update(self, packets: PacketArray) -> None:
        self.came.append((False, packets["seq"].tolist()))
        super().update(packets)

    def update_trains(self, trains: TrainArray) -> None:
        assert trains.dtype == TRAIN_DTYPE
        packets = [first + place for first, n in trains[["seq", "count"]].tolist() for place in range(n)]
        self.came.append((True, packets))
        super().update_trains(trains)


def came(monkeypatch: pytest.MonkeyPatch, receivers: list[Receiver]) -> list[tuple[bool, list[int]]]:
    """Return what the analysis got in a rehearsal for these receivers: whether as trains, and the numbers."""
    monkeypatch.setattr(Noting, "came", [])
    monkeypatch.setattr(rehearsal, "Fold", Noting)
    rehearsal.rehearse(resolve(Scenario(receiver=receivers)).receivers)
    return Noting.came


def receiver(port: int, *, protocol: str = "probe", offload: bool = False) -> Receiver:
    return Receiver(groups=[f"239.1.2.3:{port}"], interface="lo", protocol=protocol, offload=offload)


def test_packets_go_one_by_one_or_as_trains_and_all_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    for offload in (False, True):
        found = came(monkeypatch, [receiver(5000, offload=offload)])
        numbers = np.concatenate([seq for _, seq in found])
        assert numbers.tolist() == list(range(len(numbers)))
        assert len(numbers) > 500
        assert [is_train for is_train, _ in found][-2:] == [offload] * 2


def test_each_kind_is_rehearsed_once_and_other_protocols_not(monkeypatch: pytest.MonkeyPatch) -> None:
    one = came(monkeypatch, [receiver(5000)])
    assert came(monkeypatch, [receiver(5000), receiver(5001)]) == one
    assert came(monkeypatch, [receiver(5000, protocol="rtp")]) == []
    assert len(came(monkeypatch, [receiver(5000), receiver(5001, offload=True)])) > len(one)
