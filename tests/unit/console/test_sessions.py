from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.sessions import Permission, Role, Session, SessionKeeper, valid_name

SECRET = b"s" * 32


def test_a_session_survives_its_cookie() -> None:
    keeper = SessionKeeper(SECRET, 60)
    session = Session.signed_in("김민지", Role.ANNOTATOR)
    assert keeper.open(keeper.seal(session)) == session


def test_a_cookie_of_another_key_opens_nothing() -> None:
    forged = SessionKeeper(b"x" * 32, 60).seal(Session.signed_in("eve", Role.OPERATOR))
    assert SessionKeeper(SECRET, 60).open(forged) is None


def test_a_changed_cookie_opens_nothing() -> None:
    keeper = SessionKeeper(SECRET, 60)
    cookie = keeper.seal(Session.signed_in("ann", Role.VIEWER))
    for position in range(0, len(cookie), 7):
        changed = cookie[:position] + ("A" if cookie[position] != "A" else "B") + cookie[position + 1 :]
        opened = keeper.open(changed)
        # The last character of base64 may carry unused bits: then it is the same cookie, never another session.
        assert opened is None or opened == keeper.open(cookie)


def test_an_old_cookie_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = SessionKeeper(SECRET, 60)
    cookie = keeper.seal(Session.signed_in("ann", Role.VIEWER))
    later = time.time() + 62
    monkeypatch.setattr(time, "time", lambda: later)
    assert keeper.open(cookie) is None


@given(st.text(max_size=300))
def test_any_text_as_a_cookie_is_refused(text: str) -> None:
    assert SessionKeeper(SECRET, 60).open(text) is None


def test_csrf_tokens_belong_to_one_session() -> None:
    keeper = SessionKeeper(SECRET, 60)
    mine, other = Session.visitor(), Session.visitor()
    assert keeper.csrf_valid(mine, keeper.csrf_token(mine))
    assert not keeper.csrf_valid(other, keeper.csrf_token(mine))
    assert not keeper.csrf_valid(mine, "")
    assert not keeper.csrf_valid(mine, "é")


def test_an_annotator_may_not_read_what_names_systems() -> None:
    annotator = Session.signed_in("ann", Role.ANNOTATOR)
    assert annotator.may(Permission.TASKS)
    assert not annotator.may(Permission.READ)
    assert not annotator.may(Permission.OPERATE)
    assert not Session.visitor().may(Permission.TASKS)
    assert not Session.signed_in("vera", Role.VIEWER).may(Permission.TASKS)
    assert all(Session.signed_in("op", Role.OPERATOR).may(permission) for permission in Permission)


@pytest.mark.parametrize("name", ["Ann", "김민지", "ann.lee@example.org", "a b"])
def test_names(name: str) -> None:
    assert valid_name(name)


@pytest.mark.parametrize("name", ["", " ann", "a" * 64, "ann\n", "<b>", "a/b", "@ann"])
def test_names_that_are_refused(name: str) -> None:
    assert not valid_name(name)
