from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from services.shared.errors import InvalidInput
from tests.unit.training.test_attention import batch_of
from tests.unit.training.test_residual_dropout import CONFIGS
from training_jobs import attention, memory_plan
from training_jobs.memory_plan import activation_bytes, nearest_fit, plan
from training_jobs.model import Trainee
from training_jobs.model_size import Shape
from training_jobs.spec import TrainingSpec, parse_spec

LLAMA_65B = {
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 22016,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "vocab_size": 32000,
    "tie_word_embeddings": False,
}


def spec(recipe: dict[str, Any] | None = None, **compute: Any) -> TrainingSpec:
    return parse_spec({"run": "r", "base_model": "m", "dataset": "d", "recipe": recipe or {}, "compute": compute})


def paper(**compute: Any) -> TrainingSpec:
    shared = {"gpus_per_worker": 1, "zero_stage": 3, "micro_batch_tokens": 2048, "activation_checkpointing": True}
    return spec({"precision": "bf16"}, **(shared | compute))


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_parameters_are_counted_exactly(family: str) -> None:
    config = CONFIGS[family]()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert Shape.of(config.to_dict()).parameters == sum(parameter.numel() for parameter in model.parameters())


def test_the_paper_scale_table() -> None:
    """The figures on paper for 65B: bytes, machines, work, traffic and checkpoints."""
    whole = plan(paper(workers=1, zero_stage=0), LLAMA_65B)
    states = sum(plan(paper(workers=8), LLAMA_65B).device[name] for name in ("weights", "gradients", "optimizer")) * 8
    assert states / 2**30 == pytest.approx(971, rel=0.005)
    assert not plan(paper(workers=8), LLAMA_65B).fits(80e9)
    offloaded = plan(paper(workers=8, offload_optimizer=True), LLAMA_65B)
    assert offloaded.fits(80e9)
    assert offloaded.host_bytes * 8 < 1.5e12
    sixteen, twenty_four = (plan(paper(workers=workers), LLAMA_65B).device_bytes for workers in (16, 24))
    assert 70e9 < sixteen < 80e9
    assert twenty_four < 60e9
    assert whole.flop == pytest.approx(4.4e18, rel=0.01)
    assert whole.gpu_hours == pytest.approx(3.1, rel=0.01)
    plain = plan(paper(workers=24), LLAMA_65B)
    assert plain.traffic_per_step == pytest.approx(390e9, rel=0.01)
    reduced = {"hpz_partition_size": 8, "quantized_weights": True, "quantized_gradients": True}
    assert plain.traffic_per_step / plan(paper(workers=24, **reduced), LLAMA_65B).traffic_per_step == pytest.approx(4)
    assert plain.epoch_bytes == pytest.approx(130e9, rel=0.01)
    assert plain.epoch_bytes + plain.state_bytes == pytest.approx(0.9e12, rel=0.02)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("groups", [2, 8])
def test_activations_match_what_autograd_keeps(dropout: float, groups: int) -> None:
    """Every tensor that the forward pass saves for the backward one is counted; within 10%."""
    attention.register()
    config = LlamaConfig(
        vocab_size=128,
        hidden_size=128,
        intermediate_size=340,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=groups,
    )
    model = AutoModelForCausalLM.from_config(config)
    model.set_attn_implementation(attention.NAME)
    settings = spec({"residual_dropout": {"top": dropout}, "max_length": 600}, micro_batch_tokens=600)
    trainee = Trainee(model, settings.recipe).train()
    own = {parameter.untyped_storage().data_ptr() for parameter in trainee.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        trainee(batch_of(100, 200, 300)[1])
    measured = sum(storage.nbytes() for storage in kept.values())
    assert activation_bytes(settings, Shape.of(config.to_dict())) == pytest.approx(measured, rel=0.1)


def test_what_cannot_fit_is_answered_with_the_nearest_setting_that_does() -> None:
    found = nearest_fit(paper(workers=8), LLAMA_65B, device_bytes=80e9, host_bytes=300e9)
    assert found is not None
    changed, words = found
    assert changed.compute.offload_optimizer
    assert "compute.offload_optimizer = True" in words
    assert plan(changed, LLAMA_65B).fits(80e9, 300e9)
    assert nearest_fit(paper(workers=1), LLAMA_65B, device_bytes=1e9) is None


@pytest.mark.parametrize("value", [None, 0, "64", True, 1.5])
def test_a_senseless_dimension_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="num_hidden_layers"):
        Shape.of({**LLAMA_65B, "num_hidden_layers": value})


def test_the_arithmetic_is_shown() -> None:
    lines = memory_plan.plan(paper(workers=16), LLAMA_65B).arithmetic
    assert lines[0] == "65.286 billion parameters, bf16, ZeRO-3 on 16 workers"
    assert any(line.split()[:2] == ["device", "total"] for line in lines)
