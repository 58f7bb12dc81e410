"""The spec of a FineTuneJob: its spelling, its refusals, and what its hash depends on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.operator.finetunejob import MAX_NAME, SECTIONS, camel, parse_job, parse_status, snake, snake_keys
from services.shared.errors import InvalidInput
from tests.unit.operator.jobs import DIGEST, job, manifest
from training_jobs.spec import TrainingSpec


def field_names(schema: dict[str, Any], definitions: dict[str, Any]) -> set[str]:
    names = set(schema.get("properties", {}))
    for value in [*schema.get("properties", {}).values(), *definitions.values()]:
        names |= set(value.get("properties", {}))
    return names


def test_every_field_of_a_training_run_can_be_spelled_both_ways() -> None:
    schema = TrainingSpec.model_json_schema()
    names = field_names(schema, schema["$defs"])
    assert len(names) > 50
    assert {name: snake(camel(name)) for name in names} == {name: name for name in names}


@given(st.recursive(st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner)))
def test_respelling_keeps_every_value(value: object) -> None:
    def leaves(node: object) -> list[object]:
        if isinstance(node, dict):
            return [leaf for inner in node.values() for leaf in leaves(inner)]
        return [leaf for inner in node for leaf in leaves(inner)] if isinstance(node, list) else [node]

    if not isinstance(value, dict):
        assert leaves(snake_keys(value)) == leaves(value)


def test_a_job_becomes_the_run_it_asks_for() -> None:
    asked = job(
        preset="lima-7b",
        recipe={"epochs": 3, "residualDropout": {"top": 0.1}},
        compute={"workers": 8, "gpusPerWorker": 1, "zeroStage": 3},
        workersPerPod=4,
    )
    spec = asked.training_spec("lima")
    assert spec.run == asked.child_name
    assert spec.dataset == f"s3://lima/datasets/lima/{DIGEST}"
    assert spec.output == "s3://lima/runs"
    # What the job says, what its preset says, and what the paper says.
    assert (spec.recipe.epochs, spec.recipe.batch_size, spec.recipe.learning_rate) == (3, 64, 1e-5)
    assert (spec.recipe.residual_dropout.top, spec.compute.workers) == (0.1, 8)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"recipe": {"epochs": 0}}, "spec.recipe.epochs"),
        ({"recipe": {"epoch": 3}}, "spec.recipe.epoch"),
        ({"recipe": {"learningRate": 1e-6, "finalLearningRate": 1e-5}}, "spec.recipe"),
        ({"compute": {"minWorkers": 3}}, "spec.compute"),
        ({"compute": {"offloadParameters": True}}, "spec.compute"),
        ({"compute": {"workers": 3}, "workersPerPod": 2}, "spec.workersPerPod"),
    ],
)
def test_a_run_that_cannot_be_is_refused_with_the_field_as_it_was_written(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        job(**spec).training_spec("lima")
    assert [violation.field for violation in refused.value.violations] == [field]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"baseModel": "../secrets"}, "spec.baseModel"),
        ({"baseModel": "s3://elsewhere/model"}, "spec.baseModel"),
        ({"dataset": {"name": "lima", "digest": "latest"}}, "spec.dataset.digest"),
        ({"dataset": {"name": "lima"}}, "spec.dataset.digest"),
        ({"preset": "lima-13b"}, "spec.preset"),
        ({"retries": -1}, "spec.retries"),
        ({"deadlineSeconds": 5}, "spec.deadlineSeconds"),
        ({"resumePolicy": "Maybe"}, "spec.resumePolicy"),
        ({"storage": {"prefix": "/etc"}}, "spec.storage.prefix"),
        ({"worker": 3}, "spec.worker"),
    ],
)
def test_a_wrong_field_is_named(spec: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_job(manifest(**spec))
    assert [violation.field for violation in refused.value.violations] == [field]


def test_the_child_is_named_by_all_that_decides_the_run() -> None:
    plain = job()
    assert plain.child_name == job(suspend=True, ttlSecondsAfterFinished=60).child_name
    names = {plain.child_name, job("other").child_name}
    names |= {job(**{section: value}).child_name for section, value in _CHANGES.items()}
    assert len(names) == 2 + len(_CHANGES)


_CHANGES: dict[str, Any] = {
    **{section: {} for section in SECTIONS},
    "recipe": {"epochs": 2},
    "compute": {"workers": 2},
    "checkpoints": {"keepLast": 1},
    "evaluation": {"maxExamples": 5},
    "retries": 9,
}


def test_fresh_jobs_share_no_run_with_one_of_the_same_name() -> None:
    raw = manifest(resumePolicy="Fresh")
    first = parse_job({**raw, "metadata": {"name": "lima", "uid": "1"}})
    second = parse_job({**raw, "metadata": {"name": "lima", "uid": "2"}})
    assert first.child_name != second.child_name


def test_the_longest_name_leaves_room_for_kuberays_limit() -> None:
    assert len(job("a" * MAX_NAME).child_name) == 47


def test_the_status_of_another_version_counts_as_none() -> None:
    assert parse_status({"status": {"phase": "Dreaming", "colour": "red"}}).phase == "Pending"
