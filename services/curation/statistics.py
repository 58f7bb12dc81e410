"""What a dataset is like: the paper's Table 1 for this set, lengths, licences and diversity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from services.curation.draws import shuffled
from services.curation.filters import tokens
from services.curation.vendi import Embedder, vendi_score
from services.shared.records import Example, Split

DIVERSITY_SAMPLE = 1000
LENGTH_EDGES = (0, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row of Table 1. Means are in words, numbers and punctuation marks, not in a model's tokens."""

    source: str
    split: Split
    examples: int
    mean_prompt_tokens: float
    mean_response_tokens: float


@dataclass(frozen=True, slots=True)
class Statistics:
    rows: tuple[SourceRow, ...]
    split_counts: Mapping[str, int]
    source_counts: Mapping[str, int]
    licences: Mapping[str, int]
    # Examples whose longest text lies in [edge, next edge), by edge.
    prompt_lengths: Mapping[str, int]
    response_lengths: Mapping[str, int]
    total_train_tokens: int
    # The number of examples that the train split is worth if each were unlike all others, and by which measure.
    diversity: float
    diversity_metric: str
    diversity_sample: int
    # The same of each source's own examples.
    source_diversity: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def lengths(example: Example) -> tuple[int, int]:
    """(tokens of all turns but the assistant's, tokens of the assistant's turns)."""
    asked = sum(tokens(turn.content) for turn in example.messages if turn.role != "assistant")
    answered = sum(tokens(turn.content) for turn in example.messages if turn.role == "assistant")
    return asked, answered


def describe(examples: Mapping[Split, Sequence[Example]], embedder: Embedder) -> Statistics:
    measured = {split: [(example, *lengths(example)) for example in part] for split, part in examples.items()}
    rows = []
    for split, part in measured.items():
        for source in dict.fromkeys(example.source for example, _, _ in part):
            mine = [(asked, answered) for example, asked, answered in part if example.source == source]
            asked, answered = np.mean(mine, axis=0)
            rows.append(SourceRow(source, split, len(mine), round(float(asked), 2), round(float(answered), 2)))
    everything = [item for part in measured.values() for item in part]
    train = list(examples["train"]) or [example for example, _, _ in everything]
    sample = _sample(train)
    embedded = embedder.embed([_diversity_text(example) for example in sample])
    by_source = {
        source: [place for place, example in enumerate(sample) if example.source == source]
        for source in dict.fromkeys(example.source for example in train)
    }
    return Statistics(
        rows=tuple(rows),
        split_counts={split: len(part) for split, part in examples.items()},
        source_counts={f"{row.source}/{row.split}": row.examples for row in rows},
        licences=dict(
            sorted(Counter(example.attribution.licence or "not stated" for example, _, _ in everything).items())
        ),
        prompt_lengths=histogram(asked for _, asked, _ in everything),
        response_lengths=histogram(answered for _, _, answered in everything if answered),
        total_train_tokens=sum(asked + answered for _, asked, answered in measured["train"]),
        diversity=round(vendi_score(embedded), 4) if sample else 0.0,
        diversity_metric=f"Vendi score of the prompts, cosine kernel on {embedder.name}",
        diversity_sample=len(sample),
        source_diversity={
            source: round(vendi_score(embedded[places]), 4) for source, places in by_source.items() if places
        },
    )


def histogram(values: Iterable[int]) -> dict[str, int]:
    """Counts by lower edge; the last bin is open."""
    counts, _ = np.histogram(list(values), bins=[*LENGTH_EDGES, np.inf])
    return {str(edge): int(count) for edge, count in zip(LENGTH_EDGES, counts, strict=True)}


def _sample(examples: Sequence[Example]) -> list[Example]:
    """At most DIVERSITY_SAMPLE examples, the same ones for the same set."""
    by_id = {example.id: example for example in examples}
    return [by_id[name] for name in shuffled(0, "diversity", by_id)[:DIVERSITY_SAMPLE]]


def _diversity_text(example: Example) -> str:
    return next((turn.content for turn in example.messages if turn.role == "user"), "")[:2000]
