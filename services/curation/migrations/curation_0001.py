"""The review queue and the authors' drafts."""

import sqlalchemy as sa
from alembic import op

revision = "curation_0001"
down_revision = None
branch_labels = ("curation",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "queues",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("overlap", sa.Integer, nullable=False),
        sa.Column("wanted", sa.JSON, nullable=False),
        sa.Column("funnels", sa.JSON, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
    )
    op.create_table(
        "candidates",
        sa.Column("queue", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(255), primary_key=True),
        sa.Column("source", sa.String(63), nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("candidate", sa.JSON, nullable=False),
        sa.Column("near_duplicates", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("lease_owner", sa.String(128), nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["queue"], ["queues.name"], ondelete="CASCADE"),
    )
    op.create_index("candidates_by_rank", "candidates", ["queue", "state", "rank"])
    op.create_table(
        "reviews",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("queue", sa.String(63), nullable=False),
        sa.Column("candidate", sa.String(255), nullable=False),
        sa.Column("reviewer", sa.String(128), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("messages", sa.JSON, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.ForeignKeyConstraint(["queue", "candidate"], ["candidates.queue", "candidates.id"], ondelete="CASCADE"),
        sa.UniqueConstraint("queue", "candidate", "reviewer", name="reviews_one_each"),
    )
    op.create_index("reviews_by_reviewer", "reviews", ["queue", "reviewer", "id"])
    op.create_table(
        "drafts",
        sa.Column("collection", sa.String(63), primary_key=True),
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("request_id", sa.String(128), unique=True),
        sa.Column("group", sa.String(1), nullable=False),
        sa.Column("split", sa.String(8), nullable=False),
        sa.Column("messages", sa.JSON, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("submitted", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
    )
    op.create_index("drafts_newest", "drafts", ["collection", "created", "id"])


def downgrade() -> None:
    for table in ("drafts", "reviews", "candidates", "queues"):
        op.drop_table(table)
