"""Small SVG charts for a dataset card: readable without scripts, with their numbers written at the bars."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from html import escape

BAR, GAP, LEFT, WIDTH = 20, 8, 210, 640
INK, FILL = "#1f2933", "#3d7ea6"


def bar_chart(title: str, values: Mapping[str, float], unit: str) -> str:
    """Horizontal bars, one for each label, in the order given."""
    top = 44
    height = top + len(values) * (BAR + GAP) + 12
    most = max(values.values(), default=0) or 1
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="{escape(title)}" font-family="sans-serif" font-size="12" fill="{INK}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    for place, (label, value) in enumerate(values.items()):
        y = top + place * (BAR + GAP)
        width = (WIDTH - LEFT - 90) * value / most
        lines.append(f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(label[:32])}</text>')
        lines.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{FILL}"/>')
        lines.append(f'<text x="{LEFT + width + 6:.1f}" y="{y + 14}">{value:g} {escape(unit)}</text>')
    lines.append("</svg>")
    return "\n".join(lines) + "\n"


def bin_labels(counts: Mapping[str, int]) -> dict[str, float]:
    """Histogram counts by lower edge as labelled bars: "16 to 31", the last "4096 and more"."""
    edges = [int(edge) for edge in counts]
    labels = [f"{low} to {high - 1}" for low, high in itertools.pairwise(edges)]
    return dict(zip([*labels, f"{edges[-1]} and more"], map(float, counts.values()), strict=True)) if edges else {}
