"""Counts beside the verdicts, results as last computed, and verdicts of a study in order."""

import sqlalchemy as sa
from alembic import op

revision = "judging_0002"
down_revision = "judging_0001"
branch_labels = None
depends_on = None

COUNTS = ("ok", "unparsable", "failed", "skipped", "gold", "gold_right", "gold_skipped", "changes")


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("study", sa.String(length=63), nullable=False),
        sa.Column("judge", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        *(sa.Column(name, sa.Integer(), server_default="0", nullable=False) for name in COUNTS),
        sa.Column("recent_seconds", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["study"], ["studies.name"], name=op.f("fk_tallies_study"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("study", "judge", "kind", name=op.f("pk_tallies")),
    )
    op.create_table(
        "results",
        sa.Column("study", sa.String(length=63), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("verdicts", sa.Integer(), nullable=False),
        sa.Column("computed", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("numbers", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study"], ["studies.name"], name=op.f("fk_results_study"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("study", name=op.f("pk_results")),
    )
    op.add_column("studies", sa.Column("gold_count", sa.Integer(), server_default="0", nullable=False))
    op.add_column("studies", sa.Column("sample_count", sa.Integer(), server_default="1", nullable=False))
    op.create_index("ix_verdicts_study_id", "verdicts", ["study", "id"], unique=False)
    _count_what_is_there()


def _count_what_is_there() -> None:
    """The verdicts of earlier versions; how long their judges took is not carried over."""
    op.execute(
        "INSERT INTO tallies (study, judge, kind, ok, unparsable, failed, skipped, gold, gold_right, gold_skipped, "
        "changes, recent_seconds) SELECT v.study, v.judge, v.kind, "
        "sum(CASE WHEN v.state = 'ok' THEN 1 ELSE 0 END), sum(CASE WHEN v.state = 'unparsable' THEN 1 ELSE 0 END), "
        "sum(CASE WHEN v.state = 'failed' THEN 1 ELSE 0 END), sum(CASE WHEN v.state = 'skipped' THEN 1 ELSE 0 END), "
        "count(v.gold_correct), sum(CASE WHEN v.gold_correct THEN 1 ELSE 0 END), "
        "sum(CASE WHEN v.state = 'skipped' AND i.gold <> '' THEN 1 ELSE 0 END), count(*), '[]' "
        "FROM verdicts v JOIN items i ON i.id = v.item GROUP BY v.study, v.judge, v.kind"
    )
    op.execute(
        "UPDATE studies SET sample_count = coalesce((SELECT count(DISTINCT items.sample) FROM items "
        "WHERE items.study = studies.name), 1), gold_count = (SELECT count(*) FROM items "
        "WHERE items.study = studies.name AND items.gold <> '')"
    )


def downgrade() -> None:
    op.drop_index("ix_verdicts_study_id", "verdicts")
    op.drop_column("studies", "sample_count")
    op.drop_column("studies", "gold_count")
    for table in ("results", "tallies"):
        op.drop_table(table)
