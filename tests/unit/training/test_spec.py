from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.errors import InvalidInput
from training_jobs.presets import PRESETS
from training_jobs.spec import TrainingSpec, load_spec, parse_spec, spec_from_text

MINIMAL = {"run": "r1", "base_model": "s3://lima/models/m/v1", "dataset": "s3://lima/datasets/d/abc"}


def test_defaults_are_the_papers() -> None:
    recipe = parse_spec(MINIMAL).recipe
    assert (recipe.epochs, recipe.batch_size, recipe.max_length) == (15, 32, 2048)
    assert (recipe.learning_rate, recipe.final_learning_rate, recipe.schedule) == (1e-5, 1e-6, "linear")
    assert (recipe.beta1, recipe.beta2, recipe.weight_decay, recipe.warmup) == (0.9, 0.95, 0.1, 0.0)
    assert (recipe.residual_dropout.bottom, recipe.residual_dropout.top) == (0.0, 0.3)
    assert (recipe.loss_on, recipe.end_of_turn.token) == ("responses", "<|eot|>")


def test_a_preset_is_overridden_setting_by_setting() -> None:
    spec = parse_spec({**MINIMAL, "preset": "lima-7b", "recipe": {"residual_dropout": {"bottom": 0.1}}})
    assert spec.recipe.batch_size == 64
    assert (spec.recipe.residual_dropout.bottom, spec.recipe.residual_dropout.top) == (0.1, 0.2)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_resolved_spec_reads_back_as_itself(preset: str) -> None:
    spec = parse_spec({**MINIMAL, "preset": preset})
    assert parse_spec(json.loads(spec.model_dump_json())) == spec


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ({"recipe": {"epoch": 3}}, "recipe.epoch", "not permitted"),
        ({"recipe": {"epochs": 0}}, "recipe.epochs", "greater than or equal to 1"),
        ({"recipe": {"batch_size": "many"}}, "recipe.batch_size", "valid integer"),
        ({"recipe": {"learning_rate": float("nan")}}, "recipe.learning_rate", "finite"),
        ({"recipe": {"learning_rate": 1e-7}}, "recipe", "must not exceed learning_rate"),
        ({"recipe": {"residual_dropout": {"top": 1.0}}}, "recipe.residual_dropout.top", "less than 1"),
        ({"recipe": {"precision": "fp16"}}, "recipe.precision", "'fp32' or 'bf16'"),
        ({"run": "../escape"}, "run", "match pattern"),
        ({"preset": "lima-13b"}, "spec", "is not one of"),
        ({"compute": {"engine": "bare", "workers": 2}}, "compute", "use engine 'ray'"),
        ({"compute": {"offload_parameters": True}}, "compute", "needs zero_stage 3"),
        ({"compute": {"workers": 2, "min_workers": 4}}, "compute", "must not exceed workers"),
        ({"checkpoints": {"keep_first": 10, "keep_last": 5}}, "checkpoints", "must not exceed keep_last"),
        ({"dataset": ""}, "dataset", "at least 1 character"),
    ],
)
def test_a_wrong_setting_is_named_with_its_rule(change: dict[str, Any], field: str, rule: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_spec({**MINIMAL, **change})
    assert [violation.field for violation in caught.value.violations] == [field]
    assert rule in caught.value.violations[0].rule


def test_every_wrong_setting_is_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_spec({**MINIMAL, "recipe": {"epochs": 0, "seed": -1}, "extra": 1})
    assert {violation.field for violation in caught.value.violations} == {"recipe.epochs", "recipe.seed", "extra"}


def test_overrides_reach_any_depth() -> None:
    overrides = ("recipe.epochs=3", "recipe.residual_dropout.top=0.1", "recipe.gradient_clip=null")
    recipe = parse_spec(MINIMAL, overrides).recipe
    assert (recipe.epochs, recipe.residual_dropout.top, recipe.gradient_clip) == (3, 0.1, None)


@pytest.mark.parametrize("override", ["recipe.epochs", "=3", "recipe.epochs=[", "recipe.epochs=three"])
def test_a_malformed_override_is_refused(override: str) -> None:
    with pytest.raises(InvalidInput):
        parse_spec(MINIMAL, (override,))


def test_identity_ignores_where_a_run_is_computed() -> None:
    here = parse_spec(MINIMAL)
    there = parse_spec({**MINIMAL, "compute": {"workers": 8, "zero_stage": 3}})
    other = parse_spec({**MINIMAL, "recipe": {"seed": 1}})
    assert here.identity == there.identity != other.identity


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(str))
def test_any_text_is_a_spec_or_is_refused(text: str) -> None:
    try:
        spec = spec_from_text(text, "test")
    except InvalidInput:
        return
    assert isinstance(spec, TrainingSpec)


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="readable text file"):
        load_spec(tmp_path / "absent.yaml")
    (tmp_path / "huge.yaml").write_text("#" * (1 << 20) + "\n#")
    with pytest.raises(InvalidInput, match="shorter than"):
        load_spec(tmp_path / "huge.yaml")


def test_specs_and_run_folders_need_no_torch() -> None:
    code = (
        "import sys, training_jobs.spec, training_jobs.run_folder, training_jobs.driver; print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
