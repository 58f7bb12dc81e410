"""The form of every number the service reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isnan, nan

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

CONFIDENCE = 0.95
# Two numbers nearer than this differ by rounding alone.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval.

    `n` counts independent observations, which are prompts unless `method` says otherwise.
    `excluded` counts what was left out of n, by reason. All three numbers are NaN when n is 0.
    """

    value: float
    low: float
    high: float
    n: int
    method: str
    excluded: Mapping[str, int] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        return not isnan(self.value)

    @property
    def widthless(self) -> bool:
        """Known, but with an interval that is one point: resampling equal values can only repeat them."""
        return self.known and self.high - self.low < ROUNDING

    def excluding(self, excluded: Mapping[str, int]) -> Estimate:
        """The same estimate that also says what was left out."""
        return replace(self, excluded={reason: count for reason, count in excluded.items() if count})

    def mirrored(self) -> Estimate:
        """The same share seen from the other side."""
        return replace(self, value=1 - self.value, low=1 - self.high, high=1 - self.low)

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high


def unknown(method: str) -> Estimate:
    """What is reported where there is nothing to estimate from."""
    return Estimate(nan, nan, nan, 0, method)
