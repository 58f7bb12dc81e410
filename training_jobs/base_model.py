"""The base model's folder: what is refused of it, and how it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from services.shared.errors import InvalidInput
from training_jobs.families import family_of

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
# Names of tensors that a message lists.
SHOWN = 3


def check_base_folder(folder: Path) -> dict[str, Any]:
    """The model's config, after refusing folders that are incomplete, hold pickles only, or want remote code.

    Raises InvalidInput with the field "base_model".
    """
    config = read_json(folder / "config.json")
    if config is None:
        raise _refusal(folder, "must hold a readable config.json", "name a Hugging Face model folder")
    tokenizer_config = read_json(folder / "tokenizer_config.json") or {}
    if "auto_map" in config or "auto_map" in tokenizer_config:
        raise _refusal(
            folder,
            "wants to run code of its own (auto_map), which is never done",
            "use a family that transformers knows",
        )
    family_of(str(config.get("model_type")))
    for shard in _shards(folder):
        try:
            # Reads the header, and compares what it says with the file's length.
            with safe_open(shard, framework="pt"):
                pass
        except (SafetensorError, OSError) as error:
            raise _refusal(folder, f"{shard.name} is damaged ({error})", "download it again") from None
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model")):
        raise _refusal(
            folder, "must hold a tokenizer (tokenizer.json or tokenizer.model)", "copy the tokenizer beside the weights"
        )
    return config


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none that can be read."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Raises InvalidInput for files that are no tokenizer."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare exceptions
        raise _refusal(
            folder, f"its tokenizer cannot be read ({type(error).__name__}: {error})", "download it again"
        ) from error
    return cast(PreTrainedTokenizerBase, tokenizer)


def load_base_model(folder: Path) -> PreTrainedModel:
    """The model of a checked folder. Raises InvalidInput where its weights are not those of its config.json.

    transformers gives weights that are missing random values, and only logs it.
    """
    # Typed as if it gave no report.
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype="auto",
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
        ignore_mismatched_sizes=True,
    )
    model, report = loaded
    missing = sorted(str(name) for name in report["missing_keys"])
    if missing:
        raise _refusal(folder, f"is incomplete: its weights lack {_some(missing)}", "download it again")
    wrong = sorted(f"{name} ({tuple(held)}, not {tuple(wanted)})" for name, held, wanted in report["mismatched_keys"])
    if wrong:
        raise _refusal(folder, f"its config.json is of another model: {_some(wrong)}", "download both again")
    return cast(PreTrainedModel, model)


def check_vocabulary(folder: Path, model: PreTrainedModel, tokens: int) -> None:
    """Raises InvalidInput for an embedding without a row for each of the tokenizer's own tokens."""
    rows = cast(torch.nn.Embedding, model.get_input_embeddings()).num_embeddings
    if rows < tokens:
        raise _refusal(
            folder,
            f"its tokenizer has {tokens} tokens and its embedding {rows} rows",
            "take the tokenizer that belongs to these weights, or give the new tokens rows first",
        )


def _shards(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        held = (read_json(index) or {}).get("weight_map")
        if not isinstance(held, dict):
            raise _refusal(folder, f"{index.name} is damaged", "download it again")
        names = sorted({str(name) for name in held.values()})
    missing = [name for name in names if not (folder / name).is_file()]
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if missing and not index.is_file() and pickles:
        raise _refusal(
            folder,
            f"holds pickled weights ({', '.join(pickles[:SHOWN])}), which can run code when read",
            "convert them to safetensors first",
        )
    if missing:
        raise _refusal(folder, f"is incomplete: {', '.join(missing)} is missing", "download it again")
    return [folder / name for name in names]


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _refusal(folder: Path, rule: str, remedy: str) -> InvalidInput:
    return InvalidInput("base_model", str(folder), rule, remedy)
