from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.differences import Piece, pieces


def before(found: list[Piece]) -> str:
    return "".join(piece.text for piece in found if piece.kind != "added")


def after(found: list[Piece]) -> str:
    return "".join(piece.text for piece in found if piece.kind != "removed")


@given(st.text(max_size=200), st.text(max_size=200))
def test_the_pieces_hold_both_texts_whole(old: str, new: str) -> None:
    found = pieces(old, new)
    assert before(found) == old
    assert after(found) == new


@given(st.text(max_size=200))
def test_an_unchanged_text_has_no_change(text: str) -> None:
    assert all(piece.kind == "same" for piece in pieces(text, text))


def changed(old: str, new: str) -> list[str]:
    return [piece.text for piece in pieces(old, new) if piece.kind != "same"]


def test_long_texts_are_compared_by_line() -> None:
    old = "\n".join(f"line {number} of it" for number in range(2000))
    new = old.replace("line 7 of", "line seven of").replace("line 1990 of", "line 1991 of")
    assert changed(old, new)[:2] == ["line 7 of it\n", "line seven of it\n"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a " * 50_000, "b" + "a " * 50_000 + "b"),
        ("\n" * 100_000, "x" + "\n" * 99_998 + "y"),
        ("a" * 99_999, "b" * 99_999),
    ],
)
def test_texts_made_to_cost_much_are_compared_as_a_whole(old: str, new: str) -> None:
    found = pieces(old, new)
    assert (before(found), after(found)) == (old, new)
    assert len(found) <= 4


def test_a_small_edit_of_a_long_text_is_found_word_by_word() -> None:
    old = "the same words again " * 20_000
    new = old[:42_000] + "and " + old[42_000:]
    assert "".join(changed(old, new)).split() == ["and"]
