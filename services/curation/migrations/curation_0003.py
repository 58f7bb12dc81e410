"""Drafts that began as somebody else's text keep its attribution."""

import sqlalchemy as sa
from alembic import op

revision = "curation_0003"
down_revision = "curation_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("drafts", sa.Column("attribution", sa.JSON, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("drafts", "attribution")
