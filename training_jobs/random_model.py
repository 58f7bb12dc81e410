"""A tiny Llama with random weights and a byte-level tokenizer, for runs that show that the parts work together.

python -m training_jobs.random_model FOLDER --layers 2 --hidden-size 64 --heads 4 --seed 1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from services.shared.errors import InvalidInput

CONTEXT = 2048
BEGIN, END = "<s>", "</s>"
# Every turn on a line of its own; training puts a template with the end-of-turn token in its place.
TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def write_random_model(folder: Path, *, layers: int, hidden_size: int, heads: int, seed: int) -> None:
    """Write a Hugging Face folder. The same numbers give the same bytes.

    Raises InvalidInput if the heads do not divide the hidden size evenly.
    """
    if hidden_size % heads or (hidden_size // heads) % 2:
        raise InvalidInput("heads", heads, f"must divide hidden_size ({hidden_size}) into even parts")
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=2 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=CONTEXT,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model: Any = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def byte_tokenizer() -> Any:
    """One token for each byte, so no text is unknown and nothing had to be learnt."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=END, model_max_length=CONTEXT, pad_token=END
    )
    fast.chat_template = TEMPLATE
    return fast


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, default in (("layers", 2), ("hidden-size", 64), ("heads", 4), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = vars(parser.parse_args())
    try:
        write_random_model(arguments.pop("folder"), **arguments)
    except InvalidInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
