from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.dataset_statistics import histogram, lengths


@given(st.dictionaries(st.integers(0, 10**6).map(str), st.integers(0, 100), max_size=12))
def test_every_example_stands_in_a_bar(counts: dict[str, int]) -> None:
    bars = histogram(counts)
    assert sum(height for _, height in bars) == sum(counts.values())
    assert not bars or (bars[0][1] and bars[-1][1])


@pytest.mark.parametrize("foreign", [None, [], "x", {"a": 1}, {}])
def test_what_is_no_histogram_is_not_drawn(foreign: object) -> None:
    assert histogram(foreign) == []


def test_only_the_lengths_that_are_there_are_drawn() -> None:
    assert lengths({}) == []
    assert lengths({"response_lengths": {"0": 2}}) == [("dataset.plot.response_lengths", [("0–", 2.0)])]
