"""Queries and reports as one receiver's interface saw them, around the time when its packets stopped."""

from __future__ import annotations

import bisect
import itertools
from dataclasses import dataclass
from functools import cached_property

from harness.model import IPAddress, Member, MembershipLink, MembershipTimeline, Querier, QuerierChange

DEFAULT_LIFETIME_NS = 260_000_000_000
"""Group membership interval of RFC 3376 8.4 with its defaults."""
DEFAULT_INTERVAL_NS = 125_000_000_000
EXACT_NS = 250_000_000
"""How exactly moments are known."""
_MIN_STEPS, _OFTEN = 3, 3
"""So many queries in a row, so many times as often as the querier itself states, belie its statement."""


@dataclass(frozen=True)
class View:
    """The timeline of one interface and one IP version, and one group's member on this host.

    Attributes:
      timeline: None where IGMP and MLD were not captured.
      link, queriers, changes: of the interface; None and [] without a query or report there.
      member: this host in the group; None when no report of it was seen.
    """

    timeline: MembershipTimeline | None
    link: MembershipLink | None
    queriers: list[Querier]
    changes: list[QuerierChange]
    member: Member | None

    @property
    def is_watched(self) -> bool:
        """Whether queries would have been seen."""
        return self.timeline is not None

    @property
    def query_ns(self) -> list[int]:
        """Times of general queries."""
        return self.link.query_ns if self.link is not None else []

    @property
    def report_ns(self) -> list[int]:
        """Times of this host's reports for the group."""
        return self.member.report_ns if self.member is not None else []

    @property
    def interval_ns(self) -> int:
        """Time between general queries: as stated, unless all of them came much more often than that."""
        return self._often_ns or (self.link.interval_ns if self.link is not None else DEFAULT_INTERVAL_NS)

    @property
    def lifetime_ns(self) -> int:
        """How long a report counts."""
        if self.link is None:
            return DEFAULT_LIFETIME_NS
        often_ns = self._often_ns
        return self.link.robustness * often_ns + self.link.max_response_ns if often_ns else self.link.lifetime_ns

    @property
    def is_lifetime_known(self) -> bool:
        """Whether a querier told its timers, or they were measured, and the two do not disagree."""
        return self.link is not None and self.link.interval_source != "default" and not self._often_ns

    @cached_property
    def _often_ns(self) -> int:
        """Lower median of the time between queries where all came much more often than stated; 0 elsewhere."""
        steps = sorted(later - earlier for earlier, later in itertools.pairwise(self.query_ns))
        if self.link is None or len(steps) < _MIN_STEPS or _OFTEN * steps[-1] > self.link.interval_ns:
            return 0
        return steps[(len(steps) - 1) // 2]

    def queries_in(self, start_ns: int, end_ns: int) -> int:
        """Return how many general queries came in a time."""
        return _within(self.query_ns, start_ns, end_ns)

    def reports_in(self, start_ns: int, end_ns: int) -> int:
        """Return how many reports this host sent for the group in a time."""
        return _within(self.report_ns, start_ns, end_ns)

    def last_query_before(self, t_ns: int) -> int | None:
        """Return the last general query before a moment; None when there was none."""
        return _before(self.query_ns, t_ns)

    def last_report_before(self, t_ns: int) -> int | None:
        """Return this host's last report for the group before a moment; None when there was none."""
        return _before(self.report_ns, t_ns)

    def was_regular_before(self, t_ns: int) -> bool:
        """Whether at least two general queries came before a moment, about one interval apart."""
        times = [each for each in self.query_ns if each <= t_ns]
        return any(later - earlier <= 1.5 * self.interval_ns for earlier, later in itertools.pairwise(times))

    def is_silent_at(self, t_ns: int) -> bool:
        """Whether at a moment no general query had come for one and a half intervals."""
        last = self.last_query_before(t_ns)
        return last is None or t_ns - last > 1.5 * self.interval_ns

    def expired_report(self, t_ns: int) -> int | None:
        """Return a report whose lifetime ended close to a moment; None when none did.

        Close: within a tenth of the lifetime, at least a response time and a second and a half.
        """
        slack_ns = max(self.lifetime_ns // 10, 1_500_000_000)
        near = [each for each in self.report_ns if abs(each + self.lifetime_ns - t_ns) <= slack_ns]
        return near[-1] if near else None

    def expired_just(self, t_ns: int) -> list[int]:
        """Return the reports whose lifetime ended right at a moment.

        A switch's timer is never early and may be late by an eighth of its time: that is the grain of the kernel's
        timer wheel, and many switches count in seconds.
        """
        latest_ns = max(EXACT_NS, self.lifetime_ns // 8)
        return [each for each in self.report_ns if -EXACT_NS <= t_ns - each - self.lifetime_ns <= latest_ns]


def view_of(
    timeline: MembershipTimeline | None, host: str, interface: str | None, group: IPAddress | None, own: set[str]
) -> View:
    """Return what concerns one interface and one group.

    Args:
      timeline: of the run; None where nobody captured.
      host: the receiver's; a run over several hosts writes "rx:eth0" or "rx/eth0".
      interface: the receiver's; None takes all of the host.
      group: the group.
      own: addresses of the host.
    """
    if timeline is None or group is None:
        return View(timeline, None, [], [], None)
    family = "IGMP" if group.version == 4 else "MLD"

    def is_ours(name: str) -> bool:
        place, _, bare = name.replace("/", ":").rpartition(":")
        return place in ("", host) and interface in (None, bare)

    links = [each for each in timeline.links if each.family == family]
    ours = [each for each in links if is_ours(each.interface)]
    names = {each.interface for each in ours}
    link = max(ours, key=lambda each: len(each.query_ns)) if ours else None
    members = [each for each in timeline.members if each.family == family and each.group == str(group)]
    mine = [each for each in members if each.host in own] if own else members[:1] if len(members) == 1 else []
    return View(
        timeline,
        link,
        [each for each in timeline.queriers if each.interface in names and each.family == family],
        [each for each in timeline.changes if each.interface in names and each.family == family],
        max(mine, key=lambda each: each.reports) if mine else None,
    )


def _within(times: list[int], start_ns: int, end_ns: int) -> int:
    return bisect.bisect_right(times, end_ns) - bisect.bisect_left(times, start_ns)


def _before(times: list[int], t_ns: int) -> int | None:
    place = bisect.bisect_right(times, t_ns)
    return times[place - 1] if place else None
