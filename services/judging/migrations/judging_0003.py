"""Which prompts of a study are out of the training set's distribution, as a person confirmed."""

import sqlalchemy as sa
from alembic import op

revision = "judging_0003"
down_revision = "judging_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "splits",
        sa.Column("study", sa.String(length=63), nullable=False),
        sa.Column("dataset_uri", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("out_of_distribution", sa.JSON(), nullable=False),
        sa.Column("confirmed_by", sa.String(length=128), nullable=False),
        sa.Column("confirmed", sa.Float(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["study"], ["studies.name"], name=op.f("fk_splits_study"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("study", name=op.f("pk_splits")),
    )


def downgrade() -> None:
    op.drop_table("splits")
