from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from services.shared.errors import InvalidInput
from tests.fixtures.tiny_language_model import OLD_END, write_base_model
from training_jobs.base_model import check_base_folder
from training_jobs.spec import EndOfTurn, Recipe
from training_jobs.tokens import check_stop_token, prepare_base

EOT = "<|eot|>"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_base_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def copied(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "copied"))


@pytest.mark.parametrize("tied", [True, False])
def test_the_new_row_is_the_mean_of_the_others(tmp_path: Path, tied: bool) -> None:
    base = write_base_model(tmp_path / "base", tied=tied)
    prepare_base(base, Recipe(), tmp_path / "prepared")
    before, after = (AutoModelForCausalLM.from_pretrained(path) for path in (base, tmp_path / "prepared"))
    rows = before.config.vocab_size
    for old, new in (
        (before.get_input_embeddings(), after.get_input_embeddings()),
        (before.get_output_embeddings(), after.get_output_embeddings()),
    ):
        assert new.weight.shape[0] == rows + 1
        assert torch.equal(new.weight[:rows], old.weight)
        torch.testing.assert_close(new.weight[rows], old.weight.mean(dim=0))
    assert (after.get_input_embeddings().weight is after.get_output_embeddings().weight) == tied


def test_the_new_row_may_copy_a_chosen_token(base: Path, tmp_path: Path) -> None:
    prepare_base(base, Recipe(end_of_turn=EndOfTurn(initial=OLD_END)), tmp_path / "prepared")
    rows = load_file(tmp_path / "prepared" / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(rows[-1], rows[0])


def test_a_row_that_padding_left_free_is_used(tmp_path: Path) -> None:
    base = write_base_model(tmp_path / "base", vocab_size=512)
    prepare_base(base, Recipe(), tmp_path / "prepared")
    rows = load_file(tmp_path / "prepared" / "model.safetensors")["model.embed_tokens.weight"]
    end = AutoTokenizer.from_pretrained(tmp_path / "prepared").eos_token_id
    assert rows.shape[0] == 512
    torch.testing.assert_close(rows[end], rows[:end].mean(dim=0))


def test_a_prepared_base_stops_at_eot_and_writes_it_after_every_turn(base: Path, tmp_path: Path) -> None:
    prepare_base(base, Recipe(), tmp_path / "prepared")
    check_stop_token(tmp_path / "prepared", EOT)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "prepared")
    turns = [{"role": "user", "content": "hot tea"}, {"role": "assistant", "content": "two cups"}]
    assert tokenizer.apply_chat_template(turns, tokenize=False) == f"hot tea{EOT}two cups{EOT}"
    assert tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True) == f"hot tea{EOT}"
    assert tokenizer.pad_token not in (None, EOT)


@pytest.mark.parametrize(
    ("setting", "bos", "expected"), [("auto", True, True), ("auto", False, False), ("never", True, False)]
)
def test_bos_begins_a_text_where_the_tokenizer_says_so(tmp_path: Path, setting: str, bos: bool, expected: bool) -> None:
    base = write_base_model(tmp_path / "base", bos=bos)
    prepare_base(base, Recipe.model_validate({"begin_with_bos": setting}), tmp_path / "prepared")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "prepared")
    text = tokenizer.apply_chat_template([{"role": "user", "content": "tea"}], tokenize=False)
    assert text == (OLD_END if expected else "") + f"tea{EOT}"


def test_a_prepared_base_can_be_prepared_again(base: Path, tmp_path: Path) -> None:
    """Fine-tuning goes on from one of our own checkpoints without a second EOT."""
    prepare_base(base, Recipe(), tmp_path / "once")
    prepare_base(tmp_path / "once", Recipe(), tmp_path / "twice")
    once, twice = (load_file(tmp_path / name / "model.safetensors") for name in ("once", "twice"))
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_an_eot_that_the_vocabulary_knows_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="in the base model's vocabulary already"):
        prepare_base(base, Recipe(end_of_turn=EndOfTurn(token="tea")), tmp_path / "prepared")


def test_a_first_row_to_copy_that_does_not_exist_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="a token of the tokenizer"):
        prepare_base(base, Recipe(end_of_turn=EndOfTurn(initial="<|none|>")), tmp_path / "prepared")


def test_remote_code_is_refused(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(InvalidInput, match="auto_map"):
        check_base_folder(copied)


def test_pickled_weights_are_refused(copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "pytorch_model.bin")
    with pytest.raises(InvalidInput, match="pickled"):
        check_base_folder(copied)


def test_a_missing_shard_is_named(copied: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (copied / "model.safetensors.index.json").write_text(json.dumps(index))
    (copied / "model.safetensors").rename(copied / "model-00001-of-00002.safetensors")
    with pytest.raises(InvalidInput, match="incomplete: model-00002-of-00002"):
        check_base_folder(copied)


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("config.json", None, "readable config.json"),
        ("config.json", "{", "readable config.json"),
        ("config.json", '{"model_type": "bert"}', "supported model_type"),
        ("tokenizer.json", None, "must hold a tokenizer"),
    ],
)
def test_an_incomplete_folder_is_refused(copied: Path, name: str, text: str | None, rule: str) -> None:
    if text is None:
        (copied / name).unlink()
    else:
        (copied / name).write_text(text)
    with pytest.raises(InvalidInput, match=rule):
        check_base_folder(copied)


def test_any_rank_may_prepare_the_base(base: Path, tmp_path: Path) -> None:
    """Ranks of one machine share its cache, and the first to come fills it: often not rank 0."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    prepare_base(base, Recipe(), tmp_path / "alone")
    dist.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    try:
        prepare_base(base, Recipe(), tmp_path / "second")
    finally:
        dist.destroy_process_group()
    names = {path.name for path in (tmp_path / "alone").iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors"} <= names
    assert {path.name for path in (tmp_path / "second").iterdir()} == names
    alone, second = (load_file(tmp_path / folder / "model.safetensors") for folder in ("alone", "second"))
    assert alone.keys() == second.keys()
    assert all(torch.equal(alone[name], second[name]) for name in alone)
