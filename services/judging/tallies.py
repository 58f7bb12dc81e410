"""Counts kept beside the verdicts, so that nobody has to count a million rows to show a number.

Every verdict is added and removed here, in the transaction that writes its count. There is one row
for each judge of a study: judges never wait for each other's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from services.judging import tables as t

# A person's pace is the median of so many verdicts.
RECENT = 99
_BATCH = 500
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


def tallies(connection: sa.Connection, study: str) -> list[Tally]:
    """Those of every judge that has said anything, by name."""
    c = t.tallies.c
    query = sa.select(*(c[name] for name in _FIELDS)).where(c.study == study).order_by(c.judge, c.kind)
    return [Tally(*row) for row in connection.execute(query)]


def tally(connection: sa.Connection, study: str, judge: str, kind: str) -> Tally:
    c = t.tallies.c
    query = sa.select(*(c[name] for name in _FIELDS)).where(c.study == study, c.judge == judge, c.kind == kind)
    row = (connection.execute(query)).first()
    return Tally(judge, kind) if row is None else Tally(*row)


def add_verdicts(
    connection: sa.Connection, study: str, rows: Sequence[dict[str, Any]], *, skipped_gold: Collection[str] = ()
) -> Added:
    """Add the verdicts that are not there yet.

    Args:
        rows: as `rows.verdict_row` makes them.
        skipped_gold: items among those of the rows that are gold and were skipped.
    """
    added: list[Any] = []
    for start in range(0, len(rows), _BATCH):
        statement = insert_new(connection, t.verdicts, rows[start : start + _BATCH]).returning(*_counted())
        added += (connection.execute(statement)).all()
    return Added(len(added), _count(connection, study, added, 1, skipped_gold))


def remove_verdicts(
    connection: sa.Connection, study: str, where: sa.ColumnElement[bool], *, skipped_gold: Collection[str] = ()
) -> None:
    """Take back the verdicts of a study that `where` chooses."""
    gone = t.verdicts.delete().where(t.verdicts.c.study == study, where).returning(*_counted())
    removed = (connection.execute(gone)).all()
    _count(connection, study, removed, -1, skipped_gold)


def _counted() -> list[Any]:
    v = t.verdicts.c
    return [v.judge, v.kind, v.state, v.gold_correct, v.seconds, v.item]


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
        change = {state: sign * sum(verdict.state == state for verdict in own) for state in _STATES}
        change["gold"] = sign * sum(verdict.gold_correct is not None for verdict in own)
        change["gold_right"] = sign * sum(bool(verdict.gold_correct) for verdict in own)
        change["gold_skipped"] = sign * sum(verdict.item in skipped_gold for verdict in own)
        change["changes"] = len(own)
        seconds = [float(verdict.seconds) for verdict in own if verdict.state == "ok"] if kind == "human" else []
        counts = _add(connection, study, judge, kind, {name: by for name, by in change.items() if by}, seconds, sign)
        changed.append(counts)
    return changed


def _add(
    connection: sa.Connection,
    study: str,
    judge: str,
    kind: str,
    change: dict[str, int],
    seconds: list[float],
    sign: int,
) -> Tally:
    c = t.tallies.c
    mine = (c.study == study) & (c.judge == judge) & (c.kind == kind)
    found = sa.select(c.recent_seconds).where(mine).with_for_update()
    row = (connection.execute(found)).first()
    if row is None:
        # Another transaction may make the row at the same time: then this one waits for it here.
        new = {"study": study, "judge": judge, "kind": kind, "recent_seconds": []}
        connection.execute(insert_new(connection, t.tallies, [new]))
        row = (connection.execute(found)).one()
    values: dict[str, Any] = {name: c[name] + by for name, by in change.items()}
    if seconds:
        recent = list(row.recent_seconds)
        values["recent_seconds"] = (recent + seconds)[-RECENT:] if sign > 0 else recent[: -len(seconds)]
    counted = t.tallies.update().where(mine).values(values).returning(*(c[name] for name in _FIELDS))
    return Tally(*(connection.execute(counted)).one())


def insert_new(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> Any:
    """An insert that leaves out rows whose unique key is taken; both databases have it, under one name."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(table).values(list(rows)).on_conflict_do_nothing()
