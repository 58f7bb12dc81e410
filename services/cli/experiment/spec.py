"""An experiment file, checked whole before anything starts.

experiment = load_experiment(Path("experiments/quickstart.yaml"), settings)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.cli.experiment.document import ExperimentDocument, parse_document
from services.cli.experiment.requests import dataset_message, model_request, sampling, study_message, training_spec
from services.shared.errors import FieldViolation, InvalidInput, InvalidInputs, NotFound, show

if TYPE_CHECKING:
    from lima.curation.v1.spec_pb2 import DatasetSpec
    from services.shared.settings import Settings


@dataclass(frozen=True)
class Experiment:
    """A document whose references, folders and sections in protobuf form are known to be right."""

    document: ExperimentDocument
    path: Path
    # Corpus name to existing folder.
    corpora: dict[str, Path]
    # Dataset name to lima.curation.v1.DatasetSpec.
    datasets: dict[str, DatasetSpec]

    @property
    def name(self) -> str:
        return self.document.name


def load_experiment(path: Path, settings: Settings) -> Experiment:
    """Read and check an experiment file.

    Raises NotFound for a missing file or corpus, InvalidInputs naming every wrong field.
    """
    document = parse_document(path)
    check_references(document)
    check_messages(document)
    check_runs(document)
    return Experiment(
        document=document,
        path=path,
        corpora={name: corpus_folder(name, folder, path, settings) for name, folder in document.corpora.items()},
        datasets={name: dataset_message(name, section) for name, section in document.datasets.items()},
    )


def check_references(document: ExperimentDocument) -> None:
    """Raise InvalidInputs for every name that refers to nothing."""
    problems: list[FieldViolation] = []

    def refer(field: str, name: str | None, section: str, known: Any) -> None:
        if name is not None and name not in known:
            listed = ", ".join(known) or "nothing"
            problems.append(FieldViolation(field, show(name), f"must be a name of {section}, which holds {listed}"))

    for name, section in document.datasets.items():
        for index, source in enumerate(section.get("sources") or []):
            if isinstance(source, dict):
                refer(f"datasets.{name}.sources.{index}.corpus", source.get("corpus"), "corpora", document.corpora)
    for name, run in document.runs.items():
        refer(f"runs.{name}.dataset", run.dataset, "datasets", document.datasets)
        refer(f"runs.{name}.base_model", run.base_model, "models", document.models)
    for name, responses in document.responses.items():
        refer(f"responses.{name}.model", responses.model, "models", document.models)
        refer(f"responses.{name}.run", responses.run, "runs", document.runs)
        refer(f"responses.{name}.prompts.dataset", responses.prompts.dataset, "datasets", document.datasets)
    models_and_runs = [*document.models, *document.runs]
    for name, study in document.studies.items():
        for index, system in enumerate(study.systems):
            refer(f"studies.{name}.systems.{index}", system, "responses", document.responses)
        for index, judge in enumerate(study.judges):
            refer(f"studies.{name}.judges.{index}.model", judge.get("model"), "models or runs", models_and_runs)
    problems += [
        FieldViolation(f"runs.{name}", "", "has the name of a model: a run becomes a model of its name")
        for name in sorted(set(document.models) & set(document.runs))
    ]
    if problems:
        raise InvalidInputs(problems)


def check_messages(document: ExperimentDocument) -> None:
    """Sections that are protobuf messages: unknown keys and wrong types are refused here, not by the service."""
    for name, model in document.models.items():
        model_request(name, model)
    for name, responses in document.responses.items():
        sampling(name, responses)
    for name, study in document.studies.items():
        study_message(name, study, dict.fromkeys(study.systems, "unknown yet"))


def check_runs(document: ExperimentDocument) -> None:
    for name, run in document.runs.items():
        training_spec(name, run, base_model="s3://lima/models/unknown", dataset="s3://lima/datasets/unknown")


def corpus_folder(name: str, folder: str, path: Path, settings: Settings) -> Path:
    """The folder of a corpus; relative paths start at the experiment file, {real_data} at that setting."""
    if "{real_data}" in folder:
        if settings.real_data is None:
            raise InvalidInput(
                f"corpora.{name}",
                folder,
                "needs the folder of real dumps",
                remedy="set LIMA_REAL_DATA to the folder that holds them, and run the same command again",
            )
        folder = folder.replace("{real_data}", str(settings.real_data))
    found = (path.parent / Path(folder).expanduser()).resolve()
    if not found.exists():
        raise NotFound("corpus folder", str(found), remedy=f"put the dumps there, or mend corpora.{name} in {path}")
    return found
