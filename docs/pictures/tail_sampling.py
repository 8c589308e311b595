"""Draws tail sampling of 100,000 simulated traces: `make pictures` writes `tail_sampling.svg`."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from benchmarks.sampling_simulation import Outcome, Traffic, simulate  # noqa: E402

from mita_otel.policy import default_policy  # noqa: E402

WIDTH, LEFT, RIGHT, TOP = 900, 70, 20, 112
PLOT, GAP = 130, 62
INK, FAINT, ENDED, KEPT, HELD, BOUND = "#24292f", "#8c959f", "#8ecae6", "#1f6feb", "#2a9d8f", "#d1242f"


def main() -> None:
    logging.disable(logging.WARNING)
    outcome = simulate(Traffic(100_000, per_second=400, slow=0.001, failed=0.001, seed=2026))
    (HERE / "tail_sampling.svg").write_text(drawn(outcome), encoding="utf-8")


def drawn(outcome: Outcome) -> str:
    """Return the picture."""
    policy = default_policy().sampling
    # Leave out the last seconds, which have no new traces.
    seconds = [outcome.seconds[second] for second in sorted(outcome.seconds)][:240]
    height = TOP + 2 * (PLOT + GAP)
    flawed = len(outcome.traces("slow")) + len(outcome.traces("failed"))
    kept = outcome.complete("slow") + outcome.complete("failed")
    healthy = len(outcome.traces("healthy"))
    share = outcome.kept("healthy") / healthy
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="13" role="img" aria-label="Tail sampling of 100,000 simulated traces">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(LEFT, 28, "100,000 simulated traces, 400 a second; 0.1 % slow, 0.1 % failed", INK, 16),
        _text(LEFT, 50, f"slow or failed: {kept} of {flawed} kept, every one with all its spans", KEPT, 13),
        _text(LEFT, 68, f"healthy: {outcome.kept('healthy'):,} of {healthy:,} kept, {share:.2%}", INK, 13),
    ]
    lines += _plot(
        TOP,
        "spans a second",
        [
            ("ended", ENDED, [_spans_ended(outcome, index) for index in range(len(seconds))]),
            ("passed on", KEPT, [float(one.kept) for one in seconds]),
        ],
        bound=None,
    )
    lines += _plot(
        TOP + PLOT + GAP,
        "megabytes that wait (estimated)",
        [("held", HELD, [one.held_bytes / 1e6 for one in seconds])],
        bound=("bound", policy.max_megabytes),
    )
    return "\n".join([*lines, "</svg>", ""])


def _spans_ended(outcome: Outcome, second: int) -> float:
    return float(outcome.seconds[second].spans) if second in outcome.seconds else 0.0


def _plot(
    top: int,
    title: str,
    series: Iterable[tuple[str, str, list[float]]],
    bound: tuple[str, float] | None,
) -> list[str]:
    series = list(series)
    highest = max([max(values) for _, _, values in series] + ([bound[1]] if bound else [])) * 1.08
    number = len(series[0][2])

    def x(index: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * index / (number - 1)

    def y(value: float) -> float:
        return top + PLOT - PLOT * value / highest

    lines = [_text(LEFT, top - 8, title, INK, 13)]
    for tick in _ticks(highest):
        lines.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#d0d7de" '
            'stroke-width="0.7"/>'
        )
        lines.append(_text(LEFT - 8, y(tick) + 4, f"{tick:,g}", FAINT, 11, "end"))
    lines += [
        _text(x(second), top + PLOT + 16, f"{second} s", FAINT, 11, "middle")
        for second in range(0, number, 60)
    ]
    place = WIDTH - RIGHT
    for name, colour, values in reversed(series):
        lines.append(_line(values, x, y, colour))
        lines.append(_text(place, top - 8, name, colour, 12, "end"))
        place -= 12 + 7 * len(name)
    if bound is not None:
        lines.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(bound[1]):.1f}" y2="{y(bound[1]):.1f}" stroke="{BOUND}" '
            'stroke-dasharray="5 4"/>'
        )
        lines.append(_text(place, top - 8, bound[0], BOUND, 12, "end"))
    return lines


def _line(values: list[float], x: Callable[[float], float], y: Callable[[float], float], colour: str) -> str:
    points = " ".join(f"{x(index):.1f},{y(value):.1f}" for index, value in enumerate(values))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.4"/>'


def _ticks(highest: float) -> list[float]:
    step = next(step for step in (5, 10, 20, 50, 100, 200, 500, 1000) if highest / step <= 5)
    return [float(step * number) for number in range(int(highest / step) + 1)]


def _text(x: float, y: float, text: str, colour: str, size: int, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


if __name__ == "__main__":
    main()
