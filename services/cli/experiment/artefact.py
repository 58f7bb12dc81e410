"""What a step of an experiment leaves, and the record by which a later run finds it again."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from services.shared.digest import digest_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.shared.objects import ObjectStore


@dataclass(frozen=True)
class Artefact:
    """Something immutable in the store, under the name that its service gave it."""

    # Resource name, for example "datasets/quickstart/4f1c…".
    name: str
    # Of its content.
    digest: str
    uri: str
    # Key whose presence shows that the artefact is complete: it was written last.
    proof: str
    # Numbers and texts for the summary at the end.
    details: Mapping[str, Any] = field(default_factory=dict)


class Records:
    """`experiments/<experiment>/<step>/<digest of the step's inputs>.json` in the store."""

    def __init__(self, store: ObjectStore, experiment: str) -> None:
        self.store = store
        self.prefix = f"experiments/{experiment}"

    def key(self, step: str, inputs: Mapping[str, Any]) -> str:
        return f"{self.prefix}/{step}/{digest_json(inputs)}.json"

    async def find(self, step: str, inputs: Mapping[str, Any]) -> Artefact | None:
        """The artefact made from these inputs before, if it is still there whole."""
        return await asyncio.to_thread(self.read, self.key(step, inputs))

    def read(self, key: str) -> Artefact | None:
        if self.store.stat(key) is None:
            return None
        artefact = Artefact(**json.loads(self.store.get_bytes(key))["artefact"])
        return artefact if self.store.stat(artefact.proof) is not None else None

    async def keep(self, step: str, inputs: Mapping[str, Any], artefact: Artefact) -> None:
        document = {"step": step, "inputs": inputs, "artefact": asdict(artefact)}
        data = json.dumps(document, indent=2, sort_keys=True).encode()
        await asyncio.to_thread(self.store.put_bytes, self.key(step, inputs), data)
