"""Models that an experiment names: where each comes from, and how it gets into the store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from services.cli.corpora import folder_digest
from services.cli.experiment.requests import model_request
from services.cli.experiment.steps import Step, Workplace, model_artefact
from services.shared.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.cli.experiment import document
    from services.cli.experiment.artefact import Artefact
    from services.cli.output import Progress


@dataclass(frozen=True)
class ModelStep(Step):
    source: document.Model
    # Of the section `folder`: a local path is relative to the experiment file.
    base: Path
    kind: ClassVar[str] = "model"

    @property
    def components(self) -> tuple[str, ...]:
        """Packages and hub models are converted where torch is: on the replica side."""
        return ("inference", "replica") if self.source.package or self.source.hub else ("inference",)

    def inputs(self, made: Mapping[str, Artefact]) -> dict[str, Any]:
        source = self.source.model_dump(exclude_none=True)
        return {"source": source, "files": folder_digest(self.folder) if self.is_local else ""}

    async def make(self, place: Workplace, progress: Progress) -> Artefact:
        from lima.inference.v1.model_pb2 import Model

        source = self.source
        if source.random is not None:
            progress.update("drawing weights", 0, 0)
            with tempfile.TemporaryDirectory() as scratch:
                await asyncio.to_thread(draw_random_model, Path(scratch), source.random.model_dump())
                uri = await upload(place, Path(scratch))
            source = source.model_copy(update={"random": None, "folder": uri})
        elif self.is_local:
            progress.update("uploading", 0, 0)
            source = source.model_copy(update={"folder": await upload(place, self.folder)})
        operation = await place.services.models.RegisterModel(model_request(self.name, source))
        model = await place.services.follow("inference", operation, Model(), progress)
        return model_artefact(model, place.services, {"parameters": model.parameter_count, "origin": model.origin})

    @property
    def is_local(self) -> bool:
        return self.source.folder is not None and not self.source.folder.startswith("s3://")

    @property
    def folder(self) -> Path:
        return (self.base / Path(self.source.folder or "").expanduser()).resolve()


async def upload(place: Workplace, folder: Path) -> str:
    """Put a local model folder under uploads/ of the store; return its URI."""
    prefix = f"uploads/models/{await asyncio.to_thread(folder_digest, folder)}"
    await asyncio.to_thread(place.services.store.put_folder, prefix, folder)
    return place.services.store.uri(prefix)


def draw_random_model(folder: Path, numbers: Mapping[str, Any]) -> None:
    """Write a tiny random model, in a process of its own: torch is not loaded for the command line.

    Raises InvalidInput with what that process says if the numbers do not make a model.
    """
    options = [f"--{key.replace('_', '-')}={value}" for key, value in sorted(numbers.items())]
    command = [sys.executable, "-m", "training_jobs.random_model", str(folder), *options]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise InvalidInput("random", dict(numbers), ended.stderr.strip().splitlines()[-1])
