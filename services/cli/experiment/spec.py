"""An experiment file: the whole loop in one YAML document, checked before anything starts.

    experiment = load_experiment(Path("experiments/quickstart.yaml"), settings)

Sections are maps from a name to what it is; later sections refer to earlier ones by name:
corpora, datasets (from corpora), models, runs (a model tuned on a dataset), responses (a model or run
answering a dataset's prompts), studies (responses compared by judges).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.cli.experiment.messages import parse_message
from services.shared.errors import FieldViolation, InvalidInput, InvalidInputs, NotFound, show

if TYPE_CHECKING:
    from lima.curation.v1.spec_pb2 import DatasetSpec
    from lima.inference.v1.model_pb2 import RegisterModelRequest
    from lima.judging.v1.study_pb2 import StudySpec
    from services.shared.settings import Settings

MAX_BYTES = 1 << 20
# A resource name is one label of the store's keys, so what is long is named shortly and titled at length.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(Section):
    """Where a model comes from: exactly one of these."""

    package: str | None = None
    folder: str | None = None
    hub: str | None = None
    random: dict[str, Any] | None = None
    upstream: dict[str, Any] | None = None
    recorded: str | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("must hold exactly one of package, folder, hub, random, upstream, recorded")
        return self


class Run(Section):
    """A fine-tuning run; the sections below are those of `training_jobs.spec.TrainingSpec`."""

    dataset: Name
    base_model: Name
    preset: str = "lima-65b"
    recipe: dict[str, Any] = {}
    compute: dict[str, Any] = {}
    checkpoints: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    tracking: dict[str, Any] = {}


class Prompts(Section):
    dataset: Name
    split: Literal["train", "dev", "test"] = "test"
    # First this many prompts only; 0 for all.
    limit: int = Field(0, ge=0)


class Responses(Section):
    """What a system answered: one of `model` and `run`."""

    model: Name | None = None
    run: Name | None = None
    prompts: Prompts
    # lima.inference.v1.Sampling; unset fields take the paper's values.
    sampling: dict[str, Any] = {}
    # Samples per prompt.
    n: int = Field(1, ge=1, le=16)
    engine: str = ""

    @model_validator(mode="after")
    def _one_system(self) -> Self:
        if (self.model is None) == (self.run is None):
            raise ValueError("must name either a model or a run")
        return self


class Study(Section):
    """A comparison; keys other than `systems` are those of lima.judging.v1.StudySpec."""

    protocol: Literal["pairwise", "likert", "absolute", "safety", "dialogue_turn", "dialogue_pair"] = "pairwise"
    # Names of responses; pairwise protocols compare the first with each of the others.
    systems: list[Name] = Field(min_length=1)
    # lima.judging.v1.JudgeSpec, `model` being a name of the section models or runs.
    judges: list[dict[str, Any]] = []
    seed: int = Field(0, ge=0)
    template: str = ""
    human: dict[str, Any] = {}
    limits: dict[str, Any] = {}


class ExperimentDocument(Section):
    name: Name
    title: str
    # What the experiment shows, and which table or figure of the paper it repeats.
    about: str = ""
    corpora: dict[Name, str] = {}
    # lima.curation.v1.DatasetSpec without its name.
    datasets: dict[Name, dict[str, Any]] = {}
    models: dict[Name, Model] = {}
    runs: dict[Name, Run] = {}
    responses: dict[Name, Responses] = {}
    studies: dict[Name, Study] = {}


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


def parse_document(path: Path) -> ExperimentDocument:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInput(str(path), path.stat().st_size, f"must be at most {MAX_BYTES} bytes")
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFound(
            "experiment file", str(path), remedy="lima experiments list shows those that there are"
        ) from error
    except IsADirectoryError as error:
        raise InvalidInput("FILE", str(path), "must be a file", remedy="lima experiments list") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), str(error), "must be YAML in UTF-8") from error
    if not isinstance(raw, dict):
        raise InvalidInput(str(path), type(raw).__name__, "must be a map with the keys name, title, corpora, …")
    try:
        return ExperimentDocument.model_validate(raw)
    except ValidationError as error:
        raise InvalidInputs(
            [violation(problem) for problem in error.errors()], remedy=f"mend these fields of {path}"
        ) from error


def violation(problem: Any) -> FieldViolation:
    """What pydantic found wrong, as field, value and rule."""
    field = ".".join(str(part) for part in problem["loc"]) or "document"
    if problem["type"] == "extra_forbidden":
        return FieldViolation(field, "", "is not a known key")
    if problem["type"] == "missing":
        return FieldViolation(field, "", "is missing")
    return FieldViolation(field, show(problem["input"]), problem["msg"].removeprefix("Value error, "))


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
    from lima.inference.v1.sampling_pb2 import Sampling

    for name, model in document.models.items():
        model_request(name, model)
    for name, responses in document.responses.items():
        parse_message(responses.sampling, Sampling(), f"responses.{name}.sampling")
    for name, study in document.studies.items():
        study_message(name, study, dict.fromkeys(study.systems, "unknown yet"))


def model_request(name: str, model: Model) -> RegisterModelRequest:
    """The request that registers a model of the section models."""
    from lima.inference.v1.model_pb2 import RegisterModelRequest

    names = {"folder": "folder_uri", "hub": "hub_id", "recorded": "recorded_uri"}
    source = {names.get(kind, kind): value for kind, value in model.model_dump(exclude_none=True).items()}
    return parse_message({"model_id": name, **source}, RegisterModelRequest(), f"models.{name}")


def check_runs(document: ExperimentDocument) -> None:
    for name, run in document.runs.items():
        training_spec(name, run, base_model="s3://lima/models/unknown", dataset="s3://lima/datasets/unknown")


def training_spec(name: str, run: Run, base_model: str, dataset: str) -> Any:
    """The `training_jobs.spec.TrainingSpec` of a run whose inputs are known."""
    from training_jobs.spec import parse_spec

    sections = run.model_dump(exclude={"dataset", "base_model"})
    try:
        return parse_spec({"run": name, "base_model": base_model, "dataset": dataset, **sections})
    except InvalidInput as error:
        raise InvalidInputs(
            [FieldViolation(f"runs.{name}.{part.field}", part.value, part.rule) for part in error.violations],
            remedy=error.remedy,
        ) from error


def dataset_message(name: str, section: dict[str, Any]) -> DatasetSpec:
    from lima.curation.v1.spec_pb2 import DatasetSpec

    return parse_message({"name": name, **section}, DatasetSpec(), f"datasets.{name}")


def study_message(name: str, study: Study, responses: dict[str, str]) -> StudySpec:
    """The StudySpec of a study; `responses` maps each system to the URI of its response set."""
    from lima.judging.v1.study_pb2 import StudySpec

    section = study.model_dump(exclude={"systems", "protocol"}) | {
        "name": name,
        "protocol": f"PROTOCOL_{study.protocol.upper()}",
        "systems": [{"name": system, "responses_uri": responses[system]} for system in study.systems],
    }
    return parse_message(section, StudySpec(), f"studies.{name}")


def corpus_folder(name: str, folder: str, path: Path, settings: Settings) -> Path:
    """The folder of a corpus; relative paths start at the experiment file, {shared_data} at that setting."""
    if "{shared_data}" in folder:
        if settings.shared_data is None:
            raise InvalidInput(
                f"corpora.{name}",
                folder,
                "needs the folder of real dumps",
                remedy="set LIMA_SHARED_DATA to the folder that holds them, and run the same command again",
            )
        folder = folder.replace("{shared_data}", str(settings.shared_data))
    found = (path.parent / Path(folder).expanduser()).resolve()
    if not found.exists():
        raise NotFound("corpus folder", str(found), remedy=f"put the dumps there, or mend corpora.{name} in {path}")
    return found
