"""Models, aliases, partial responses, and what outside models cost and answered."""

import sqlalchemy as sa
from alembic import op

revision = "inference_0001"
down_revision = None
branch_labels = ("inference",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("version", sa.String(63), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("parameter_count", sa.BigInteger, nullable=False),
        sa.Column("context_length", sa.Integer, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("wanted", sa.Boolean, nullable=False),
        sa.Column("engine", sa.String(32), nullable=False),
        sa.Column("min_replicas", sa.Integer, nullable=False),
        sa.Column("max_replicas", sa.Integer, nullable=False),
        sa.Column("serial", sa.BigInteger, nullable=False, unique=True),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_table(
        "aliases",
        sa.Column("name", sa.String(63), primary_key=True),
        sa.Column("change_id", sa.Integer, nullable=False),
    )
    op.create_table(
        "alias_changes",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("alias", sa.String(63), nullable=False),
        sa.Column("model", sa.String(160), nullable=False),
        sa.Column("previous_id", sa.Integer),
        sa.Column("changed_by", sa.String(128), nullable=False),
        sa.Column("changed", sa.Double, nullable=False),
    )
    op.create_index("alias_changes_alias", "alias_changes", ["alias", "id"])
    op.create_table(
        "partial_responses",
        sa.Column("response_set", sa.String(64), primary_key=True),
        sa.Column("prompt_index", sa.Integer, primary_key=True),
        sa.Column("sample", sa.Integer, primary_key=True),
        sa.Column("record", sa.Text, nullable=False),
    )
    op.create_table(
        "spend",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("model", sa.String(160), nullable=False),
        sa.Column("caller", sa.String(128), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("usd", sa.Double, nullable=False),
        sa.Column("spent", sa.Double, nullable=False),
    )
    op.create_index("spend_model", "spend", ["model"])
    op.create_table(
        "cached_answers",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("model", sa.String(160), nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )


def downgrade() -> None:
    for table in ("cached_answers", "spend", "partial_responses", "alias_changes", "aliases", "models"):
        op.drop_table(table)
