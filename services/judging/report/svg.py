"""Charts as SVG text: readable in print, in dark mode, and without colour vision.

Each chart carries its own style, so that it looks the same inside the report and as a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isnan, log10

WIDTH = 720
_LEFT = 230
_RIGHT = 20
_ROW = 34
_BAR = 20.0
_AXIS = 34

STYLE = """
.c{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;--ink:#1b1f24;--faint:#6a737d;--grid:#e1e4e8;
--s0:#2463a8;--s1:#b9c0c8;--s2:#d2762a;--s3:#2d7d46;--on0:#fff;--on1:#1b1f24;--on2:#1b1f24}
@media(prefers-color-scheme:dark){.c{--ink:#e6e9ed;--faint:#98a2ad;--grid:#30363d;--s0:#4b8fd6;--s1:#5b6570;--s2:#e0914d;--s3:#56b273;
--on0:#0d1117;--on1:#fff;--on2:#0d1117}}
@media print{.c{--ink:#000;--faint:#444;--grid:#ccc;--s0:#2463a8;--s1:#c8cdd3;--s2:#d2762a;--s3:#2d7d46;
--on0:#fff;--on1:#000;--on2:#000}}
.c text{fill:var(--ink)}.c .faint{fill:var(--faint);font-size:12px}.c .small{font-size:11px}
.c .grid{stroke:var(--grid)}.c .s0{fill:var(--s0)}.c .s1{fill:var(--s1)}.c .s2{fill:var(--s2)}
.c .on0{fill:var(--on0)}.c .on1{fill:var(--on1)}.c .on2{fill:var(--on2)}.c .pale{opacity:.45}
.c .mark{stroke:var(--faint);stroke-dasharray:4 3}
.c .whisker{stroke:var(--ink);stroke-width:1.5;fill:none}.c .line0{stroke:var(--s0);stroke-width:2;fill:none}
.c .line2{stroke:var(--s2);stroke-width:2;fill:none;stroke-dasharray:6 3}.c .band{opacity:.14}
.c .s3{fill:var(--s3)}.c .line3{stroke:var(--s3);stroke-width:2;fill:none;stroke-dasharray:2 3}
.c .s4{fill:var(--faint)}.c .line4{stroke:var(--faint);stroke-width:2;fill:none;stroke-dasharray:9 3 2 3}
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
    # Of two, one is the good and the other the bad end; the middle colour is for neither.
    styles = (0, 2) if len(legend) == 2 else tuple(range(len(legend)))
    for index, (style, name) in enumerate(zip(styles, legend, strict=True)):
        left = _LEFT + index * 150
        body.append(f'<rect class="s{style}" x="{left}" y="6" width="12" height="12"/>')
        body.append(f'<text class="faint" x="{left + 18}" y="16">{escape(name)}</text>')
    for bar in bars:
        height = 12.0 if bar.reference else _BAR
        middle = top + height / 2
        body.append(_label(bar.label, middle, bar.reference))
        x = float(_LEFT)
        for style, share in zip(styles, bar.shares, strict=True):
            width = share * span
            pale = " pale" if bar.reference else ""
            place = f'x="{x:.1f}" y="{top:.0f}" width="{max(0.0, width):.1f}" height="{height:.0f}"'
            body.append(f'<rect class="s{style}{pale}" {place}/>')
            if share >= 0.06:
                ink = "small" if bar.reference else f"on{style}"
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


# Width of what stands to the right of the rows: value, interval and n.
_NOTES = 170


def interval_rows(title: str, points: Sequence[Point], low: float, high: float, *, mark: float | None = None) -> str:
    """Values with whiskers on a common axis from `low` to `high`; `mark` is a value to compare with."""
    edge = WIDTH - _RIGHT - _NOTES

    def place(value: float) -> float:
        return _LEFT + (min(max(value, low), high) - low) / (high - low) * (edge - _LEFT)

    bottom = 10 + len(points) * _ROW
    body = _vertical_grid(low, high, place, 6, bottom)
    if mark is not None:
        body.append(f'<path class="mark" d="M{place(mark):.1f} 6V{bottom}"/>')
    for index, point in enumerate(points):
        middle = 10 + index * _ROW + _ROW / 2
        body.append(_label(point.label, middle, point.reference))
        text = f"{point.value:.2f}"
        if not (isnan(point.low) or isnan(point.high)):
            left, right = place(point.low), place(point.high)
            body.append(
                f'<path class="whisker" d="M{left:.1f} {middle:.1f}H{right:.1f}M{left:.1f} {middle - 5:.1f}v10'
                f'M{right:.1f} {middle - 5:.1f}v10"/>'
            )
            text += f" [{point.low:.2f}, {point.high:.2f}]"
        shape = "s1" if point.reference else "s0"
        body.append(f'<circle class="{shape}" cx="{place(point.value):.1f}" cy="{middle:.1f}" r="5"/>')
        text += f", {point.note}" if point.note else ""
        body.append(f'<text class="small" x="{edge + 14}" y="{middle + 4:.1f}">{escape(text)}</text>')
    return _chart(title, bottom + _AXIS, body)


@dataclass(frozen=True, slots=True)
class Series:
    """Points (x, y, low, high) joined by a line; NaN bounds draw no band."""

    name: str
    points: tuple[tuple[float, float, float, float], ...]
    right_axis: bool = False


@dataclass(frozen=True, slots=True)
class _Axis:
    """Values from `low` to `high` between two heights."""

    low: float
    high: float
    top: float
    bottom: float

    @classmethod
    def of(cls, series: Sequence[Series], top: float, bottom: float) -> _Axis:
        ys = [y for each in series for point in each.points for y in point[1:] if not isnan(y)]
        margin = (max(ys) - min(ys)) * 0.1 or 0.5
        return cls(min(ys) - margin, max(ys) + margin, top, bottom)

    def up(self, value: float) -> float:
        return self.bottom - (value - self.low) / (self.high - self.low) * (self.bottom - self.top)

    def ticks(self) -> list[float]:
        """Round values: steps of 1, 2 or 5 times a power of ten, about five of them."""
        rough = (self.high - self.low) / 5
        unit = 10.0 ** floor(log10(rough))
        step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
        return [number * step for number in range(ceil(self.low / step), floor(self.high / step) + 1)]


def lines(title: str, x_name: str, series: Sequence[Series], *, height: int = 300) -> str:
    """Series over one x axis; those of one side share its y axis."""
    left, right, top, bottom = 60.0, WIDTH - 60.0, 30.0, height - 44.0
    xs = [point[0] for each in series for point in each.points]
    first, last = min(xs), max(xs)

    def across(value: float) -> float:
        return left + (value - first) / ((last - first) or 1.0) * (right - left)

    grid, bands, drawn = [], [], []
    for right_axis in (False, True):
        own = [each for each in series if each.right_axis is right_axis]
        if not own:
            continue
        axis = _Axis.of(own, top, bottom)
        edge, anchor = (right + 8, "start") if right_axis else (left - 8, "end")
        for value in axis.ticks():
            y = axis.up(value)
            grid.append(f'<text class="small" x="{edge}" y="{y + 4:.1f}" text-anchor="{anchor}">{value:.3g}</text>')
            if not right_axis:
                grid.append(f'<path class="grid" d="M{left} {y:.1f}H{right}"/>')
        names = left if not right_axis else right - sum(_name_width(each) for each in own)
        for number, each in enumerate(own):
            style = "2" if right_axis else _LEFT_STYLES[number % len(_LEFT_STYLES)]
            bands += _band(each, across, axis, style)
            drawn += _line(each, across, axis, style)
            drawn.append(f'<path class="line{style}" d="M{names:.0f} 12h22"/>')
            drawn.append(f'<text class="faint" x="{names + 28:.0f}" y="16">{escape(each.name)}</text>')
            names += _name_width(each)
    grid += [
        f'<text class="small" x="{across(x):.1f}" y="{bottom + 18}" text-anchor="middle">{x:g}</text>'
        for x in sorted(set(xs))
    ]
    grid.append(
        f'<text class="faint" x="{(left + right) / 2}" y="{height - 8}" text-anchor="middle">{escape(x_name)}</text>'
    )
    return _chart(title, height, bands + grid + drawn)


# Told apart by their dashes too, for print and for eyes that see no colour.
_LEFT_STYLES = ("0", "3", "4")


def _name_width(series: Series) -> float:
    return 44 + 6.6 * len(series.name)


def _band(series: Series, across: Callable[[float], float], axis: _Axis, style: str) -> list[str]:
    """The interval around a line, if it has one."""
    known = [point for point in series.points if not isnan(point[2])]
    if not known:
        return []
    upper = " ".join(f"{across(x):.1f},{axis.up(high):.1f}" for x, _, _, high in known)
    lower = " ".join(f"{across(x):.1f},{axis.up(low):.1f}" for x, _, low, _ in reversed(known))
    return [f'<polygon class="band s{style}" points="{upper} {lower}"/>']


def _line(series: Series, across: Callable[[float], float], axis: _Axis, style: str) -> list[str]:
    path = "L".join(f"{across(x):.1f} {axis.up(y):.1f}" for x, y, _, _ in series.points)
    marks = [
        f'<circle class="s{style}" cx="{across(x):.1f}" cy="{axis.up(y):.1f}" r="4"/>' for x, y, _, _ in series.points
    ]
    return [f'<path class="line{style}" d="M{path}"/>', *marks]


def _vertical_grid(low: float, high: float, place: Callable[[float], float], top: float, bottom: float) -> list[str]:
    body = []
    for step in range(6):
        value = low + (high - low) * step / 5
        x = place(value)
        body.append(f'<path class="grid" d="M{x:.1f} {top}V{bottom}"/>')
        shown = f"{value:.2g}"
        body.append(f'<text class="faint small" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{shown}</text>')
    return body


def _label(text: str, middle: float, reference: bool) -> str:
    # References are written smaller.
    most = 35 if reference else 30
    shown = text if len(text) <= most else text[: most - 1] + "…"
    style = ' class="faint"' if reference else ""
    return f'<text{style} x="{_LEFT - 10}" y="{middle + 4:.1f}" text-anchor="end">{escape(shown)}</text>'


def _chart(title: str, height: float, body: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="c" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
        f'aria-label="{escape(title, quote=True)}"><title>{escape(title)}</title><style>{STYLE}</style>'
        + "".join(body)
        + "</svg>"
    )
