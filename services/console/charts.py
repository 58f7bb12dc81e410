"""Line and bar charts as SVG that CSS colours, so that they read in light, in dark and in print."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360, 180
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 26
# More points than pixels only make the page heavy.
MAX_POINTS = 400
# A diverged loss; the arithmetic of axes must not overflow. NaN and infinity fail the comparison too.
LARGEST = 1e100


@dataclass(frozen=True)
class Series:
    """Points (x, y), in the order of x; `name` is what the legend calls it."""

    name: str
    points: Sequence[tuple[float, float]]


def thin(points: Sequence[tuple[float, float]], most: int = MAX_POINTS) -> list[tuple[float, float]]:
    """Points that can be drawn, at most `most`: means over equal stretches, the last one kept as it is."""
    finite = [(x, y) for x, y in points if abs(x) <= LARGEST and abs(y) <= LARGEST]
    if len(finite) <= most:
        return finite
    size = math.ceil(len(finite) / (most - 1))
    groups = [finite[i : i + size] for i in range(0, len(finite), size)]
    means = [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
    return [*means[: most - 1], finite[-1]]


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers that cover [low, high].

    >>> ticks(0, 10), ticks(1.2, 1.9)
    ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], [1.2, 1.4, 1.6, 1.8])
    """
    span = (high - low) or abs(high) or 1.0
    raw = span / count
    magnitude: float = 10.0 ** math.floor(math.log10(raw))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw * 0.75)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def line_chart(title: str, series: Sequence[Series]) -> Markup:
    """One chart; empty when no series has a point. The title is its accessible name, with each last value."""
    drawn = [Series(one.name, thin(one.points)) for one in series]
    drawn = [one for one in drawn if one.points]
    if not drawn:
        return Markup("")
    xs = [x for one in drawn for x, _ in one.points]
    ys = [y for one in drawn for _, y in one.points]
    frame = _Frame(min(xs), max(xs), min(ys), max(ys))
    parts = [frame.axes()]
    for index, one in enumerate(drawn):
        points = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in one.points)
        parts.append(f'<polyline class="line s{index}" points="{points}"/>')
        x, y = one.points[-1]
        parts.append(f'<circle class="dot s{index}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3"/>')
    label = title + ": " + ", ".join(f"{one.name} {_short(one.points[-1][1])}".strip() for one in drawn)
    return _figure(title, label, parts, [one.name for one in drawn] if len(drawn) > 1 else [])


def bar_chart(title: str, bars: Sequence[tuple[str, float]]) -> Markup:
    """Horizontal bars with their values; empty for no bars."""
    if not bars:
        return Markup("")
    highest = max(value for _, value in bars) or 1.0
    row, text_width = 22, 130
    parts = []
    for index, (name, value) in enumerate(bars):
        y = index * row
        width = max(1.0, (WIDTH - text_width - 60) * value / highest)
        shown = name if len(name) <= 20 else name[:19] + "…"
        parts.append(f'<text class="tick" x="{text_width - 6}" y="{y + 15}" text-anchor="end">{escape(shown)}</text>')
        parts.append(f'<rect class="bar" x="{text_width}" y="{y + 4}" width="{width:.1f}" height="{row - 8}"/>')
        parts.append(f'<text class="tick" x="{text_width + width + 5:.1f}" y="{y + 15}">{_short(value)}</text>')
    label = title + ": " + ", ".join(f"{name} {_short(value)}" for name, value in bars[:30])
    return _figure(title, label, parts, [], height=len(bars) * row)


class _Frame:
    """From data to pixels, with a little air above and below."""

    def __init__(self, x_low: float, x_high: float, y_low: float, y_high: float) -> None:
        air = (y_high - y_low) * 0.06 or abs(y_high) * 0.1 or 1.0
        self.x_low, self.x_high = x_low, x_high if x_high > x_low else x_low + 1
        self.y_low, self.y_high = y_low - air, y_high + air

    def x(self, value: float) -> float:
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - TOP - BOTTOM)

    def axes(self) -> str:
        parts = []
        for value in ticks(self.y_low, self.y_high):
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(value)}</text>')
        for value in ticks(self.x_low, self.x_high, 5):
            x = self.x(value)
            parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{_short(value)}</text>')
        return "".join(parts)


def _figure(title: str, label: str, parts: Sequence[str], legend: Sequence[str], height: int = HEIGHT) -> Markup:
    names = "".join(f'<li class="s{index}">{escape(name)}</li>' for index, name in enumerate(legend))
    legend_html = f'<ul class="legend">{names}</ul>' if names else ""
    return Markup(  # noqa: S704 - texts are escaped, the rest are numbers
        f'<figure class="chart"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
        f"{legend_html}</figure>"
    )


def _short(value: float) -> str:
    """Few characters: 1200000 is 1.2M, 0.00001 is 1e-05."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if suffix == 'k' else size):.3g}{suffix}"
    return f"{value:.4g}"
