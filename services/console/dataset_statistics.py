"""What a dataset's own `statistics.json` tells beyond Table 1: how long its texts are and under which licences."""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from itertools import pairwise
from typing import Any

from services.shared.objects import ObjectStore

MOST_BYTES = 4 << 20
Bars = list[tuple[str, float]]


async def statistics_of(store: ObjectStore, dataset: str) -> dict[str, Any]:
    """The file of "datasets/<name>/<digest>", which never changes. Raises NotFound."""
    return await asyncio.to_thread(_read, store, f"{dataset}/statistics.json")


@lru_cache(maxsize=64)
def _read(store: ObjectStore, key: str) -> dict[str, Any]:
    try:
        value = json.loads(store.get_bytes(key, MOST_BYTES))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def lengths(statistics: dict[str, Any]) -> list[tuple[str, Bars]]:
    """Histograms over token counts, each with the key of its title; a bar is named by the tokens it covers."""
    titles = {"prompt_lengths": "dataset.plot.prompt_lengths", "response_lengths": "dataset.plot.response_lengths"}
    return [(title, bars) for name, title in titles.items() if (bars := histogram(statistics.get(name)))]


def histogram(counts: Any) -> Bars:
    """Bars from counts by lower edge, from the first that holds something to the last; the last bin is open.

    >>> histogram({"64": 2, "0": 1, "16": 0, "128": 0})
    [('0–15', 1.0), ('16–63', 0.0), ('64–127', 2.0)]
    """
    if not isinstance(counts, dict) or not all(str(edge).isdecimal() for edge in counts):
        return []
    edges = sorted(int(edge) for edge in counts)
    names = [f"{low}–{high - 1}" for low, high in pairwise(edges)] + [f"{edge}–" for edge in edges[-1:]]
    bars = [(name, float(counts[str(edge)])) for name, edge in zip(names, edges, strict=True)]
    held = [place for place, (_, count) in enumerate(bars) if count]
    return bars[held[0] : held[-1] + 1] if held else []
