"""What a switch that lets itself be read said of itself: who asks for members, and which ports want a group."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.witness import SwitchSample


def asks(samples: Sequence[SwitchSample], start_ns: int, end_ns: int) -> bool | None:
    """Return whether it was the querier, or knew one, all through a time; None when it says nothing of that.

    >>> asks([SwitchSample(t_ns=5, switch="sw", settings={"mcast_querier": 1})], 0, 9), asks([], 0, 9)
    (True, None)
    """
    known = [told for each in samples if start_ns <= each.t_ns <= end_ns if (told := _asks(each)) is not None]
    return all(known) if known else None


def forgot(samples: Sequence[SwitchSample], group: str, start_ns: int, end_ns: int) -> bool | None:
    """Return whether it had fewer ports for a group at some moment of a time than before; None without a sample in it.

    >>> before = SwitchSample(t_ns=1, switch="sw", members={"239.1.1.1": ["p1"]})
    >>> within = SwitchSample(t_ns=5, switch="sw")
    >>> forgot([before, within], "239.1.1.1", 4, 9), forgot([before], "239.1.1.1", 4, 9)
    (True, None)
    """
    before = [_ports(each, group) for each in samples if each.t_ns < start_ns]
    within = [_ports(each, group) for each in samples if start_ns <= each.t_ns < end_ns]
    return min(within) < max([1, *before]) if within else None


def _asks(sample: SwitchSample) -> bool | None:
    value = next((value for key, value in sample.settings.items() if key.endswith("querier")), None)
    if value is not None:
        return str(value).lower() in ("1", "true", "on") or bool(sample.querier)
    return True if sample.querier else None


def _ports(sample: SwitchSample, group: str) -> int:
    return sum(len(ports) for key, ports in sample.members.items() if group == key.partition("%")[0].partition(" ")[0])
