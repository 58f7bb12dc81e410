"""Studies, items, verdicts, slots, calls and the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "judging_0001"
down_revision = None
branch_labels = ("judging",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=300), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("logprobs", sa.JSON(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("completion_tokens", sa.Integer(), nullable=False),
        sa.Column("cost_usd", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_calls")),
    )
    op.create_table(
        "studies",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=200), server_default="", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("state_message", sa.Text(), server_default="", nullable=False),
        sa.Column("item_count", sa.Integer(), nullable=False),
        sa.Column("empty_answers", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_studies")),
    )
    op.create_table(
        "items",
        sa.Column("id", sa.String(length=24), nullable=False),
        sa.Column("study", sa.String(length=63), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.String(length=300), nullable=False),
        sa.Column("prompt_key", sa.String(length=24), nullable=False),
        sa.Column("sample", sa.Integer(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("systems", sa.JSON(), nullable=False),
        sa.Column("prompt", sa.JSON(), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("source", sa.String(length=100), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("first_on_a", sa.Boolean(), nullable=False),
        sa.Column("length_difference", sa.Integer(), nullable=False),
        sa.Column("gold", sa.String(length=20), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["study"], ["studies.name"], name=op.f("fk_items_study"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_items")),
        sa.UniqueConstraint("study", "position", name=op.f("uq_items_study_position")),
    )
    op.create_index("ix_items_study_key", "items", ["study", "prompt_key"], unique=False)
    op.create_index("ix_items_study_prompt", "items", ["study", "prompt_id"], unique=False)
    op.create_table(
        "ledger",
        sa.Column("study", sa.String(length=63), nullable=False),
        sa.Column("judge", sa.String(length=128), nullable=False),
        sa.Column("calls", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cached_calls", sa.Integer(), server_default="0", nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("completion_tokens", sa.Integer(), server_default="0", nullable=False),
        sa.Column("cost_usd", sa.Float(), server_default="0", nullable=False),
        sa.Column("seconds", sa.Float(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["study"], ["studies.name"], name=op.f("fk_ledger_study"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("study", "judge", name=op.f("pk_ledger")),
    )
    op.create_table(
        "slots",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("study", sa.String(length=63), nullable=False),
        sa.Column("item", sa.String(length=24), nullable=False),
        sa.Column("annotator", sa.String(length=128), server_default="", nullable=False),
        sa.Column("lease", sa.String(length=43), server_default="", nullable=False),
        sa.Column("expires", sa.Float(), server_default="0", nullable=False),
        sa.Column("state", sa.String(length=6), nullable=False),
        sa.Column("first_on_a", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["item"], ["items.id"], name=op.f("fk_slots_item"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["study"], ["studies.name"], name=op.f("fk_slots_study"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_slots")),
    )
    op.create_index("ix_slots_annotator", "slots", ["study", "annotator", "state"], unique=False)
    op.create_index("ix_slots_expires", "slots", ["study", "state", "expires"], unique=False)
    op.create_index("ix_slots_item", "slots", ["item"], unique=False)
    op.create_index("ix_slots_open", "slots", ["study", "state", "id"], unique=False)
    op.create_table(
        "verdicts",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("study", sa.String(length=63), nullable=False),
        sa.Column("item", sa.String(length=24), nullable=False),
        sa.Column("judge", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("preference", sa.Float(), nullable=True),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("label", sa.String(length=20), server_default="", nullable=False),
        sa.Column("first_on_a", sa.Boolean(), nullable=False),
        sa.Column("draw", sa.Integer(), nullable=False),
        sa.Column("reasoning", sa.Text(), server_default="", nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("gold_correct", sa.Boolean(), nullable=True),
        sa.Column("call", sa.String(length=64), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["item"], ["items.id"], name=op.f("fk_verdicts_item"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["study"], ["studies.name"], name=op.f("fk_verdicts_study"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
        sa.UniqueConstraint("item", "judge", "first_on_a", "draw", name=op.f("uq_verdicts_item_judge_first_on_a_draw")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_verdicts_study_judge", "verdicts", ["study", "judge"], unique=False)


def downgrade() -> None:
    for table in ("ledger", "slots", "verdicts", "items", "calls", "studies"):
        op.drop_table(table)
