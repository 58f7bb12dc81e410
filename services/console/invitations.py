"""One-time invitation links: signed, dated, and spent in the console's database when used."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy import DateTime, MetaData, String, exists, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.console.sessions import Role
from services.shared.database import Database

LIFETIME_SECONDS = 7 * 24 * 3600


MIGRATIONS = Path(__file__).parent / "migrations"


class Base(DeclarativeBase):
    metadata = MetaData()


class SpentInvitation(Base):
    __tablename__ = "spent_invitations"

    nonce: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    spent: Mapped[datetime] = mapped_column(DateTime(timezone=True))


@dataclass(frozen=True)
class Invitation:
    """Lets one person in, once, under a name and a role that they cannot change."""

    name: str
    role: Role
    nonce: str


class InvitationSigner:
    """Writes and reads the code of an invitation link. Needs the console's secret and nothing else."""

    def __init__(self, secret: bytes) -> None:
        self._serializer = URLSafeTimedSerializer(secret, salt="lima.console.invitation")

    def issue(self, name: str, role: Role) -> str:
        return self._serializer.dumps([name, role.value, secrets.token_urlsafe(12)])

    def read(self, code: str) -> Invitation | None:
        """The invitation of a code; None when it is forged or older than LIFETIME_SECONDS."""
        if len(code) > 1024:
            return None
        try:
            name, role, nonce = self._serializer.loads(code, max_age=LIFETIME_SECONDS)
            return Invitation(name, Role(role), nonce)
        except (BadSignature, TypeError, ValueError):
            return None


class InvitationLedger:
    """Which invitations have been used. The primary key makes two racing uses one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_spent(self, invitation: Invitation) -> bool:
        query = select(exists().where(SpentInvitation.nonce == invitation.nonce))
        async with self._database.session() as session:
            return bool(await session.scalar(query))

    async def spend(self, invitation: Invitation) -> bool:
        """Uses the invitation up. False when it had been used before."""
        row = SpentInvitation(
            nonce=invitation.nonce, name=invitation.name, role=invitation.role.value, spent=datetime.now(UTC)
        )
        try:
            async with self._database.transaction() as session:
                session.add(row)
        except IntegrityError:
            return False
        return True
