"""Reading a dataset as people do: a page of examples, a search, one example with its lineage.

Datasets never change, so the lines of those that were read last are kept, up to a bound; and a line is parsed only
where it may hold what is looked for.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from services.curation.datasets import Datasets
from services.curation.selection import SPLITS
from services.shared.errors import DataCorrupt, InvalidInput, NotFound
from services.shared.records import Example

# A split beyond this is read from the store each time; what is kept of all together has the second bound.
SPLIT_BYTES = 64 << 20
KEPT_BYTES = 192 << 20


class ExampleShelf:
    """Finds examples of datasets. Safe to use from several threads."""

    def __init__(self, datasets: Datasets, split_bytes: int = SPLIT_BYTES, kept_bytes: int = KEPT_BYTES) -> None:
        self._datasets = datasets
        self._split_bytes, self._kept_bytes = split_bytes, kept_bytes
        # By key: (size, lines), the last used at the end.
        self._kept: OrderedDict[str, tuple[int, Sequence[str]]] = OrderedDict()
        self._lock = threading.Lock()

    def page(
        self, manifest: Mapping[str, Any], start: int, size: int, *, split: str = "", source: str = "", query: str = ""
    ) -> list[Example]:
        """At most `size` examples that match, after the first `start` of them, in the order of the files.

        `query` is looked for in every turn, whatever its case.
        """
        if split and split not in SPLITS:
            raise InvalidInput("split", split, f"must be one of {', '.join(SPLITS)}, or empty for all")
        lines = self._lines(manifest, (split,) if split else SPLITS)
        if not source and not query:
            return [_parsed(key, line) for key, line in islice(lines, start, start + size)]
        wanted, needle = escaped(source), escaped(query).casefold()
        candidates = (
            _parsed(key, line) for key, line in lines if wanted in line and (not needle or needle in line.casefold())
        )
        found = (example for example in candidates if _matches(example, source, query.casefold()))
        return list(islice(found, start, start + size))

    def example(self, manifest: Mapping[str, Any], name: str) -> Example:
        """Raises NotFound."""
        wanted = escaped(name)
        for key, line in self._lines(manifest, SPLITS):
            if wanted in line and (example := _parsed(key, line)).id == name:
                return example
        raise NotFound("example", name, remedy=f"See lima datasets examples {manifest['name']}.")

    def _lines(self, manifest: Mapping[str, Any], splits: Sequence[str]) -> Iterator[tuple[str, str]]:
        for split in splits:
            key = f"{self._datasets.key(manifest)}/{split}.jsonl"
            for line in self._split(key):
                yield key, line

    def _split(self, key: str) -> Iterator[str] | Sequence[str]:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][1]
        try:
            data = self._datasets.store.get_bytes(key, self._split_bytes)
        except InvalidInput:
            return self._streamed(key)
        # Not splitlines: a text may hold line separators of its own, which JSON does not escape.
        lines = data.decode("utf-8", "replace").removesuffix("\n").split("\n") if data else []
        with self._lock:
            self._kept[key] = (len(data), lines)
            while sum(size for size, _ in self._kept.values()) > self._kept_bytes:
                self._kept.popitem(last=False)
        return lines

    def _streamed(self, key: str) -> Iterator[str]:
        with self._datasets.store.open(key) as lines:
            for line in lines:
                yield line.decode("utf-8", "replace")


def escaped(text: str) -> str:
    """The text as it stands inside a JSON string of a dataset: a line that holds the text holds this.

    >>> escaped('say "hi"')
    'say \\\\"hi\\\\"'
    """
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _matches(example: Example, source: str, needle: str) -> bool:
    if source and example.source != source:
        return False
    return not needle or any(needle in turn.content.casefold() for turn in example.messages)


def _parsed(key: str, line: str) -> Example:
    try:
        return Example.model_validate_json(line)
    except ValueError as error:
        raise DataCorrupt(f"{key} holds a line that is no example: {error}", remedy="Build the set again.") from None
