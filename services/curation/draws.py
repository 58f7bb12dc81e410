"""Random draws that depend on a seed and on names alone.

Never on the order of iteration, the number of workers or the machine: a draw for candidate "x" is the same number
in every run, and adding candidates does not change the draws of those that were there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from heapq import heapify, heappop, heappush

_SCALE = 2.0**-53


def uniform(seed: int, *names: str) -> float:
    """A number in (0, 1), fixed by the seed and the names."""
    key = "\x1f".join((str(seed), *names)).encode("utf-8", "surrogatepass")
    bits = int.from_bytes(blake2b(key, digest_size=8).digest(), "big") >> 11
    return (bits + 0.5) * _SCALE


def shuffled(seed: int, purpose: str, names: Iterable[str]) -> list[str]:
    """The names in a random order in which each keeps its place relative to the others when more are added."""
    return sorted(names, key=lambda name: (uniform(seed, purpose, name), name))


def temperature_weights(sizes: Mapping[str, int], temperature: float) -> dict[str, float]:
    """w_i proportional to n_i^(1/temperature), summing to 1 (LIMA, section 2.1).

    >>> temperature_weights({"a": 8, "b": 1}, 3.0)
    {'a': 0.6666666666666666, 'b': 0.3333333333333333}
    """
    raw = {name: size ** (1.0 / temperature) for name, size in sizes.items() if size > 0}
    total = sum(raw.values())
    return {name: weight / total for name, weight in raw.items()}


def interleave(seed: int, purpose: str, strata: Mapping[str, list[str]], weights: Mapping[str, float]) -> list[str]:
    """All members of all strata, in the order in which weighted draws of a stratum would take them.

    Drawing a stratum with probability w_i again and again is the order of arrivals of independent Poisson processes
    with rates w_i, so the m-th member of a stratum gets a time that only its own stratum decides. An exhausted
    stratum simply stops arriving: the others are drawn among themselves, as a redraw would.
    """
    heap: list[tuple[float, str, int]] = []
    for name, members in strata.items():
        if members:
            heap.append((_gap(seed, purpose, name, 0) / weights[name], name, 0))
    heapify(heap)
    order: list[str] = []
    while heap:
        time, name, place = heappop(heap)
        order.append(strata[name][place])
        if place + 1 < len(strata[name]):
            heappush(heap, (time + _gap(seed, purpose, name, place + 1) / weights[name], name, place + 1))
    return order


def _gap(seed: int, purpose: str, name: str, place: int) -> float:
    """The time to the next arrival of a Poisson process of rate 1."""
    return -math.log(uniform(seed, purpose, name, str(place)))
