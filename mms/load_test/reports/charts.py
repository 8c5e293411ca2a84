"""Line charts as SVG for a page: its style sheet gives the colours, so that they are right on light and dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 14, 46
_TICKS = 5
#: Lines with more points have no mark at each.
_MOST_MARKS = 40
#: A vertical axis is logarithmic where the largest value is so many times the smallest.
_LOG_FROM = 50.0


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one line, in the order of x. `style` is a class of the page's style sheet: `s0` to `s3`.

    `is_line` False: marks alone. `hollow`: their mark is drawn as an outline.
    """

    label: str
    points: Sequence[tuple[float, float]]
    style: str
    is_line: bool = True
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Axis:
    """`ticks`: where the axis is marked, and with what; None: at round numbers, from zero."""

    label: str
    ticks: Sequence[tuple[float, str]] | None = None


def line_chart(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    limit: tuple[float, str] | None = None,
) -> str:
    """Return a chart. `limit`: a height that has a line of its own, and its text. Without points it is a sentence."""
    shown = [
        Series(s.label, points, s.style, s.is_line, s.hollow)
        for s in series
        if (points := [p for p in s.points if math.isfinite(p[0]) and math.isfinite(p[1])])
    ]
    if not shown:
        return '<p class="nothing">There is nothing to draw.</p>'
    xs = [point[0] for each in shown for point in each.points]
    ys = [point[1] for each in shown for point in each.points] + ([limit[0]] if limit else [])
    x_ticks = list(x.ticks) if x.ticks is not None else _round_ticks(0.0, max(xs))
    y_ticks, place_y = _vertical(ys)
    low, high = min(x_ticks[0][0], min(xs)), max(x_ticks[-1][0], max(xs))
    room = _WIDTH - _LEFT - _RIGHT

    def place(point: tuple[float, float]) -> tuple[float, float]:
        share = (point[0] - low) / (high - low) if high > low else 0.5
        return _LEFT + share * room, place_y(point[1])

    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">',
        *_grid(x_ticks, y_ticks, x, y, lambda at: place((at, y_ticks[0][0]))[0], place_y),
    ]
    if limit is not None:
        height = place_y(limit[0])
        parts.append(
            f'<line class="limit" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>'
            f'<text class="limit-text" x="{_LEFT + 6}" y="{height - 6:.1f}">'
            f"{escape(limit[1])}</text>"
        )
    for each in shown:
        parts += _drawn(each, [place(point) for point in each.points], y.label)
    parts.append("</svg>")
    legend = "".join(
        f'<li class="{each.style}{" hollow" if each.hollow else ""}">{escape(each.label)}</li>'
        for each in shown
    )
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<div class="chart" tabindex="0" role="group" aria-label="{escape(title)}">{"".join(parts)}</div>'
        f'<ul class="legend">{legend}</ul></figure>'
    )


def percentile_axis(most: float) -> Axis:
    """Return the axis of percentiles up to `most` per cent; `percentile_place` says where they lie."""
    marks = [p for p in (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999) if p <= most]
    return Axis("percentile", [(percentile_place(p), f"{p:g}" if p else "0") for p in marks])


def percentile_place(percent: float) -> float:
    """Each nine of a percentile takes as much room as the one before."""
    return -math.log10(max(1 - percent / 100, 1e-9))


def _drawn(series: Series, places: Sequence[tuple[float, float]], unit: str) -> list[str]:
    parts = []
    if series.is_line and len(places) > 1:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="{series.style}" points="{path}"/>')
    if series.is_line and len(places) > _MOST_MARKS:
        return parts
    kind = f"{series.style} hollow" if series.hollow else series.style
    for (x, y), point in zip(places, series.points, strict=True):
        said = f"{series.label}: {point[1]:.4g} {unit}"
        parts.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{3 if series.is_line else 5}">'
            f"<title>{escape(said)}</title></circle>"
        )
    return parts


def _grid(
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[tuple[float, str]],
    x: Axis,
    y: Axis,
    place_x: Callable[[float], float],
    place_y: Callable[[float], float],
) -> list[str]:
    bottom = _HEIGHT - _BOTTOM
    parts = []
    for at, text in y_ticks:
        height = place_y(at)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height:.1f}" y2="{height:.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{height + 4:.1f}" text-anchor="end">{escape(text)}</text>'
        )
    for at, text in x_ticks:
        left = place_x(at)
        parts.append(
            f'<line class="grid" x1="{left:.1f}" x2="{left:.1f}" y1="{_TOP}" y2="{bottom}"/>'
            f'<text x="{left:.1f}" y="{bottom + 17}" text-anchor="middle">{escape(text)}</text>'
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(x.label)}</text>'
    )
    height = (_TOP + bottom) / 2
    parts.append(
        f'<text transform="translate(14 {height}) rotate(-90)" text-anchor="middle">{escape(y.label)}</text>'
    )
    return parts


def _vertical(ys: Sequence[float]) -> tuple[list[tuple[float, str]], Callable[[float], float]]:
    """Return the ticks of the vertical axis, and what places a value on it."""
    least, most = min(ys), max(ys)
    bottom, room = _HEIGHT - _BOTTOM, _HEIGHT - _BOTTOM - _TOP
    if least > 0 and most / least > _LOG_FROM:
        lowest, highest = math.floor(math.log10(least)), math.ceil(math.log10(most) + 1e-9)
        log_ticks = [(10.0**e, _text(10.0**e)) for e in range(lowest, highest + 1)]

        def on_log(value: float) -> float:
            share = (math.log10(max(value, 10.0**lowest)) - lowest) / (highest - lowest)
            return bottom - share * room

        return log_ticks, on_log
    ticks = _round_ticks(0.0, most)
    highest_tick = ticks[-1][0]
    return ticks, lambda value: bottom - value / highest_tick * room


def _round_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Return round numbers from `low` to the first one that is `high` or more."""
    raw = (high - low) / _TICKS if high > low else 1.0
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999999)
    count = max(1, math.ceil((high - low) / step - 1e-9))
    return [(low + step * n, _text(low + step * n)) for n in range(count + 1)]


def _text(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
