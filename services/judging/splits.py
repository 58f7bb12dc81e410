"""Prompts that are far from everything a model was trained on: proposed by similarity, decided by a person."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from services.judging import tables as t
from services.judging.items import conversation
from services.judging.nearest import Neighbour, TrainingIndex, read_prompts
from services.judging.repository import StudyRepository
from services.judging.tallies import insert_new
from services.shared.errors import InvalidInput, NotFound
from services.shared.objects import ObjectStore

_LISTED = 5


@dataclass(frozen=True, slots=True)
class SplitPrompt:
    """A prompt with its nearest training example, None where no example shares a word with it."""

    prompt_id: str
    text: str
    nearest: Neighbour | None
    out_of_distribution: bool


@dataclass(frozen=True, slots=True)
class Split:
    """`confirmed_by` is empty and `confirmed` 0 for a proposal."""

    dataset_uri: str
    threshold: float
    # How similarity was measured, in words.
    method: str
    prompts: Sequence[SplitPrompt]
    confirmed_by: str = ""
    confirmed: float = 0.0


async def propose(
    repository: StudyRepository, store: ObjectStore, study: str, dataset_uri: str, threshold: float | None
) -> Split:
    """Which prompts are out of distribution by the threshold alone, the farthest first. None: the method's own."""
    if threshold is not None and not 0 <= threshold <= 1:
        raise InvalidInput("threshold", threshold, "must be from 0 to 1")
    await repository.get(study)
    texts = {item.prompt_id: conversation(item.prompt) for item in await repository.items(study)}

    def work() -> tuple[TrainingIndex, list[list[Neighbour]]]:
        index = read_prompts(store, dataset_uri)
        return index, index.nearest(list(texts.values()), 1)

    index, found = await asyncio.to_thread(work)
    threshold = index.threshold if threshold is None else threshold
    prompts = [
        SplitPrompt(prompt_id, text, next(iter(near), None), not near or near[0].similarity < threshold)
        for (prompt_id, text), near in zip(texts.items(), found, strict=True)
    ]
    prompts.sort(key=lambda each: (each.nearest.similarity if each.nearest else 0.0, each.prompt_id))
    return Split(dataset_uri, threshold, index.method, prompts)


async def confirm(
    repository: StudyRepository,
    store: ObjectStore,
    study: str,
    dataset_uri: str,
    threshold: float | None,
    out_of_distribution: Collection[str],
    who: str,
) -> Split:
    """Keep a person's decision: these prompts are out of distribution, all others are not."""
    proposed = await propose(repository, store, study, dataset_uri, threshold)
    if unknown := sorted(set(out_of_distribution) - {each.prompt_id for each in proposed.prompts}):
        listed = ", ".join(unknown[:_LISTED])
        raise InvalidInput("out_of_distribution", listed, "must name prompts of the study")
    values = {
        "dataset_uri": dataset_uri,
        "threshold": proposed.threshold,
        "method": proposed.method,
        "out_of_distribution": sorted(set(out_of_distribution)),
        "confirmed_by": who,
        "confirmed": time.time(),
    }

    def work(connection: sa.Connection) -> None:
        connection.execute(insert_new(connection, t.splits), {"study": study, "changes": 0, **values})
        changed = t.splits.update().where(t.splits.c.study == study)
        connection.execute(changed.values(changes=t.splits.c.changes + 1, **values))

    try:
        await repository.write(work)
    except sa.exc.IntegrityError:
        raise NotFound("study", study, remedy="it was deleted meanwhile") from None
    chosen = frozenset(out_of_distribution)
    prompts = [
        SplitPrompt(each.prompt_id, each.text, each.nearest, each.prompt_id in chosen) for each in proposed.prompts
    ]
    return Split(dataset_uri, proposed.threshold, proposed.method, prompts, who, float(str(values["confirmed"])))
