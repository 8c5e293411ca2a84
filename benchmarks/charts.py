"""Charts as SVG text: bars, and lines over a logarithmic axis. Legible on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

_WIDTH = 760
_BAR_HEIGHT = 22
_GAP = 8
_LABEL_WIDTH = 170
_VALUE_WIDTH = 90
_TITLE_HEIGHT = 56
_LINES_HEIGHT = 360
_LEGEND_WIDTH = 200
_MARGIN = 16
OWN_COLOUR = "#0a7d5a"
_OTHER_COLOUR = "#8a93a6"
_LINE_COLOURS = (OWN_COLOUR, "#c4572b", "#3d6fb6", "#8e5bb5", "#b3902b", "#5b6475")
_STYLE = (
    "text{font-family:system-ui,sans-serif;font-size:13px;fill:#1c2330}"
    ".title{font-size:16px;font-weight:600}.small{font-size:12px;fill:#5b6475}"
    ".grid{stroke:#c9ced8;stroke-width:1}"
    "@media(prefers-color-scheme:dark){text{fill:#e6e9ef}.small{fill:#a5adbd}.grid{stroke:#3a4354}}"
)


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    text: str
    is_own: bool = False


@dataclass(frozen=True)
class Line:
    """Points are (x, y), both above zero."""

    label: str
    points: tuple[tuple[float, float], ...]


def bar_chart(title: str, subtitle: str, bars: Sequence[Bar]) -> str:
    """Draw horizontal bars from zero, in the order given."""
    most = max((bar.value for bar in bars), default=0.0) or 1.0
    room = _WIDTH - 2 * _MARGIN - _LABEL_WIDTH - _VALUE_WIDTH
    left = _MARGIN + _LABEL_WIDTH
    parts = _heading(title, subtitle)
    for index, bar in enumerate(bars):
        top = _TITLE_HEIGHT + index * (_BAR_HEIGHT + _GAP)
        base = top + _BAR_HEIGHT * 0.7
        width = max(1.0, room * bar.value / most)
        colour = OWN_COLOUR if bar.is_own else _OTHER_COLOUR
        weight = ' font-weight="600"' if bar.is_own else ""
        parts.append(
            f'<text x="{left - 8}" y="{base:.1f}" text-anchor="end"{weight}>{escape(bar.label)}</text>'
            f'<rect x="{left}" y="{top}" width="{width:.1f}" height="{_BAR_HEIGHT}" rx="2" fill="{colour}"/>'
            f'<text x="{left + width + 6:.1f}" y="{base:.1f}"{weight}>{escape(bar.text)}</text>'
        )
    height = _TITLE_HEIGHT + len(bars) * (_BAR_HEIGHT + _GAP) + _MARGIN
    return _document(title, height, parts)


def line_chart(title: str, subtitle: str, lines: Sequence[Line], x_label: str) -> str:
    """Draw lines over a logarithmic x axis; y starts at zero. The legend follows the lines' order."""
    points = [point for line in lines for point in line.points]
    if not points:
        return _document(title, _TITLE_HEIGHT, _heading(title, subtitle))
    ticks = sorted({x for x, _ in points})
    low, high = math.log(ticks[0]), math.log(ticks[-1])
    most = _round_up(max(y for _, y in points))
    left, right = _MARGIN + 64, _WIDTH - _MARGIN - _LEGEND_WIDTH
    top, bottom = _TITLE_HEIGHT + 8, _LINES_HEIGHT - 48

    def place(x: float, y: float) -> tuple[float, float]:
        share = (math.log(x) - low) / (high - low) if high > low else 0.5
        return left + share * (right - left), bottom - y / most * (bottom - top)

    parts = _heading(title, subtitle)
    for step in range(5):
        y = place(ticks[0], most * step / 4)[1]
        parts.append(
            f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="small" x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{most * step / 4:,.0f}</text>'
        )
    for tick in ticks:
        x = place(tick, 0)[0]
        parts.append(
            f'<text class="small" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{tick:,.0f}</text>'
        )
    middle = (left + right) / 2
    parts.append(
        f'<text class="small" x="{middle:.1f}" y="{bottom + 36}" text-anchor="middle">{escape(x_label)}</text>'
    )
    for index, line in enumerate(lines):
        colour = _LINE_COLOURS[index % len(_LINE_COLOURS)]
        places = [place(x, y) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        )
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
        row = top + index * 22
        parts.append(
            f'<rect x="{right + 18}" y="{row}" width="14" height="4" fill="{colour}"/>'
            f'<text x="{right + 38}" y="{row + 7}">{escape(line.label)}</text>'
        )
    return _document(title, _LINES_HEIGHT, parts)


def _round_up(value: float) -> float:
    """Return the next of 1, 2, 2.5, 5, 10 times a power of ten, so that a quarter of it reads well."""
    if value <= 0:
        return 1.0
    power: float = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= value * 0.999999)


def _heading(title: str, subtitle: str) -> list[str]:
    return [
        f'<text class="title" x="{_MARGIN}" y="24">{escape(title)}</text>',
        f'<text class="small" x="{_MARGIN}" y="43">{escape(subtitle)}</text>',
    ]


def _document(title: str, height: float, parts: list[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height:.0f}" '
        f'viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label={quoteattr(title)}>'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])
