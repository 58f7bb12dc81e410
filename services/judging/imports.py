"""Bringing peers' files into studies: answers become response sets, verdicts find their items."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import BinaryIO

from services.judging.importers import Entry, Imported, read_response_file, read_verdicts
from services.judging.items import Item, conversation
from services.judging.repository import StudyRepository
from services.judging.rows import prompt_key
from services.judging.study import StudySpec, System
from services.judging.verdicts import Verdict
from services.shared.digest import digest_bytes
from services.shared.errors import InvalidInput
from services.shared.objects import ObjectStore
from services.shared.records import Response


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    imported: int
    skipped: int
    problems: list[str]


@dataclass(frozen=True, slots=True)
class ImportedResponses:
    systems: list[System]
    problems: list[str]


async def import_verdicts(
    repository: StudyRepository, store: ObjectStore, name: str, uri: str, form: str, systems: Sequence[str]
) -> ImportOutcome:
    """Add a file's verdicts to a study; the same file again adds nothing."""
    study = await repository.get(name)
    _check_systems(study.spec, systems)

    def read() -> Imported:
        with store.open(store.key(uri)) as stream:
            return read_verdicts(form, stream, tuple(systems))

    imported = await asyncio.to_thread(read)
    places = ItemFinder(study.spec, await repository.items(name))
    verdicts = []
    for number, entry in enumerate(imported.entries):
        try:
            verdicts.append(places.placed(entry, tuple(systems)))
        except LookupError as problem:
            imported.refuse(f"verdict {number}", str(problem.args[0]))
    added = await repository.add_verdicts(name, verdicts)
    return ImportOutcome(added, imported.skipped + len(verdicts) - added, imported.problems)


def _check_systems(spec: StudySpec, systems: Sequence[str]) -> None:
    known = {system.name for system in spec.systems}
    if unknown := sorted(set(systems) - known):
        raise InvalidInput("systems", ", ".join(unknown), f"must be among the study's: {', '.join(sorted(known))}")


class ItemFinder:
    """Finds the item that a verdict from elsewhere is about."""

    def __init__(self, spec: StudySpec, items: Sequence[Item]) -> None:
        self._spec = spec
        self._by_id = {(item.prompt_id, item.sample, item.turn, item.systems): item for item in items}
        self._by_text = {
            (prompt_key(conversation(item.prompt)), item.sample, item.turn, item.systems): item for item in items
        }

    def placed(self, entry: Entry, systems: tuple[str, ...]) -> Verdict:
        """The verdict on its item, mirrored where the study has the systems the other way round.

        Raises LookupError with the reason where there is no such item or the verdict does not fit it.
        """
        verdict = entry.verdict
        named = systems or verdict.systems
        for order in (named, named[::-1]):
            item = self._find(entry, order)
            if item is not None:
                mirrored = order != named
                return self._fitting(_mirrored(verdict) if mirrored else verdict, item)
        raise LookupError(f"no item for prompt {verdict.prompt_id!r} and systems {', '.join(named)}")

    def _find(self, entry: Entry, systems: tuple[str, ...]) -> Item | None:
        verdict = entry.verdict
        place = (verdict.sample, verdict.turn, systems)
        found = self._by_id.get((verdict.prompt_id, *place))
        if found is None and entry.prompt:
            found = self._by_text.get((prompt_key(entry.prompt), *place))
        return found

    def _fitting(self, verdict: Verdict, item: Item) -> Verdict:
        rules = self._spec.rules
        verdict = replace(verdict, prompt_id=item.prompt_id, systems=item.systems, item=item.id)
        if verdict.state != "ok":
            return verdict
        if rules.pairwise:
            if verdict.preference is None:
                raise LookupError("a comparison needs a preference")
            return replace(verdict, gold_correct=self._spec.gold_correct(item.prompt_id, str(verdict.choice)))
        if verdict.label and verdict.label not in rules.choices:
            raise LookupError(f"label {verdict.label!r} is not one of {', '.join(rules.choices)}")
        if not verdict.label and verdict.scores and verdict.scores[0] in rules.scores:
            verdict = replace(verdict, label=rules.choices[rules.scores.index(verdict.scores[0])])
        if verdict.label and not verdict.scores:
            verdict = replace(verdict, scores=(rules.scores[rules.choices.index(verdict.label)],))
        if not verdict.scores:
            raise LookupError("a graded answer needs a label or a score")
        return replace(verdict, gold_correct=self._spec.gold_correct(item.prompt_id, verdict.label))


def _mirrored(verdict: Verdict) -> Verdict:
    return replace(
        verdict,
        preference=None if verdict.preference is None else 1 - verdict.preference,
        scores=verdict.scores[::-1],
        first_on_a=not verdict.first_on_a,
    )


def import_responses(store: ObjectStore, uri: str, form: str, prompts_uri: str) -> ImportedResponses:
    """Write one response set per system of a file, named by its content."""
    prompts: AbstractContextManager[BinaryIO | None] = (
        store.open(store.key(prompts_uri)) if prompts_uri else nullcontext(None)
    )
    with store.open(store.key(uri)) as stream, prompts as questions:
        found, problems = read_response_file(form, stream, questions)
    if not found:
        raise InvalidInput("source_uri", uri, f"must hold answers in the format {form}", "; ".join(problems[:3]))
    return ImportedResponses(
        [System(name=name[:100], responses_uri=_write(store, name, rows, uri, form)) for name, rows in found.items()],
        problems,
    )


def _write(store: ObjectStore, system: str, responses: Sequence[Response], uri: str, form: str) -> str:
    lines = io.BytesIO()
    for response in responses:
        # Lone surrogates have a JSON escape, but no UTF-8.
        lines.write(json.dumps(response.model_dump(mode="json")).encode() + b"\n")
    data = lines.getvalue()
    key = f"responses/{digest_bytes(data)}"
    manifest = {"model": system, "imported_from": uri, "format": form, "response_count": len(responses)}
    store.put_bytes(f"{key}.jsonl", data, content_type="application/jsonl")
    store.put_bytes(f"{key}.manifest.json", json.dumps(manifest, indent=1).encode(), content_type="application/json")
    return store.uri(f"{key}.jsonl")
