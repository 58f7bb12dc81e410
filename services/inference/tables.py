"""Rows of the inference service."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

# Times are seconds since the epoch.
models = sa.Table(
    "models",
    metadata,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("version", sa.String(63), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("uri", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    sa.Column("parameter_count", sa.BigInteger, nullable=False),
    sa.Column("context_length", sa.Integer, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    # An upstream's or a recording's own settings, as JSON.
    sa.Column("source", sa.Text, nullable=False),
    # What was declared: whether it is to be served, how, and by how many.
    sa.Column("wanted", sa.Boolean, nullable=False),
    sa.Column("engine", sa.String(32), nullable=False),
    sa.Column("min_replicas", sa.Integer, nullable=False),
    sa.Column("max_replicas", sa.Integer, nullable=False),
    # Grows with each registration, so that the newest version is the largest.
    sa.Column("serial", sa.BigInteger, nullable=False, unique=True),
    sa.Column("created", sa.Double, nullable=False),
)

aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("name", sa.String(63), primary_key=True),
    sa.Column("change_id", sa.Integer, nullable=False),
)

alias_changes = sa.Table(
    "alias_changes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("alias", sa.String(63), nullable=False),
    sa.Column("model", sa.String(160), nullable=False),
    # The change before this one in effect, to which a rollback returns.
    sa.Column("previous_id", sa.Integer),
    sa.Column("changed_by", sa.String(128), nullable=False),
    sa.Column("changed", sa.Double, nullable=False),
    sa.Index("alias_changes_alias", "alias", "id"),
)

# Responses of sets that are not whole yet; emptied when the set is in the store.
partial_responses = sa.Table(
    "partial_responses",
    metadata,
    sa.Column("response_set", sa.String(64), primary_key=True),
    sa.Column("prompt_index", sa.Integer, primary_key=True),
    sa.Column("sample", sa.Integer, primary_key=True),
    sa.Column("record", sa.Text, nullable=False),
)

# What outside models cost.
spend = sa.Table(
    "spend",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("model", sa.String(160), nullable=False),
    sa.Column("caller", sa.String(128), nullable=False),
    sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("completion_tokens", sa.BigInteger, nullable=False),
    sa.Column("usd", sa.Double, nullable=False),
    sa.Column("spent", sa.Double, nullable=False),
    sa.Index("spend_model", "model"),
)

# Answers of outside models by the content of the request.
cached_answers = sa.Table(
    "cached_answers",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("model", sa.String(160), nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)
