"""Counts kept beside the verdicts, so that nobody has to count a million rows to show a number.

Every verdict is added and removed here, in the transaction that writes its count. There is one row
for each judge of a study: judges never wait for each other's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median_low
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from services.judging import tables as t

# A person's pace is the median of so many verdicts.
RECENT = 99
_STATES = ("ok", "unparsable", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class Tally:
    """What one judge has said in one study.

    `changes` grows with every verdict that is added or taken back. `recent_seconds` are those that a
    person took for the last verdicts, the newest last.
    """

    judge: str
    kind: str
    ok: int = 0
    unparsable: int = 0
    failed: int = 0
    skipped: int = 0
    gold: int = 0
    gold_right: int = 0
    gold_skipped: int = 0
    changes: int = 0
    recent_seconds: Sequence[float] = ()

    @property
    def verdicts(self) -> int:
        return self.ok + self.unparsable + self.failed + self.skipped

    @property
    def gold_accuracy(self) -> float | None:
        return self.gold_right / self.gold if self.gold else None

    @property
    def median_seconds(self) -> float:
        return median_low(self.recent_seconds) if self.recent_seconds else 0.0


class Added(NamedTuple):
    """How many verdicts were new, and the counts of the judges that gave these."""

    verdicts: int
    tallies: list[Tally]


_COUNTS = ("ok", "unparsable", "failed", "skipped", "gold", "gold_right", "gold_skipped", "changes")
_FIELDS = ("judge", "kind", *_COUNTS, "recent_seconds")


_C, _V = t.tallies.c, t.verdicts.c
_COUNTED = (_V.judge, _V.kind, _V.state, _V.gold_correct, _V.seconds, _V.item)
_OF_STUDY = _C.study == sa.bindparam("of")
_WHOSE = _OF_STUDY & (_C.judge == sa.bindparam("by")) & (_C.kind == sa.bindparam("of_kind"))
_SELECTED = [_C[name] for name in _FIELDS]
# Statements of every verdict: to make one takes longer than to run it.
_ALL = sa.select(*_SELECTED).where(_OF_STUDY).order_by(_C.judge, _C.kind)
_ONE = sa.select(*_SELECTED).where(_WHOSE)
_RECENT = sa.select(_C.recent_seconds).where(_WHOSE).with_for_update()
_CHANGE = (
    t.tallies.update()
    .where(_WHOSE)
    .values(
        **{name: _C[name] + sa.bindparam(f"{name}_by", type_=sa.Integer) for name in _COUNTS},
        recent_seconds=sa.bindparam("recent", type_=sa.JSON),
    )
    .returning(*_SELECTED)
)


def tallies(connection: sa.Connection, study: str) -> list[Tally]:
    """Those of every judge that has said anything, by name."""
    return [Tally(*row) for row in connection.execute(_ALL, {"of": study})]


def tally(connection: sa.Connection, study: str, judge: str, kind: str) -> Tally:
    row = connection.execute(_ONE, {"of": study, "by": judge, "of_kind": kind}).first()
    return Tally(judge, kind) if row is None else Tally(*row)


def add_verdicts(
    connection: sa.Connection, study: str, rows: Sequence[dict[str, Any]], *, skipped_gold: Collection[str] = ()
) -> Added:
    """Add the verdicts that are not there yet.

    Args:
        rows: as `rows.verdict_row` makes them.
        skipped_gold: items among those of the rows that are gold and were skipped.
    """
    if not rows:
        return Added(0, [])
    added = connection.execute(_insert_verdicts(connection.dialect.name), rows).all()
    return Added(len(added), _count(connection, study, added, 1, skipped_gold))


def remove_verdicts(
    connection: sa.Connection, study: str, where: sa.ColumnElement[bool], *, skipped_gold: Collection[str] = ()
) -> None:
    """Take back the verdicts of a study that `where` chooses."""
    gone = t.verdicts.delete().where(t.verdicts.c.study == study, where).returning(*_COUNTED)
    removed = (connection.execute(gone)).all()
    _count(connection, study, removed, -1, skipped_gold)


def _count(
    connection: sa.Connection, study: str, verdicts: Sequence[Any], sign: int, skipped_gold: Collection[str]
) -> list[Tally]:
    changed = []
    by_judge: dict[tuple[str, str], list[Any]] = {}
    for verdict in verdicts:
        by_judge.setdefault((verdict.judge, verdict.kind), []).append(verdict)
    # Always in the same order: two transactions that count several judges must not wait for each other.
    for judge, kind in sorted(by_judge):
        own = by_judge[judge, kind]
        change = {f"{state}_by": sign * sum(verdict.state == state for verdict in own) for state in _STATES}
        change["gold_by"] = sign * sum(verdict.gold_correct is not None for verdict in own)
        change["gold_right_by"] = sign * sum(bool(verdict.gold_correct) for verdict in own)
        change["gold_skipped_by"] = sign * sum(verdict.item in skipped_gold for verdict in own)
        change["changes_by"] = len(own)
        seconds = [float(verdict.seconds) for verdict in own if verdict.state == "ok"] if kind == "human" else []
        changed.append(_add(connection, {"of": study, "by": judge, "of_kind": kind}, change, seconds, sign))
    return changed


def _add(
    connection: sa.Connection, whose: dict[str, str], change: dict[str, int], seconds: list[float], sign: int
) -> Tally:
    row = connection.execute(_RECENT, whose).first()
    if row is None:
        # Another transaction may make the row at the same time: then this one waits for it here.
        new = {"study": whose["of"], "judge": whose["by"], "kind": whose["of_kind"], "recent_seconds": []}
        connection.execute(insert_new(connection, t.tallies), new)
        row = connection.execute(_RECENT, whose).one()
    recent = list(row.recent_seconds)
    if seconds:
        recent = (recent + seconds)[-RECENT:] if sign > 0 else recent[: -len(seconds)]
    return Tally(*connection.execute(_CHANGE, {**whose, **change, "recent": recent}).one())


def insert_new(connection: sa.Connection, table: sa.Table) -> Any:
    """An insert that leaves out rows whose unique key is taken; both databases have it, under one name."""
    return _insert_new(connection.dialect.name, table)


@cache
def _insert_new(dialect: str, table: sa.Table) -> Any:
    return (postgresql if dialect == "postgresql" else sqlite).insert(table).on_conflict_do_nothing()


@cache
def _insert_verdicts(dialect: str) -> Any:
    return _insert_new(dialect, t.verdicts).returning(*_COUNTED)
