from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.console.tasks import CODE_LENGTH, code_of


@given(st.text(max_size=80))
def test_a_code_says_nothing_of_the_study(study: str) -> None:
    code = code_of(b"s" * 32, study)
    assert len(code) == CODE_LENGTH
    assert code.isalnum()
    assert code == code_of(b"s" * 32, study)
    assert code != code_of(b"x" * 32, study)
