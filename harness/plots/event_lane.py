"""Events of a run as labelled vertical lines: which are drawn, and at which level their labels find room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from harness.model import Event
from harness.plots import style
from harness.plots.clock_axis import QUIET, Frame
from harness.plots.wording import duration, plain, plural

_LEVELS = 4
_CHAR_IN = 0.062
_LOOKS = {
    "join": (style.GREEN, "-"),
    "leave": (style.GREEN, "--"),
    "reopen": (style.GREEN, "-."),
    "link": (style.VERMILLION, "--"),
    "errno": (style.VERMILLION, ":"),
    "overflow": (style.VERMILLION, "-."),
    "boot": (style.INK, "-"),
    "clock_step": (style.PURPLE, "-"),
    "note": (style.FAINT, "--"),
}
_ORDER = ["boot", "link", "reopen", "clock_step", "join", "leave", "note", "errno", "overflow"]


@dataclass(frozen=True)
class Label:
    """One line with its label: position in seconds, level 0 at the top (None: no room), text, kind."""

    x: float
    level: int | None
    text: str
    kind: str


@dataclass(frozen=True)
class Lane:
    """The labels of a figure's events.

    Attributes:
      labels: in the order of their importance.
      levels: how many lines of text they take.
      omitted: a sentence about events that are not drawn or have no label; "" when there is none.
    """

    labels: list[Label]
    levels: int
    omitted: str


def lane_of(events: Sequence[Event], frame: Frame) -> Lane:
    """Choose what to draw: events of one kind within a hundredth of the axis share a line."""
    wanted = [event for event in events if event.kind not in QUIET]
    inside = [event for event in wanted if frame.holds(event.t_ns)]
    groups: dict[tuple[str, int], list[Event]] = {}
    cell = max(1, (frame.end_ns - frame.start_ns) // 100)
    for event in sorted(inside, key=lambda event: event.t_ns):
        groups.setdefault((event.kind, (event.t_ns - frame.start_ns) // cell), []).append(event)
    rank = {kind: place for place, kind in enumerate(_ORDER)}
    ordered = sorted(groups.values(), key=lambda group: (rank.get(group[0].kind, 99), group[0].t_ns))
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_LEVELS)]
    labels = [_place(group, frame, taken) for group in ordered[:200]]
    bare = sum(label.level is None for label in labels)
    sentences = [f"{plural(bare, 'event')} drawn without a label"] if bare else []
    if len(ordered) > len(labels):
        sentences.append(f"{plural(len(ordered) - len(labels), 'event')} not drawn")
    outside = [event for event in wanted if not frame.holds(event.t_ns)]
    sentences += [_outside(event, frame) for event in outside[:3]]
    if len(outside) > 3:
        sentences.append(f"{plural(len(outside) - 3, 'event')} more outside the axis")
    levels = sum(bool(level) for level in taken)
    return Lane(labels, levels, f"Events: {'; '.join(sentences)}" if sentences else "")


def _place(group: list[Event], frame: Frame, taken: list[list[tuple[float, float]]]) -> Label:
    event = group[0]
    named = event.text if event.text.startswith(event.kind) else f"{event.kind}: {event.text}".removesuffix(": ")
    receiver = f" at {event.receiver}" if event.receiver else ""
    others = f" and {len(group) - 1} more" if len(group) > 1 else ""
    text = plain(f"{named}{receiver}", 56 - len(others)) + others
    x = frame.at(event.t_ns)
    per_char = _CHAR_IN * frame.span_s / style.PLOT_IN
    width = (len(text) + 2) * per_char
    left = x if x + width <= frame.span_s else x - width
    for level, spans in enumerate(taken):
        if all(left >= end or left + width <= begin for begin, end in spans):
            spans.append((left, left + width))
            return Label(x, level, text, event.kind)
    return Label(x, None, text, event.kind)


def _outside(event: Event, frame: Frame) -> str:
    before = event.t_ns < frame.origin_ns
    distance = frame.origin_ns - event.t_ns if before else event.t_ns - frame.end_ns
    return f"{plain(event.kind, 20)} {duration(distance)} {'before the start' if before else 'after the end'}"


def draw_events(axes: Axes, lane: Lane, lane_in: float, bottom_in: float) -> None:
    """Draw the lines from their labels down to the bottom, into an axes whose y is inches from its top."""
    right = axes.get_xlim()[1]
    per_char = _CHAR_IN * right / style.PLOT_IN
    for label in lane.labels:
        colour, dashes = _LOOKS.get(label.kind, (style.FAINT, ":"))
        y = lane_in if label.level is None else 0.02 + 0.17 * label.level
        axes.plot([label.x, label.x], [y, bottom_in], color=colour, linestyle=dashes, linewidth=1.1, zorder=6)
        if label.level is None:
            continue
        is_left = label.x + (len(label.text) + 2) * per_char > right
        axes.annotate(
            label.text,
            (label.x, y),
            xytext=(-3 if is_left else 3, -1),
            textcoords="offset points",
            ha="right" if is_left else "left",
            va="top",
            fontsize=7.5,
            color=style.INK,
        )
