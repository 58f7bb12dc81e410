"""Base models that are damaged, incomplete or do not belong together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from services.shared.errors import InvalidInput
from tests.fixtures.tiny_language_model import write_base_model
from training_jobs.base_model import check_base_folder, load_base_model, load_tokenizer
from training_jobs.spec import Recipe
from training_jobs.tokens import prepare_base

WEIGHT = "model.layers.1.mlp.down_proj.weight"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def copied(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "copied"))


def write_weights(folder: Path, changes: dict[str, torch.Tensor | None]) -> None:
    weights = load_file(folder / "model.safetensors") | changes
    kept = {name: weight for name, weight in weights.items() if weight is not None}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("size", [0, 5_000])
def test_weights_whose_download_was_cut_off_are_refused(copied: Path, size: int) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(InvalidInput, match=r"model\.safetensors is damaged"):
        check_base_folder(copied)


def test_weights_that_are_no_safetensors_are_refused(copied: Path) -> None:
    (copied / "model.safetensors").write_bytes(b"x" * 5_000)
    with pytest.raises(InvalidInput, match=r"model\.safetensors is damaged"):
        check_base_folder(copied)


@pytest.mark.parametrize("text", ["{", "{}", '{"weight_map": 1}'])
def test_an_index_that_names_no_files_is_refused(copied: Path, text: str) -> None:
    (copied / "model.safetensors.index.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"index\.json is damaged"):
        check_base_folder(copied)


def test_a_weight_that_is_missing_is_not_made_up(copied: Path) -> None:
    write_weights(copied, {WEIGHT: None})
    with pytest.raises(InvalidInput, match=f"is incomplete: its weights lack {WEIGHT}"):
        load_base_model(copied)


def test_weights_of_another_model_are_refused(copied: Path) -> None:
    write_weights(copied, {WEIGHT: torch.zeros(3, 3)})
    with pytest.raises(InvalidInput, match=r"config\.json is of another model"):
        load_base_model(copied)


def test_a_tokenizer_of_another_model_is_refused(copied: Path, tmp_path: Path) -> None:
    """Its tokens past the embedding would get random rows."""
    name = "model.embed_tokens.weight"
    write_weights(copied, {name: load_file(copied / "model.safetensors")[name][:100].clone()})
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {"vocab_size": 100}))
    with pytest.raises(InvalidInput, match=r"its tokenizer has \d+ tokens and its embedding 100 rows"):
        prepare_base(copied, Recipe(), tmp_path / "prepared")
    assert not (tmp_path / "prepared").exists()


@pytest.mark.parametrize("text", ["{", "{}", '{"model": 1}'])
def test_a_damaged_tokenizer_is_refused(copied: Path, text: str) -> None:
    (copied / "tokenizer.json").write_text(text)
    with pytest.raises(InvalidInput, match="its tokenizer cannot be read"):
        load_tokenizer(copied)
