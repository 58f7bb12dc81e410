from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.console.differences import MAX_WORDS, Piece, pieces


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


def test_long_texts_are_compared_by_line() -> None:
    old = "\n".join(f"line {number} of it" for number in range(MAX_WORDS))
    new = old.replace("line 7 of", "line seven of")
    changed = [piece for piece in pieces(old, new) if piece.kind != "same"]
    assert [piece.text for piece in changed] == ["line 7 of it\n", "line seven of it\n"]
