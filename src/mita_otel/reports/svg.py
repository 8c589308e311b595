"""Draws plots as inline SVG that stretches to the width of the page. Labels are HTML, so they keep their size.

Colours are CSS classes. The style sheet defines them for light, dark and print.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final

from markupsafe import Markup, escape

WIDTH: Final = 1000
HEIGHT: Final = 300
_STEPS: Final = (1, 2, 2.5, 5, 10)
_TICKS: Final = 4
_SMALLEST: Final = 1e-300
"""Smaller values count as 0: their quarter may underflow."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line. None interrupts it."""

    css: str
    values: Sequence[float | None]
    titles: Sequence[str]
    """Tooltip of each point."""


@dataclass(frozen=True, slots=True)
class Stack:
    """One layer of stacked columns."""

    css: str
    values: Sequence[float]
    titles: Sequence[str]


@dataclass(frozen=True, slots=True)
class Band:
    """A part of the width without measurements."""

    left: float
    """Fraction of the width, 0 to 1."""
    right: float
    title: str


def scale(largest: float, *, whole: bool = False) -> list[float]:
    """Return round values for an axis, from 0 to at least `largest`; with `whole`, whole numbers."""
    if largest < _SMALLEST:
        return [0.0, 1.0]
    rough = largest / _TICKS
    power = 10 ** floor(log10(rough))
    step = next(one * power for one in _STEPS if one * power >= rough * (1 - 1e-9))
    if whole:
        step = float(ceil(step * (1 - 1e-9)))
    return [step * number for number in range(ceil(largest / step * (1 - 1e-9)) + 1)]


def lines(
    found: Sequence[Line], limits: Sequence[float], axis: Sequence[float], bands: Sequence[Band] = ()
) -> Markup:
    """Return lines over time, with limits as dashed horizontal lines and bands where nothing was measured."""
    top = axis[-1]
    parts = [*map(_band, bands), _grid(axis), *(_across(limit, top) for limit in limits)]
    for line in found:
        parts += _line(line, top)
    return _svg(parts)


def columns(stacks: Sequence[Stack], axis: Sequence[float], bands: Sequence[Band] = ()) -> Markup:
    """Return stacked columns over time, with bands where nothing was measured."""
    top = axis[-1]
    parts = [*map(_band, bands), _grid(axis)]
    count = max((len(stack.values) for stack in stacks), default=0)
    bottoms = [0.0] * count
    for stack in stacks:
        for index, value in enumerate(stack.values):
            if value:
                parts.append(_column(stack, index, count, bottoms[index], value, top))
                bottoms[index] += value
    return _svg(parts)


def bar(shares: Sequence[tuple[str, float, str]]) -> Markup:
    """Return a bar with several parts.

    Args:
        shares: CSS class, fraction of the width (0 to 1) and tooltip of each part.
    """
    parts, at = [], 0.0
    for css, share, title in shares:
        width = max(share * WIDTH, 2.0 if share else 0.0)
        rect = Markup(
            '<rect class="fill {}" x="{:.1f}" y="0" width="{:.1f}" height="10"><title>{}</title></rect>'
        )
        parts.append(rect.format(css, at, width, title))
        at += width
    body = Markup("").join(parts)
    return Markup(
        '<svg class="bar" viewBox="0 0 {} 10" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
    ).format(WIDTH, body)


def _svg(parts: Sequence[Markup]) -> Markup:
    body = Markup("").join(parts)
    return Markup('<svg viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true">{}</svg>').format(
        WIDTH, HEIGHT, body
    )


def _grid(axis: Sequence[float]) -> Markup:
    heights = [_y(value, axis[-1]) for value in axis]
    return Markup("").join(
        Markup('<line class="grid" x1="0" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(WIDTH, y, y)
        for y in heights
    )


def _band(band: Band) -> Markup:
    left, right = (min(max(one, 0.0), 1.0) * WIDTH for one in (band.left, band.right))
    rect = Markup('<rect class="gap" x="{:.1f}" y="0" width="{:.1f}" height="{}"><title>{}</title></rect>')
    return rect.format(left, max(right - left, 1.0), HEIGHT, band.title)


def _across(limit: float, top: float) -> Markup:
    y = _y(limit, top)
    return Markup('<line class="limit" x1="0" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(WIDTH, y, y)


def _line(line: Line, top: float) -> list[Markup]:
    width = WIDTH / max(1, len(line.values))
    runs: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(line.values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append(((index + 0.5) * width, _y(value, top)))
    parts = []
    for run in filter(None, runs):
        # A single point is drawn as a stroke half as wide as its step.
        points = (
            run if len(run) > 1 else [(run[0][0] - width / 4, run[0][1]), (run[0][0] + width / 4, run[0][1])]
        )
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(Markup('<polyline class="line {}" points="{}"/>').format(line.css, path))
    for index, (value, title) in enumerate(zip(line.values, line.titles, strict=True)):
        if value is not None:
            area = Markup(
                '<rect class="touch" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="20"><title>{}</title></rect>'
            )
            parts.append(area.format(index * width, _y(value, top) - 10, width, title))
    return parts


def _column(stack: Stack, index: int, count: int, bottom: float, value: float, top: float) -> Markup:
    width = WIDTH / count
    upper, lower = _y(bottom + value, top), _y(bottom, top)
    rect = Markup(
        '<rect class="fill {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
    )
    return rect.format(
        stack.css,
        index * width + width * 0.1,
        upper,
        width * 0.8,
        max(lower - upper, 1.0),
        escape(stack.titles[index]),
    )


def _y(value: float, top: float) -> float:
    return HEIGHT * (1 - min(value, top) / top)
