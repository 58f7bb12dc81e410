"""Writing a study's verdicts to the store in a format of one's choice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.judging.exporters import to_alpaca_eval, to_csv, to_jsonl, to_mt_bench
from services.judging.items import Item
from services.judging.repository import StudyRepository
from services.judging.verdicts import State, Verdict
from services.shared.errors import InvalidInput
from services.shared.objects import ObjectStore

FILES = {
    "lima-jsonl": "verdicts.jsonl",
    "lima-csv": "verdicts.csv",
    "alpaca-eval": "annotations.json",
    "mt-bench": "model_judgment.jsonl",
}


@dataclass(frozen=True, slots=True)
class Exported:
    uri: str
    exported: int
    excluded: dict[str, int]


async def export_verdicts(repository: StudyRepository, store: ObjectStore, name: str, form: str) -> Exported:
    if form not in FILES:
        raise InvalidInput("format", form, f"must be one of {', '.join(FILES)}")
    study = await repository.get(name)
    verdicts = await repository.verdicts(name)
    items = await repository.items(name) if form == "alpaca-eval" else []
    if form == "alpaca-eval" and not study.spec.rules.pairwise:
        raise InvalidInput("format", form, "holds comparisons only; this study grades single answers")
    kept, excluded = _with_form(verdicts, form)
    key = f"studies/{name}/exports/{FILES[form]}"

    def write() -> str:
        store.put_bytes(key, b"".join(_lines(form, kept, items)))
        return store.uri(key)

    return Exported(await asyncio.to_thread(write), len(kept), dict(excluded))


def _with_form(verdicts: Sequence[Verdict], form: str) -> tuple[list[Verdict], Counter[str]]:
    """The verdicts that the format can hold, and what it cannot, by reason."""
    if form.startswith("lima-"):
        return list(verdicts), Counter()
    states = (State.OK, State.UNPARSABLE)
    kept = [verdict for verdict in verdicts if verdict.state in states]
    return kept, Counter(verdict.state.value for verdict in verdicts if verdict.state not in states)


def _lines(form: str, verdicts: Sequence[Verdict], items: Sequence[Item]) -> Iterable[bytes]:
    if form == "lima-jsonl":
        return to_jsonl(verdicts)
    if form == "lima-csv":
        return to_csv(verdicts)
    if form == "mt-bench":
        return to_mt_bench(verdicts)
    return to_alpaca_eval(verdicts, {item.id: item for item in items})
