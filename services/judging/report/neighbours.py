"""From each answer in the report to the training examples nearest to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import structlog

from services.judging.nearest import read_answers
from services.judging.report.provenance import Provenance
from services.shared.errors import InvalidInput
from services.shared.objects import ObjectStore

SHOWN = 3
log = structlog.get_logger()


def add_neighbours(document: dict[str, Any], store: ObjectStore, provenance: Mapping[str, Provenance]) -> None:
    """Fill in the examples for the systems whose data set is known; a data set that cannot be read is passed over."""
    by_dataset: dict[str, list[str]] = {}
    for name, system in provenance.items():
        if system.dataset:
            by_dataset.setdefault(system.dataset, []).append(name)
    for dataset, names in by_dataset.items():
        answers = [
            (reading["prompt"][-1][1], answer)
            for reading in document["readings"]
            for answer in reading["answers"]
            if answer["system"] in names
        ]
        try:
            index = read_answers(store, dataset if "://" in dataset else store.uri(dataset))
        except InvalidInput as problem:
            log.warning("no nearest training examples", dataset=dataset, problem=str(problem))
            continue
        found = index.nearest([f"{prompt}\n{answer['text']}" for prompt, answer in answers], SHOWN)
        for (_, answer), near in zip(answers, found, strict=True):
            answer["nearest"] = [dataclasses.asdict(each) for each in near]
        document["nearest_method"] = index.method
