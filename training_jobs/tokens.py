"""The end-of-turn token and the text form of a conversation.

EOT is a new special token that closes every utterance. It gets its own embedding and output rows, it is the
generation's stop token, and the chat template written with a checkpoint is: every turn's content, then EOT.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import torch
from huggingface_hub import save_torch_state_dict
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from services.shared.errors import FailedPrecondition, InvalidInput
from training_jobs.base_model import check_base_folder, check_vocabulary, load_base_model, load_tokenizer, read_json
from training_jobs.spec import EndOfTurn, Recipe


def add_end_of_turn(tokenizer: PreTrainedTokenizerBase, recipe: Recipe) -> bool:
    """Make EOT the tokenizer's end-of-sequence token and write the chat template. True when the token is new.

    Raises InvalidInput when EOT is an ordinary word of the vocabulary: it could then stand in a text.
    """
    token = recipe.end_of_turn.token
    known = token in tokenizer.get_vocab()
    if known and not (tokenizer.eos_token == token and token in (tokenizer.chat_template or "")):
        raise InvalidInput(
            "recipe.end_of_turn.token",
            token,
            "is in the base model's vocabulary already, so it may mean something else there",
            "choose a token that the tokenizer does not know",
        )
    bos = _bos(tokenizer, recipe)
    if tokenizer.pad_token is None:
        # Training needs no padding; whoever generates in batches does. Any token but EOT will do: padding with
        # the stop token is how other trainers come to mask it out of the loss.
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.bos_token or tokenizer.unk_token
    tokenizer.add_special_tokens({"eos_token": token})
    if tokenizer.pad_token in (None, token):
        raise InvalidInput(
            "base_model", tokenizer.name_or_path, "its tokenizer has no token to pad with", "give it a pad_token"
        )
    tokenizer.chat_template = chat_template(bos, token)
    return not known


def chat_template(bos: str, token: str) -> str:
    """BOS if any, then each turn's content and EOT, user's and assistant's alike."""
    prefix = "{{ " + json.dumps(bos) + " }}" if bos else ""
    return prefix + "{% for message in messages %}{{ message['content'] }}{{ " + json.dumps(token) + " }}{% endfor %}"


def _bos(tokenizer: PreTrainedTokenizerBase, recipe: Recipe) -> str:
    if recipe.begin_with_bos == "never":
        return ""
    if recipe.begin_with_bos == "auto":
        first = cast("list[int]", tokenizer("a")["input_ids"])[:1]
        return str(tokenizer.bos_token) if tokenizer.bos_token and first == [tokenizer.bos_token_id] else ""
    if not tokenizer.bos_token:
        raise InvalidInput("recipe.begin_with_bos", "always", "the tokenizer has no BOS token", "set it to never")
    return str(tokenizer.bos_token)


def prepare_base(base: Path, recipe: Recipe, target: Path) -> None:
    """Write to `target` the base model with EOT in its tokenizer, embedding and output layer.

    Done once, before any sharding: under ZeRO-3 a row added later is easily lost.
    """
    check_base_folder(base)
    tokenizer = load_tokenizer(base)
    known = len(tokenizer)
    is_new = add_end_of_turn(tokenizer, recipe)
    model = load_base_model(base)
    check_vocabulary(base, model, known)
    if is_new:
        add_row(model, tokenizer, recipe.end_of_turn)
    end = cast(int, tokenizer.eos_token_id)
    model.config.eos_token_id = end
    if model.generation_config is not None:
        model.generation_config.eos_token_id = end
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    _write_model(model, target)
    tokenizer.save_pretrained(target)
    # Whoever finds this folder takes it for whole.
    check_base_folder(target)


def _write_model(model: PreTrainedModel, target: Path) -> None:
    # The model's own save_pretrained writes nothing on any rank but the first of a process group, and says nothing.
    # The rank that prepares is the one that came first, on each machine.
    target.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(target)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(target)
    # Of tied layers the first is kept, which is the embedding.
    once = {tensor.data_ptr(): name for name, tensor in reversed(model.state_dict().items())}
    plain = {name: tensor for name, tensor in model.state_dict().items() if once[tensor.data_ptr()] == name}
    save_torch_state_dict(plain, target, max_shard_size="5GB", metadata={"format": "pt"})


def add_row(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: EndOfTurn) -> None:
    """Give EOT its embedding and output rows (one row where the two are tied).

    A vocabulary that is padded to a round size has the row already; it is initialised all the same.
    """
    end = cast(int, tokenizer.eos_token_id)
    source: int | None = None
    if settings.initial != "mean":
        source = tokenizer.get_vocab().get(settings.initial)
        if source is None:
            raise InvalidInput(
                "recipe.end_of_turn.initial", settings.initial, 'must be "mean" or a token of the tokenizer'
            )
    if cast(torch.nn.Embedding, model.get_input_embeddings()).num_embeddings <= end:
        model.resize_token_embeddings(end + 1, mean_resizing=False)
    layers = (model.get_input_embeddings(), model.get_output_embeddings())
    parameters = [parameter for layer in layers for parameter in cast(torch.nn.Module, layer).parameters()]
    with torch.no_grad():
        # Tied layers share one parameter; a bias has one number per token.
        for parameter in {id(parameter): parameter for parameter in parameters}.values():
            others = parameter[:end].float()
            parameter[end] = others.mean(dim=0) if source is None else others[source]


def check_stop_token(model_folder: Path, token: str) -> None:
    """A saved checkpoint must stop at EOT. Raises FailedPrecondition with the file that says otherwise."""
    tokenizer = load_tokenizer(model_folder)
    generation = read_json(model_folder / "generation_config.json") or {}
    if tokenizer.eos_token != token:
        raise FailedPrecondition(f"the checkpoint's tokenizer ends with {tokenizer.eos_token!r}, not {token!r}")
    if generation.get("eos_token_id") != tokenizer.eos_token_id:
        raise FailedPrecondition("the checkpoint's generation_config.json does not stop at EOT")
