"""What training is measured on: lengths drawn as in the paper's table, random tokens, random Llamas."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# (examples, mean prompt tokens, mean response tokens): LIMA, table 1.
TABLE = ((200, 117, 523), (200, 119, 530), (200, 12, 1811), (150, 34, 274), (50, 236, 92), (200, 40, 334))
MAX_LENGTH = 2048


def draw_lengths(count: int, seed: int) -> list[tuple[int, int]]:
    """(prompt, response) tokens of `count` examples; log-normal about each source's mean with sigma 0.5."""
    rng = random.Random(seed)
    sources = rng.choices(TABLE, weights=[row[0] for row in TABLE], k=count)

    def draw(mean: int) -> int:
        return max(2, round(mean * rng.lognormvariate(-0.125, 0.5)))

    return [(draw(prompt), draw(response)) for _, prompt, response in sources]


def draw_examples(vocabulary: int, lengths: Sequence[tuple[int, int]], seed: int) -> list[Any]:
    """Training sequences of random tokens: what they are does not change the work."""
    import numpy

    from training_jobs.dataset import Sequence as Example

    rng = numpy.random.default_rng(seed)
    examples = []
    for number, (prompt, response) in enumerate(lengths):
        tokens = rng.integers(10, vocabulary, min(prompt + response, MAX_LENGTH)).astype(numpy.int32)
        is_target = numpy.arange(len(tokens)) >= prompt
        examples.append(Example(f"{seed}-{number}", tokens, is_target, 0))
    return examples


def expected_share(examples: int) -> float:
    """Mean share of real tokens in a batch of so many examples that is padded to its longest, over many draws."""
    draws = [[min(sum(pair), MAX_LENGTH) for pair in draw_lengths(examples, seed)] for seed in range(2000)]
    return statistics.mean(sum(lengths) / (examples * max(lengths)) for lengths in draws)


# A Llama of 16 M parameters, and one of SmolLM2 135M's shape.
TINY = {"vocab_size": 8192, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8}
TINY |= {"num_attention_heads": 6, "num_key_value_heads": 3}
SMALL = {"vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30}
SMALL |= {"num_attention_heads": 9, "num_key_value_heads": 3}


def random_model(folder: Path, shape: dict[str, Any]) -> Path:
    """A random Llama with tied embeddings; a word t1, t2, ... up to its vocabulary is a token."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = LlamaConfig(**shape, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0)
    LlamaForCausalLM(config).save_pretrained(folder)
    vocabulary = {"<|end|>": 0} | {f"t{number}": number for number in range(1, shape["vocab_size"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|end|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>").save_pretrained(folder)
    return folder
