from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.errors import InvalidInput
from services.shared.operations.servicer import parse_filter


@pytest.mark.parametrize(
    ("text", "conditions"), [("", 0), ("  ", 0), ("done=true", 1), ('target="a b" AND kind="x" AND done=false', 3)]
)
def test_filters_are_read(text: str, conditions: int) -> None:
    assert len(parse_filter(text)) == conditions


@pytest.mark.parametrize("text", ["done", "done=yes", "target=x", 'name="x"', 'done=true OR kind="x"', "1=1", " AND "])
def test_other_filters_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="filter"):
        parse_filter(text)


@given(st.text(max_size=60) | st.text(alphabet="target=\"done AND'; ", max_size=60))
def test_values_never_become_sql(text: str) -> None:
    try:
        conditions = parse_filter(text)
    except InvalidInput:
        return
    for condition in conditions:
        assert str(condition) in {
            "operations.done IS true",
            "operations.done IS false",
            "operations.target = :target_1",
            "operations.kind = :kind_1",
        }
