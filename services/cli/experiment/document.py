"""The sections of an experiment file and what their keys may hold.

Sections are maps from a name to what it is; later sections refer to earlier ones by name:
corpora, datasets (from corpora), models, runs (a model tuned on a dataset), responses (a model or run
answering a dataset's prompts), studies (responses compared by judges).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.shared.errors import FieldViolation, InvalidInput, InvalidInputs, NotFound, show

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 1 << 20
# A resource name is one label of the store's keys, so what is long is named shortly and titled at length.
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RandomModel(Section):
    """A tiny Llama of random weights, for runs that show that the parts work together."""

    layers: int = Field(2, ge=1, le=8)
    hidden_size: int = Field(64, ge=8, le=512)
    heads: int = Field(4, ge=1, le=32)
    seed: int = Field(0, ge=0, lt=2**32)


class Model(Section):
    """Where a model comes from: exactly one of these."""

    package: str | None = None
    folder: str | None = None
    hub: str | None = None
    random: RandomModel | None = None
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
