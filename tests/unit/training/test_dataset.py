from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.errors import InvalidInput
from services.shared.records import Example
from tests.fixtures.tiny_language_model import write_tokenizer
from training_jobs.base_model import load_tokenizer
from training_jobs.dataset import Encoder, encode_split, read_examples
from training_jobs.spec import Recipe
from training_jobs.tokens import add_end_of_turn


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    tokenizer = load_tokenizer(folder)
    add_end_of_turn(tokenizer, Recipe())
    return tokenizer


def example(*turns: tuple[str, str], name: str = "e1") -> Example:
    return Example.model_validate(
        {"id": name, "source": "t", "split": "train", "messages": [{"role": r, "content": c} for r, c in turns]}
    )


DIALOGUE = example(("user", "hot tea"), ("assistant", "two cups"), ("user", "sugar"), ("assistant", "one spoon"))


def test_targets_are_the_responses_with_their_eot(tokenizer: Any) -> None:
    sequence = Encoder(tokenizer, Recipe()).encode(DIALOGUE)
    assert tokenizer.decode(sequence.tokens) == "hot tea<|eot|>two cups<|eot|>sugar<|eot|>one spoon<|eot|>"
    assert tokenizer.decode(sequence.tokens[sequence.is_target]) == "two cups<|eot|>one spoon<|eot|>"


def test_every_token_but_the_first_may_be_a_target(tokenizer: Any) -> None:
    sequence = Encoder(tokenizer, Recipe(loss_on="all")).encode(DIALOGUE)
    assert sequence.targets == len(sequence.tokens) - 1
    assert not sequence.is_target[0]


def test_a_long_example_loses_its_end_and_the_loss_is_counted(tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(example(("user", "tea"), ("assistant", "hot " * 100)).model_dump_json() + "\n")
    corpus = encode_split(path, Encoder(tokenizer, Recipe(max_length=16)))
    whole = encode_split(path, Encoder(tokenizer, Recipe()))
    assert corpus.lengths == [16]
    assert corpus.summary()["cut_examples"] == 1
    assert corpus.summary()["cut_tokens"] == whole.lengths[0] - 16


def test_an_example_whose_prompt_fills_the_context_is_refused(tokenizer: Any) -> None:
    with pytest.raises(InvalidInput, match="nothing of its responses is left"):
        Encoder(tokenizer, Recipe(max_length=8)).encode(example(("user", "tea " * 50), ("assistant", "cup")))


def test_no_assistant_turn_is_refused(tokenizer: Any) -> None:
    with pytest.raises(InvalidInput, match="at least one assistant turn"):
        Encoder(tokenizer, Recipe()).encode(example(("user", "tea")))


def test_a_turn_that_contains_eot_is_refused(tokenizer: Any) -> None:
    with pytest.raises(InvalidInput, match="must not contain the end-of-turn token"):
        Encoder(tokenizer, Recipe()).encode(example(("user", "tea"), ("assistant", "cup<|eot|>free")))


@given(st.lists(st.text(max_size=40).filter(lambda text: "<|eot|>" not in text), min_size=2, max_size=6))
def test_any_text_is_masked_turn_by_turn(tokenizer: Any, contents: list[str]) -> None:
    turns = [("user" if i % 2 == 0 else "assistant", text) for i, text in enumerate(contents)]
    sequence = Encoder(tokenizer, Recipe()).encode(example(*turns))
    expected = "".join(text + "<|eot|>" for role, text in turns if role == "assistant")
    assert tokenizer.decode(sequence.tokens[sequence.is_target]) == expected


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("{", "train.jsonl:2"),
        ('{"id": "x"}', "train.jsonl:2:source"),
        ('{"id": "x", "source": "s", "split": "train", "messages": []}', "train.jsonl:2:messages"),
        (
            '{"id": "x", "source": "s", "split": "train", "messages": [{"role": "bot", "content": ""}]}',
            "messages.0.role",
        ),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, field: str) -> None:
    (tmp_path / "train.jsonl").write_text(DIALOGUE.model_dump_json() + "\n" + line + "\n")
    with pytest.raises(InvalidInput) as caught:
        list(read_examples(tmp_path / "train.jsonl"))
    assert field in caught.value.violations[0].field


@given(st.binary(max_size=200))
def test_any_bytes_are_examples_or_are_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "train.jsonl"
    path.write_bytes(data)
    with suppress(InvalidInput):
        assert all(isinstance(found, Example) for found in read_examples(path))


def test_an_empty_or_absent_training_split_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("\n")
    for name, rule in (("train.jsonl", "at least one example"), ("absent.jsonl", "must hold absent.jsonl")):
        with pytest.raises(InvalidInput, match=rule):
            encode_split(tmp_path / name, Encoder(tokenizer, Recipe()))


def test_an_id_that_comes_twice_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text(2 * (DIALOGUE.model_dump_json() + "\n"))
    with pytest.raises(InvalidInput, match="unique"):
        encode_split(tmp_path / "train.jsonl", Encoder(tokenizer, Recipe()))


def test_held_out_prompts_without_responses_are_passed_over(tokenizer: Any, tmp_path: Path) -> None:
    prompt = json.dumps({"id": "p", "source": "t", "split": "dev", "messages": [{"role": "user", "content": "tea"}]})
    (tmp_path / "dev.jsonl").write_text(prompt + "\n" + DIALOGUE.model_dump_json() + "\n")
    corpus = encode_split(tmp_path / "dev.jsonl", Encoder(tokenizer, Recipe()), optional=True)
    assert [sequence.id for sequence in corpus.sequences] == ["e1"]
