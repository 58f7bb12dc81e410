from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)

from services.shared.errors import InvalidInput
from training_jobs.families import family_of
from training_jobs.model import Trainee
from training_jobs.residual_dropout import ResidualDropouts, dropout_rates
from training_jobs.spec import Recipe, ResidualDropout

SHAPE: dict[str, Any] = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
}
GROUPED: dict[str, Any] = {**SHAPE, "num_key_value_heads": 2, "head_dim": 16}
CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(**GROUPED),
    "mistral": lambda: MistralConfig(**GROUPED),
    "qwen2": lambda: Qwen2Config(**GROUPED),
    "qwen3": lambda: Qwen3Config(**GROUPED),
    "gemma": lambda: GemmaConfig(**GROUPED),
    "gemma2": lambda: Gemma2Config(**GROUPED),
    "gemma3_text": lambda: Gemma3TextConfig(**GROUPED),
    "gpt_neox": lambda: GPTNeoXConfig(**SHAPE),
}


def test_rates_rise_linearly_from_bottom_to_top() -> None:
    assert dropout_rates(ResidualDropout(), 80)[0] == 0.0
    assert dropout_rates(ResidualDropout(), 80)[-1] == pytest.approx(0.3)
    assert dropout_rates(ResidualDropout(bottom=0.1, top=0.3), 5) == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.3])
    assert dropout_rates(ResidualDropout(), 1) == [0.3]


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_each_branch_of_each_layer_drops_its_share(family: str) -> None:
    """The share of zeros that leave a branch's end is the layer's rate, and what is left is scaled up."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[family]())
    keys = list(model.state_dict())
    settings = ResidualDropout(bottom=0.0, top=0.3)
    dropouts = ResidualDropouts(model, family_of(family), settings)
    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    hooked = [dropout for branch in ("attention", "mlp") for dropout in dropouts.branches[branch]]
    for number, dropout in enumerate(hooked):
        dropout.register_forward_hook(lambda _m, given, out, number=number: seen.update({number: (given[0], out)}))
    model(torch.randint(0, 128, (4, 200)))
    for number, rate in enumerate(dropout_rates(settings, 4) * 2):
        before, after = seen[number]
        dropped = (after == 0).float().mean().item()
        assert dropped == pytest.approx(rate, abs=0.01)
        kept = after != 0
        torch.testing.assert_close(after[kept], before[kept] / (1 - rate))
    assert list(model.state_dict()) == keys


def test_evaluation_and_removal_leave_the_model_as_it_was() -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"]()).eval()
    tokens = torch.randint(0, 128, (1, 20))
    plain = model(tokens).logits
    trainee = Trainee(model, Recipe())
    assert isinstance(trainee.residual_dropouts, nn.Module)
    trainee.train()
    assert not torch.equal(model(tokens).logits, plain)
    trainee.eval()
    assert torch.equal(model(tokens).logits, plain)
    trainee.train()
    trainee.residual_dropouts.remove()
    assert torch.equal(model(tokens).logits, plain)


def test_one_branch_alone_may_be_dropped() -> None:
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"]())
    dropouts = ResidualDropouts(model, family_of("llama"), ResidualDropout(branches=("mlp",)))
    assert list(dropouts.branches) == ["mlp"]


def test_an_unknown_family_is_refused() -> None:
    with pytest.raises(InvalidInput, match="supported model_type"):
        family_of("bert")
