from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.invitations import LIFETIME_SECONDS, MIGRATIONS, Base, InvitationLedger, InvitationSigner
from services.console.sessions import Role
from services.shared.database import Database
from services.shared.settings import Settings

SIGNER = InvitationSigner(b"s" * 32)


@pytest.fixture
async def database(database_settings: Settings) -> AsyncIterator[Database]:
    opened = Database.open(database_settings, "console", MIGRATIONS)
    await opened.migrate()
    yield opened
    await opened.close()


def test_a_code_says_who_is_invited_as_what() -> None:
    invitation = SIGNER.read(SIGNER.issue("김민지", Role.ANNOTATOR))
    assert invitation is not None
    assert (invitation.name, invitation.role) == ("김민지", Role.ANNOTATOR)


def test_two_invitations_of_one_person_are_two() -> None:
    assert SIGNER.issue("ann", Role.VIEWER) != SIGNER.issue("ann", Role.VIEWER)


def test_a_forged_code_is_refused() -> None:
    assert SIGNER.read(InvitationSigner(b"x" * 32).issue("eve", Role.OPERATOR)) is None


def test_an_old_code_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    code = SIGNER.issue("ann", Role.VIEWER)
    later = time.time() + LIFETIME_SECONDS + 2
    monkeypatch.setattr(time, "time", lambda: later)
    assert SIGNER.read(code) is None


@given(st.text(max_size=300))
def test_any_text_as_a_code_is_refused(text: str) -> None:
    assert SIGNER.read(text) is None


async def test_an_invitation_works_once_even_in_a_race(database: Database) -> None:
    ledger = InvitationLedger(database)
    invitation = SIGNER.read(SIGNER.issue("ann", Role.ANNOTATOR))
    assert invitation is not None
    assert not await ledger.is_spent(invitation)
    outcomes = await asyncio.gather(*(ledger.spend(invitation) for _ in range(8)))
    assert sorted(outcomes) == [False] * 7 + [True]
    assert await ledger.is_spent(invitation)


async def test_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    assert await database.differences(Base.metadata) == []
