"""How the similarity of a split was measured."""

import sqlalchemy as sa
from alembic import op

revision = "judging_0004"
down_revision = "judging_0003"
branch_labels = None
depends_on = None

# The only way there was before.
BY_WORDS = "cosine similarity of TF-IDF vectors of words and pairs of words"


def upgrade() -> None:
    op.add_column("splits", sa.Column("method", sa.Text(), nullable=False, server_default=BY_WORDS))


def downgrade() -> None:
    op.drop_column("splits", "method")
