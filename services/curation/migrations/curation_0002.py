"""Counting candidates and finding a reviewer's own lease without reading every candidate."""

from __future__ import annotations

from alembic import op

revision = "curation_0002"
down_revision = "curation_0001"


def upgrade() -> None:
    op.create_index("candidates_by_source", "candidates", ["queue", "source", "state"])
    op.create_index("candidates_by_lease", "candidates", ["queue", "lease_owner"])


def downgrade() -> None:
    op.drop_index("candidates_by_lease", "candidates")
    op.drop_index("candidates_by_source", "candidates")
