"""The judging database: studies, their items, verdicts, people's slots, and calls to models."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Times are seconds since 1970, UTC: the same on SQLite and PostgreSQL.
studies = Table(
    "studies",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("spec", JSON, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("request_id", String(200), nullable=False, server_default=""),
    Column("state", String(16), nullable=False),
    Column("state_message", Text, nullable=False, server_default=""),
    Column("item_count", Integer, nullable=False),
    # Of these, items with a known answer.
    Column("gold_count", Integer, nullable=False, server_default="0"),
    # Answers per prompt and system.
    Column("sample_count", Integer, nullable=False, server_default="1"),
    Column("empty_answers", JSON, nullable=False),
    Column("created", Float, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("study", ForeignKey("studies.name", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("prompt_id", String(300), nullable=False),
    # Digest of the prompt's text: finds an imported verdict whose source names no ids.
    Column("prompt_key", String(24), nullable=False),
    Column("sample", Integer, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("systems", JSON, nullable=False),
    Column("prompt", JSON, nullable=False),
    Column("answers", JSON, nullable=False),
    Column("source", String(100), nullable=False),
    Column("tags", JSON, nullable=False),
    Column("first_on_a", Boolean, nullable=False),
    Column("length_difference", Integer, nullable=False),
    # The right answer of a gold item; empty for the others.
    Column("gold", String(20), nullable=False, server_default=""),
    UniqueConstraint("study", "position"),
    Index("ix_items_study_prompt", "study", "prompt_id"),
    Index("ix_items_study_key", "study", "prompt_key"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("study", ForeignKey("studies.name", ondelete="CASCADE"), nullable=False),
    Column("item", ForeignKey("items.id", ondelete="CASCADE"), nullable=False),
    Column("judge", String(128), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("state", String(12), nullable=False),
    Column("preference", Float),
    Column("scores", JSON, nullable=False),
    Column("label", String(20), nullable=False, server_default=""),
    Column("first_on_a", Boolean, nullable=False),
    Column("draw", Integer, nullable=False),
    Column("reasoning", Text, nullable=False, server_default=""),
    Column("seconds", Float, nullable=False),
    Column("created", Float, nullable=False),
    Column("gold_correct", Boolean),
    # The model call that the verdict was read from; empty for people and imports.
    Column("call", String(64), nullable=False, server_default=""),
    UniqueConstraint("item", "judge", "first_on_a", "draw"),
    Index("ix_verdicts_study_judge", "study", "judge"),
    Index("ix_verdicts_study_id", "study", "id"),
    # Numbers of verdicts that were taken back are not given again.
    sqlite_autoincrement=True,
)

# How many verdicts each judge has given: see tallies.py.
tallies = Table(
    "tallies",
    metadata,
    Column("study", ForeignKey("studies.name", ondelete="CASCADE"), primary_key=True),
    Column("judge", String(128), primary_key=True),
    Column("kind", String(10), primary_key=True),
    Column("ok", Integer, nullable=False, server_default="0"),
    Column("unparsable", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("skipped", Integer, nullable=False, server_default="0"),
    Column("gold", Integer, nullable=False, server_default="0"),
    Column("gold_right", Integer, nullable=False, server_default="0"),
    Column("gold_skipped", Integer, nullable=False, server_default="0"),
    Column("changes", Integer, nullable=False, server_default="0"),
    Column("recent_seconds", JSON, nullable=False),
)

# The results of each study as they were last computed, and which change of its verdicts was the last they cover.
results = Table(
    "results",
    metadata,
    Column("study", ForeignKey("studies.name", ondelete="CASCADE"), primary_key=True),
    Column("changes", Integer, nullable=False),
    Column("verdicts", Integer, nullable=False),
    Column("computed", Float, nullable=False),
    # How long that took.
    Column("seconds", Float, nullable=False),
    Column("numbers", Text, nullable=False),
)

# Which prompts are far from everything that was trained on, as a person confirmed: see splits.py.
splits = Table(
    "splits",
    metadata,
    Column("study", ForeignKey("studies.name", ondelete="CASCADE"), primary_key=True),
    Column("dataset_uri", Text, nullable=False),
    Column("threshold", Float, nullable=False),
    # How similarity was measured, in words.
    Column("method", Text, nullable=False),
    Column("out_of_distribution", JSON, nullable=False),
    Column("confirmed_by", String(128), nullable=False),
    Column("confirmed", Float, nullable=False),
    # How often it was confirmed: results change with it.
    Column("changes", Integer, nullable=False),
)

# One place for one person's verdict on one item; an item has as many as people must see it.
slots = Table(
    "slots",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("study", ForeignKey("studies.name", ondelete="CASCADE"), nullable=False),
    Column("item", ForeignKey("items.id", ondelete="CASCADE"), nullable=False),
    Column("annotator", String(128), nullable=False, server_default=""),
    Column("lease", String(43), nullable=False, server_default=""),
    Column("expires", Float, nullable=False, server_default="0"),
    # "open", "leased" or "done".
    Column("state", String(6), nullable=False),
    # Whether this person sees the first system on side A: the places of one item take turns.
    Column("first_on_a", Boolean, nullable=False),
    Index("ix_slots_open", "study", "state", "id"),
    Index("ix_slots_expires", "study", "state", "expires"),
    Index("ix_slots_item", "item"),
    Index("ix_slots_annotator", "study", "annotator", "state"),
)

# Answers of models by the content of the question: nothing is asked twice, in any study.
calls = Table(
    "calls",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("model", String(300), nullable=False),
    Column("reply", Text, nullable=False),
    # Log-probability of each choice, where they were asked for.
    Column("logprobs", JSON, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cost_usd", Float, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("created", Float, nullable=False),
)

# What each study's judges used: one row per judge, so that adding to it is one statement.
ledger = Table(
    "ledger",
    metadata,
    Column("study", ForeignKey("studies.name", ondelete="CASCADE"), primary_key=True),
    Column("judge", String(128), primary_key=True),
    Column("calls", Integer, nullable=False, server_default="0"),
    Column("cached_calls", Integer, nullable=False, server_default="0"),
    Column("prompt_tokens", Integer, nullable=False, server_default="0"),
    Column("completion_tokens", Integer, nullable=False, server_default="0"),
    Column("cost_usd", Float, nullable=False, server_default="0"),
    Column("seconds", Float, nullable=False, server_default="0"),
)
