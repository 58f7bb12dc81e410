"""The CustomResourceDefinition: generated, structural, and as strict as the types."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from services.operator.crd import FILES, RULES, definition, text
from services.operator.finetunejob import FineTuneJobStatus
from tests.chart.schemas import crd_validator
from tests.unit.operator.jobs import job, manifest


def schema() -> dict[str, Any]:
    root: dict[str, Any] = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}".lstrip("."))
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")


def test_the_files_are_what_the_types_say() -> None:
    for file in FILES:
        assert file.read_text() == text(), "run python -m services.operator.crd"


def test_the_schema_is_structural() -> None:
    for path, node in nodes(schema()):
        assert isinstance(node.get("type"), str), path
        assert not {"$ref", "anyOf", "allOf", "default", "const", "title"} & node.keys(), path


def test_everything_is_bounded_so_that_rules_stay_cheap() -> None:
    for path, node in nodes(schema()["properties"]["spec"]):
        if node["type"] == "string":
            assert "maxLength" in node or "enum" in node or "format" in node, path
        if node["type"] == "array":
            assert "maxItems" in node, path


def test_rules_speak_of_fields_that_exist() -> None:
    spec = schema()["properties"]["spec"]
    for section, rule, _ in RULES:
        node = spec["properties"][section] if section else spec
        for reference in re.findall(r"self((?:\.\w+)+)", rule):
            inner = node
            for name in reference.strip(".").split("."):
                assert name in inner["properties"], (rule, name)
                inner = inner["properties"][name]


def test_every_field_but_suspend_is_immutable() -> None:
    spec = schema()["properties"]["spec"]
    fixed = {re.match(r"has\(self\.(\w+)\) == has\(oldSelf", rule["rule"]) for rule in spec["x-kubernetes-validations"]}
    assert {match[1] for match in fixed if match} == spec["properties"].keys() - {"suspend"}


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"recipe": {"epochs": 3, "gradientClip": None, "lora": {"rank": 8}}, "suspend": True},
        {"compute": {"workers": 16, "gpusPerWorker": 1, "zeroStage": 3, "offloadOptimizer": True}, "workersPerPod": 8},
        {"checkpointSelection": {"policy": "Epoch", "epoch": 5}, "ttlSecondsAfterFinished": 0, "queue": "research"},
    ],
)
def test_good_jobs_are_admitted_by_schema_and_types_alike(spec: dict[str, Any]) -> None:
    assert list(crd_validator("FineTuneJob").iter_errors(manifest(**spec))) == []
    job(**spec).training_spec("lima")


@pytest.mark.parametrize(
    "spec",
    [
        {"baseModel": "s3://bucket/model"},
        {"dataset": {"name": "lima", "digest": "latest"}},
        {"dataset": {"name": "lima"}},
        {"preset": "lima-13b"},
        {"recipe": {"epochs": 0}},
        {"recipe": {"learningRate": 0}},
        {"recipe": {"warmup": 1}},
        {"recipe": {"schedule": "step"}},
        {"recipe": {"epoch": 3}},
        {"compute": {"zeroStage": 4}},
        {"compute": {"workers": "2"}},
        {"compute": {"engine": "bare"}},
        {"workersPerPod": 0},
        {"retries": 21},
        {"resumePolicy": "Maybe"},
        {"checkpointSelection": {"policy": "Best"}},
        {"storage": {"scratch": "10 GB"}},
        {"unknown": 1},
    ],
)
def test_bad_jobs_are_refused_by_the_schema(spec: dict[str, Any]) -> None:
    assert list(crd_validator("FineTuneJob").iter_errors(manifest(**spec)))


def test_the_operators_status_fits_the_schema() -> None:
    written = FineTuneJobStatus(phase="Running", loss="1.5").model_dump(mode="json", by_alias=True, exclude_none=True)
    assert list(crd_validator("FineTuneJob").iter_errors({**manifest(), "status": written})) == []
