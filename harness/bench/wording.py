"""A bench for people: goal, measured, reached, and below it every tool's median."""

from __future__ import annotations

from harness.model.bench import BenchFigure, BenchResult, BenchRow
from harness.units import format_duration, format_scaled


def format_bench(result: BenchResult) -> str:
    """Return the table, the medians and what they rest on, as plain text."""
    head = ("discipline", "goal", "measured", "reached")
    rows = [head, *((row.key, row.goal, row.measured, _reached(row)) for row in result.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.append("")
    for row in result.rows:
        figures = ", ".join(f"{figure.tool} {value_text(row, figure)}" for figure in row.figures)
        lines.append(f"{row.key}: {row.what}: {figures}" + "".join(f" ({note})" for note in row.notes))
    tools = ", ".join(f"{name} {version}" for name, version in result.tools.items()) or "none"
    load = " to ".join(f"{value:.1f}" for value in result.load)
    lines += [
        "",
        f"{result.place}, {result.rounds} rounds, medians; receive buffer {format_scaled(result.buffer_bytes, 'B')}"
        f" for all; {result.kernel}, {result.n_cpus} CPUs, load {load}; peers: {tools}",
        *(f"Note: {name} did not take part: {why}" for name, why in result.absent.items()),
        *(f"Note: {note}" for note in result.notes),
    ]
    if result.is_quick:
        lines.append("Note: quick mode: one short round each; the figures show that it works, not how fast it is")
    return "\n".join(lines)


def value_text(row: BenchRow, figure: BenchFigure) -> str:
    """Return a median with its unit, and why there is none."""
    if figure.median is None:
        return f"n/a ({figure.note})" if figure.note else "n/a"
    if row.unit == "ns":
        text = format_duration(figure.median)
    elif row.unit in ("pps", "B"):
        text = format_scaled(figure.median, row.unit)
    else:
        text = f"{figure.median:,.0f}"
    return f"{text} ({figure.note})" if figure.note else text


def _reached(row: BenchRow) -> str:
    return "n/a" if row.is_reached is None else "yes" if row.is_reached else "NO"
