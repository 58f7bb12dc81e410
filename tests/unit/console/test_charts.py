from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.charts import HEIGHT, LARGEST, MAX_POINTS, WIDTH, Series, bar_chart, line_chart, thin, ticks

points = st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats()), max_size=60)


@given(points, st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), max_size=20))
def test_a_line_chart_is_well_formed_and_inside_its_frame(values: list[tuple[float, float]], name: str) -> None:
    drawn = line_chart(name, [Series(name, sorted(values))])
    if not any(abs(y) <= LARGEST for _, y in values):
        assert drawn == ""
        return
    figure = ElementTree.fromstring(drawn)
    line = figure.find(".//polyline")
    assert line is not None
    for pair in line.attrib["points"].split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_names_are_escaped() -> None:
    hostile = "<script>\"'"
    assert "<script>" not in line_chart(hostile, [Series(hostile, [(0, 1)]), Series("b", [(0, 2)])])
    assert "<script>" not in bar_chart(hostile, [(hostile, 1.0)])


def test_a_chart_says_its_last_values_to_those_who_do_not_see_it() -> None:
    assert 'aria-label="Loss: 0.5"' in line_chart("Loss", [Series("", [(0, 2.0), (1, 0.5)])])


@given(st.integers(1, 5000))
def test_thinning_keeps_the_end_and_the_bound(count: int) -> None:
    kept = thin([(float(i), float(i)) for i in range(count)])
    assert len(kept) <= MAX_POINTS
    assert kept[-1] == (count - 1.0, count - 1.0)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few_and_inside(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert len(found) <= 8
    assert all(low - span * 1e-6 <= value <= low + span * (1 + 1e-6) for value in found)


@pytest.mark.parametrize("chart", [line_chart("x", []), bar_chart("x", [])])
def test_nothing_to_draw_is_nothing(chart: str) -> None:
    assert chart == ""
