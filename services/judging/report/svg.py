"""Charts as SVG text: readable in print, in dark mode, and without colour vision.

Each chart carries its own style, so that it looks the same inside the report and as a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import isnan

WIDTH = 720
_LEFT = 230
_RIGHT = 20
_ROW = 34
_BAR = 20.0
_AXIS = 34

STYLE = """
.c{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;--ink:#1b1f24;--faint:#6a737d;--grid:#e1e4e8;
--s0:#2463a8;--s1:#b9c0c8;--s2:#d2762a;--on0:#fff;--on1:#1b1f24;--on2:#1b1f24}
@media(prefers-color-scheme:dark){.c{--ink:#e6e9ed;--faint:#98a2ad;--grid:#30363d;--s0:#4b8fd6;--s1:#5b6570;--s2:#e0914d;
--on0:#0d1117;--on1:#fff;--on2:#0d1117}}
@media print{.c{--ink:#000;--faint:#444;--grid:#ccc;--s0:#2463a8;--s1:#c8cdd3;--s2:#d2762a;
--on0:#fff;--on1:#000;--on2:#000}}
.c text{fill:var(--ink)}.c .faint{fill:var(--faint);font-size:12px}.c .small{font-size:11px}
.c .grid{stroke:var(--grid)}.c .s0{fill:var(--s0)}.c .s1{fill:var(--s1)}.c .s2{fill:var(--s2)}
.c .on0{fill:var(--on0)}.c .on1{fill:var(--on1)}.c .on2{fill:var(--on2)}.c .pale{opacity:.45}
.c .mark{stroke:var(--faint);stroke-dasharray:4 3}
.c .whisker{stroke:var(--ink);stroke-width:1.5;fill:none}.c .line0{stroke:var(--s0);stroke-width:2;fill:none}
.c .line2{stroke:var(--s2);stroke-width:2;fill:none;stroke-dasharray:6 3}.c .band{fill:var(--s0);opacity:.15}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of stacked shares that sum to 1; `reference` rows are drawn paler and lower."""

    label: str
    shares: tuple[float, ...]
    note: str = ""
    reference: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """One row with a value and its interval; NaN bounds draw no whisker."""

    label: str
    value: float
    low: float
    high: float
    note: str = ""
    reference: bool = False


def stacked_bars(title: str, legend: Sequence[str], bars: Sequence[Bar]) -> str:
    """Shares as horizontal bars of one length."""
    body: list[str] = []
    span = WIDTH - _LEFT - _RIGHT
    top = 30.0
    for index, name in enumerate(legend):
        left = _LEFT + index * 150
        body.append(f'<rect class="s{index}" x="{left}" y="6" width="12" height="12"/>')
        body.append(f'<text class="faint" x="{left + 18}" y="16">{escape(name)}</text>')
    for bar in bars:
        height = 12.0 if bar.reference else _BAR
        middle = top + height / 2
        body.append(_label(bar.label, middle, bar.reference))
        x = float(_LEFT)
        for index, share in enumerate(bar.shares):
            width = share * span
            pale = " pale" if bar.reference else ""
            place = f'x="{x:.1f}" y="{top:.0f}" width="{max(0.0, width):.1f}" height="{height:.0f}"'
            body.append(f'<rect class="s{index}{pale}" {place}/>')
            if share >= 0.06:
                ink = "small" if bar.reference else f"on{index}"
                body.append(
                    f'<text class="{ink}" x="{x + width / 2:.1f}" y="{middle + 4:.1f}" text-anchor="middle">'
                    f"{100 * share:.0f}%</text>"
                )
            x += width
        top += height + (4 if bar.reference else 8)
        if bar.note:
            body.append(f'<text class="faint small" x="{_LEFT}" y="{top + 3:.0f}">{escape(bar.note)}</text>')
            top += 16
    return _chart(title, top + 6, body)


# Width of a small character, about.
_CHARACTER = 6.5


def interval_rows(title: str, points: Sequence[Point], low: float, high: float, *, mark: float | None = None) -> str:
    """Values with whiskers on a common axis from `low` to `high`; `mark` is a value to compare with."""

    def place(value: float) -> float:
        return _LEFT + (min(max(value, low), high) - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    bottom = 10 + len(points) * _ROW
    body = _vertical_grid(low, high, place, 6, bottom)
    if mark is not None:
        body.append(f'<path class="mark" d="M{place(mark):.1f} 6V{bottom}"/>')
    for index, point in enumerate(points):
        middle = 10 + index * _ROW + _ROW / 2
        body.append(_label(point.label, middle, point.reference))
        if not (isnan(point.low) or isnan(point.high)):
            left, right = place(point.low), place(point.high)
            body.append(
                f'<path class="whisker" d="M{left:.1f} {middle:.1f}H{right:.1f}M{left:.1f} {middle - 5:.1f}v10'
                f'M{right:.1f} {middle - 5:.1f}v10"/>'
            )
        shape = "s1" if point.reference else "s0"
        body.append(f'<circle class="{shape}" cx="{place(point.value):.1f}" cy="{middle:.1f}" r="5"/>')
        text = f"{point.value:.2f}{'  ' + point.note if point.note else ''}"
        edge = place(point.high if not isnan(point.high) else point.value)
        anchor, x, y = "start", edge + 10, middle + 4
        if edge > WIDTH - 140:
            begin = place(point.low) - 10
            # Where neither side has room, the text stands above its whisker.
            fits = begin - _LEFT > _CHARACTER * len(text)
            anchor, x, y = ("end", begin, y) if fits else ("end", WIDTH - _RIGHT, middle - 7)
        body.append(f'<text class="small" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>')
    return _chart(title, bottom + _AXIS, body)


@dataclass(frozen=True, slots=True)
class Series:
    """Points (x, y, low, high) joined by a line; NaN bounds draw no band."""

    name: str
    points: tuple[tuple[float, float, float, float], ...]
    right_axis: bool = False


def lines(title: str, x_name: str, series: Sequence[Series], *, height: int = 300) -> str:
    """Up to two series over one x axis, each with a y axis of its own side."""
    left, right, top, bottom = 60.0, WIDTH - 60.0, 30.0, height - 44.0
    xs = [point[0] for each in series for point in each.points]
    first, last = min(xs), max(xs)

    def across(value: float) -> float:
        return left + (value - first) / ((last - first) or 1.0) * (right - left)

    body: list[str] = []
    for number, each in enumerate(series):
        ys = [y for point in each.points for y in point[1:] if not isnan(y)]
        low, high = min(ys), max(ys)
        margin = (high - low) * 0.1 or 0.5
        low, high = low - margin, high + margin

        def up(value: float, low: float = low, high: float = high) -> float:
            return bottom - (value - low) / (high - low) * (bottom - top)

        band = [point for point in each.points if not isnan(point[2])]
        if band:
            upper = " ".join(f"{across(x):.1f},{up(h):.1f}" for x, _, _, h in band)
            lower = " ".join(f"{across(x):.1f},{up(low_end):.1f}" for x, _, low_end, _ in reversed(band))
            body.append(f'<polygon class="band" points="{upper} {lower}"/>')
        style = "2" if each.right_axis else "0"
        path = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y, _, _ in each.points)
        body.append(f'<path class="line{style}" d="M{path}"/>')
        body += [
            f'<circle class="s{style}" cx="{across(x):.1f}" cy="{up(y):.1f}" r="4"/>' for x, y, _, _ in each.points
        ]
        edge, anchor = (right + 8, "start") if each.right_axis else (left - 8, "end")
        for step in range(5):
            value = low + (high - low) * step / 4
            body.append(
                f'<text class="small" x="{edge}" y="{up(value) + 4:.1f}" text-anchor="{anchor}">{value:.3g}</text>'
            )
            if number == 0:
                body.append(f'<path class="grid" d="M{left} {up(value):.1f}H{right}"/>')
        x = left if not each.right_axis else right
        anchor = "start" if not each.right_axis else "end"
        body.append(f'<text class="faint" x="{x}" y="16" text-anchor="{anchor}">{escape(each.name)}</text>')
    for x in sorted(set(xs)):
        body.append(f'<text class="small" x="{across(x):.1f}" y="{bottom + 18}" text-anchor="middle">{x:g}</text>')
    body.append(
        f'<text class="faint" x="{(left + right) / 2}" y="{height - 8}" text-anchor="middle">{escape(x_name)}</text>'
    )
    return _chart(title, height, body)


def _vertical_grid(low: float, high: float, place: object, top: float, bottom: float) -> list[str]:
    assert callable(place)
    body = []
    for step in range(6):
        value = low + (high - low) * step / 5
        x = place(value)
        body.append(f'<path class="grid" d="M{x:.1f} {top}V{bottom}"/>')
        shown = f"{value:.2g}"
        body.append(f'<text class="faint small" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{shown}</text>')
    return body


def _label(text: str, middle: float, reference: bool) -> str:
    shown = text if len(text) <= 28 else text[:27] + "…"
    style = ' class="faint"' if reference else ""
    return f'<text{style} x="{_LEFT - 10}" y="{middle + 4:.1f}" text-anchor="end">{escape(shown)}</text>'


def _chart(title: str, height: float, body: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="c" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title, quote=True)}"><title>{escape(title)}</title><style>{STYLE}</style>'
        + "".join(body)
        + "</svg>"
    )
