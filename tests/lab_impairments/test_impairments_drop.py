"""Drops on a real switch: what is lost, who sees it, what is counted, and nothing stays."""

import errno
from collections.abc import Iterator

import pytest
from impairment_lab import GROUP4, GROUP6, PORT, SwitchLab, conversation
from netns import require_lab

from harness.lab.impairments import apply
from harness.model.lab import Drop

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def module_lab() -> Iterator[SwitchLab]:
    require_lab()
    lab = SwitchLab()
    yield lab
    lab.remove()


@pytest.fixture
def lab(module_lab: SwitchLab) -> Iterator[SwitchLab]:
    module_lab.log.clear()
    yield module_lab
    assert module_lab.rules() == ""


@pytest.mark.parametrize("group", [GROUP4, GROUP6])
@pytest.mark.parametrize(
    ("side", "direction", "tx_tap_sees", "rx_tap_sees", "refusal"),
    [
        ("network", "in", True, False, 0),
        ("host", "in", True, True, 0),
        ("network", "out", True, False, 0),
        ("host", "out", False, False, errno.EPERM),
    ],
)
async def test_drop_loses_all_before_it_is_undone_and_taps_see_what_they_would(
    lab: SwitchLab, side: str, direction: str, tx_tap_sees: bool, rx_tap_sees: bool, refusal: int, group: str
) -> None:
    at = "rx:eth0" if direction == "in" else "tx:eth0"
    with conversation(lab, group) as (speaker, listener, tx_tap, rx_tap):
        speaker.say(range(3))
        assert listener.heard() == tx_tap.seen() == rx_tap.seen() == [0, 1, 2]
        drop = Drop(at=at, side=side, direction=direction, group=group, port=PORT)  # type: ignore[arg-type]  # parametrised
        applied = await apply(drop, lab, seed=1, log=lab.log.append)
        assert [speaker.errno(number) for number in range(3, 8)] == [refusal] * 5
        assert listener.heard() == []
        assert bool(tx_tap.seen()) is tx_tap_sees
        assert bool(rx_tap.seen()) is rx_tap_sees
        assert await applied.counted() == {"dropped udp": 5}
        await applied.undo()
        speaker.say(range(8, 10))
        assert listener.heard() == [8, 9]
        assert await applied.counted() == {"dropped udp": 5}
        await applied.undo()
