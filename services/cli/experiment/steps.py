"""The steps of an experiment: what each needs, what it is made from, and how it is made.

A step's inputs name everything that decides its artefact. If a record exists for the same inputs,
the step is not run again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from services.cli.experiment.artefact import Artefact
from services.cli.experiment.requests import sampling, training_spec
from services.cli.experiment.training import metrics_by_epoch
from services.cli.output import message_to_dict
from services.shared.digest import digest_json

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lima.curation.v1.spec_pb2 import DatasetSpec
    from services.cli.client import Services
    from services.cli.experiment import document
    from services.cli.experiment.site import Site
    from services.cli.experiment.spec import Experiment
    from services.cli.output import Progress
    from services.cli.stack.stack import Stack


@dataclass(frozen=True)
class Workplace:
    """What a step works with."""

    experiment: Experiment
    # Of this machine: where reports are kept.
    stack: Stack
    site: Site
    services: Services
    made: Mapping[str, Artefact]


@dataclass(frozen=True)
class Step(ABC):
    name: str

    kind: ClassVar[str]

    @property
    @abstractmethod
    def components(self) -> tuple[str, ...]:
        """Components of the stack that must run before the step is made."""

    @property
    def key(self) -> str:
        return f"{self.kind}-{self.name}"

    @abstractmethod
    def inputs(self, made: Mapping[str, Artefact]) -> dict[str, Any]:
        """Everything that decides the artefact, as JSON."""

    @abstractmethod
    async def make(self, place: Workplace, progress: Progress) -> Artefact: ...


@dataclass(frozen=True)
class CorpusStep(Step):
    folder: Path
    kind: ClassVar[str] = "corpus"
    components = ("curation",)

    def inputs(self, made: Mapping[str, Artefact]) -> dict[str, Any]:
        from services.cli.corpora import folder_digest

        return {"files": folder_digest(self.folder)}

    async def make(self, place: Workplace, progress: Progress) -> Artefact:
        from services.cli.corpora import import_folder

        corpus = await import_folder(place.services, self.name, self.folder, progress)
        return Artefact(
            name=corpus.name,
            digest=corpus.digest,
            uri=corpus.uri,
            proof=f"{place.services.store.key(corpus.uri).rstrip('/')}/manifest.json",
            details={"files": corpus.file_count, "bytes": corpus.size_bytes},
        )


@dataclass(frozen=True)
class DatasetStep(Step):
    spec: DatasetSpec
    corpora: tuple[str, ...]
    kind: ClassVar[str] = "dataset"
    components = ("curation",)

    def inputs(self, made: Mapping[str, Artefact]) -> dict[str, Any]:
        corpora = {name: made[f"corpus-{name}"].digest for name in self.corpora}
        return {"spec": message_to_dict(self.spec), "corpora": corpora}

    async def make(self, place: Workplace, progress: Progress) -> Artefact:
        from lima.curation.v1.curation_pb2 import BuildDatasetRequest, Dataset

        operation = await place.services.curation.BuildDataset(BuildDatasetRequest(spec=self.spec))
        dataset = await place.services.follow("curation", operation, Dataset(), progress)
        return Artefact(
            name=dataset.name,
            digest=dataset.digest,
            uri=dataset.uri,
            proof=f"{place.services.store.key(dataset.uri).rstrip('/')}/manifest.json",
            details={
                "split_counts": dict(dataset.split_counts),
                "source_counts": dict(dataset.source_counts),
                "statistics": [message_to_dict(row) for row in dataset.statistics],
            },
        )


def model_artefact(model: Any, services: Services, details: Mapping[str, Any]) -> Artefact:
    proof = f"{services.store.key(model.uri).rstrip('/')}/manifest.json"
    return Artefact(name=model.name, digest=model.digest, uri=model.uri, proof=proof, details=details)


@dataclass(frozen=True)
class RunStep(Step):
    """Trains, and registers the selected checkpoint as a model of the run's name."""

    run: document.Run
    kind: ClassVar[str] = "run"

    @property
    def components(self) -> tuple[str, ...]:
        return ("inference",) if self.run.compute.get("engine") == "bare" else ("inference", "ray")

    def inputs(self, made: Mapping[str, Artefact]) -> dict[str, Any]:
        sections = self.run.model_dump(exclude={"dataset", "base_model", "compute", "tracking"})
        dataset, base = made[f"dataset-{self.run.dataset}"], made[f"model-{self.run.base_model}"]
        return {"sections": sections, "dataset": dataset.digest, "base_model": base.digest}

    async def make(self, place: Workplace, progress: Progress) -> Artefact:
        from lima.inference.v1.model_pb2 import Model, RegisterModelRequest

        # A run of other inputs is another run: its name says so, and an interrupted one is found again.
        run = f"{self.name[:50]}-{digest_json(self.inputs(place.made))[:8]}"
        spec = training_spec(
            self.name,
            self.run,
            base_model=place.made[f"model-{self.run.base_model}"].uri,
            dataset=place.made[f"dataset-{self.run.dataset}"].uri,
        ).model_copy(update={"run": run})
        status = await place.site.train(self.run, spec, place.services.store, progress)
        # A cluster's run has a name of its own, and its records lie under that.
        run = status.run
        checkpoint = f"runs/{run}/{status.selected_checkpoint or status.last_checkpoint}"
        operation = await place.services.models.RegisterModel(
            RegisterModelRequest(model_id=self.name, checkpoint=checkpoint)
        )
        model = await place.services.follow("inference", operation, Model(), progress)
        details = {
            "run": run,
            "checkpoint": checkpoint,
            "steps": status.total_steps,
            "loss_per_epoch": metrics_by_epoch(place.services.store, run, "step"),
            "dev_perplexity_per_epoch": metrics_by_epoch(place.services.store, run, "evaluation"),
            "recipe": spec.recipe.model_dump(mode="json"),
            "dataset": place.made[f"dataset-{self.run.dataset}"].name,
        }
        return model_artefact(model, place.services, details)


def system_step(responses: document.Responses) -> str:
    """The key of the step that makes the model which answers."""
    return f"model-{responses.model}" if responses.model else f"run-{responses.run}"


@dataclass(frozen=True)
class ResponsesStep(Step):
    responses: document.Responses
    kind: ClassVar[str] = "responses"
    components = ("inference", "replica")

    def inputs(self, made: Mapping[str, Artefact]) -> dict[str, Any]:
        return {
            "responses": self.responses.model_dump(exclude={"model", "run"}),
            "model": made[system_step(self.responses)].digest,
            "dataset": made[f"dataset-{self.responses.prompts.dataset}"].digest,
        }

    async def make(self, place: Workplace, progress: Progress) -> Artefact:
        from lima.inference.v1.inference_pb2 import GenerateResponsesRequest, ResponseSet

        model = place.made[system_step(self.responses)].name
        dataset = place.made[f"dataset-{self.responses.prompts.dataset}"]
        await place.services.load_model(model, progress, engine=self.responses.engine)
        request = GenerateResponsesRequest(
            model=model,
            prompts_uri=f"{dataset.uri.rstrip('/')}/{self.responses.prompts.split}.jsonl",
            sampling=sampling(self.name, self.responses),
            n=self.responses.n,
            limit=self.responses.prompts.limit,
        )
        operation = await place.services.inference.GenerateResponses(request)
        made = await place.services.follow("inference", operation, ResponseSet(), progress)
        return Artefact(
            name=made.name,
            digest=made.name.rpartition("/")[2],
            uri=made.uri,
            proof=place.services.store.key(made.uri),
            details={
                "model": model,
                "prompts": made.prompt_count,
                "responses": made.response_count,
                "finish_counts": dict(made.finish_counts),
                "deviations": list(made.deviations),
                "completion_tokens": made.usage.completion_tokens,
            },
        )
