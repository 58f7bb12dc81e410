"""Sections of an experiment file as what their services take: protobuf messages and a training spec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.cli.experiment.messages import parse_message
from services.shared.errors import FieldViolation, InvalidInput, InvalidInputs

if TYPE_CHECKING:
    from lima.curation.v1.spec_pb2 import DatasetSpec
    from lima.inference.v1.model_pb2 import RegisterModelRequest
    from lima.inference.v1.sampling_pb2 import Sampling
    from lima.judging.v1.study_pb2 import StudySpec
    from services.cli.experiment.document import Model, Responses, Run, Study


def model_request(name: str, model: Model) -> RegisterModelRequest:
    """The request that registers a model of the section models."""
    from lima.inference.v1.model_pb2 import RegisterModelRequest

    names = {"folder": "folder_uri", "hub": "hub_id", "recorded": "recorded_uri"}
    source = {
        names.get(kind, kind): value for kind, value in model.model_dump(exclude_none=True, exclude={"random"}).items()
    }
    return parse_message({"model_id": name, **source}, RegisterModelRequest(), f"models.{name}")


def sampling(name: str, responses: Responses) -> Sampling:
    """How the responses `name` are drawn."""
    from lima.inference.v1.sampling_pb2 import Sampling

    return parse_message(responses.sampling, Sampling(), f"responses.{name}.sampling")


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
