"""Runs that must give the same numbers however a step is divided. fp32 on a CPU: only summation order differs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.equivalence.training.laboratory import Laboratory, Outcome, assert_same
from training_jobs.spec import load_spec
from training_jobs.step_plan import epoch_steps


@pytest.mark.parametrize(
    "division", [{"micro_batch_examples": 2}, {"micro_batch_examples": 1}, {"micro_batch_tokens": 100}]
)
def test_a_step_equals_itself_in_micro_batches(
    laboratory: Laboratory, reference: Outcome, division: dict[str, int]
) -> None:
    """One pass of 8, four of 2, eight of 1 (nothing packed), and passes of at most 100 tokens."""
    name = "-".join(["divided", *(f"{key.rpartition('_')[2]}{value}" for key, value in division.items())])
    ours = laboratory.train(name, compute={"engine": "bare", "threads": 1, **division})
    assert_same(ours, reference, losses=1e-5, weights=2e-6)


def test_a_run_equals_a_loop_written_by_hand(laboratory: Laboratory, reference: Outcome) -> None:
    """transformers' own model and attention, one sequence at a time, torch's cross-entropy and AdamW."""
    recipe = load_spec(laboratory.spec("by-hand")).recipe
    prepared = next((laboratory.folder / "state" / "training" / "cache").glob("base-*"))
    tokenizer = AutoTokenizer.from_pretrained(prepared)
    model = AutoModelForCausalLM.from_pretrained(prepared, attn_implementation="eager")
    groups: dict[bool, list[Any]] = {True: [], False: []}
    for parameter in model.parameters():
        groups[parameter.ndim > 1].append(parameter)
    adamw = torch.optim.AdamW(
        [{"params": groups[True], "weight_decay": 0.1}, {"params": groups[False], "weight_decay": 0.0}],
        lr=1e-3,
        betas=(0.9, 0.95),
        eps=1e-8,
    )
    examples = [json.loads(line) for line in (laboratory.dataset / "train.jsonl").read_text().splitlines()]
    steps = [step for epoch in (1, 2) for step in epoch_steps(recipe, len(examples), epoch)]
    losses = []
    for number, step in enumerate(steps):
        total, targets = torch.zeros(()), 0
        for example in (examples[index] for index in step):
            ids: list[int] = []
            labels: list[int] = []
            for message in example["messages"]:
                turn = tokenizer(message["content"] + "<|eot|>")["input_ids"]
                ids += turn
                labels += turn if message["role"] == "assistant" else [-100] * len(turn)
            logits = model(torch.tensor([ids])).logits[0, :-1]
            total = total + functional.cross_entropy(logits, torch.tensor(labels[1:]), reduction="sum")
            targets += sum(label != -100 for label in labels[1:])
        (total / targets).backward()
        for group in adamw.param_groups:
            group["lr"] = 1e-3 + (1e-4 - 1e-3) * number / (len(steps) - 1)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad()
        losses.append(total.item() / targets)
    torch.testing.assert_close(torch.tensor(reference.losses()), torch.tensor(losses), rtol=1e-5, atol=0)
    for name, weight in reference.weights.items():
        torch.testing.assert_close(weight, model.state_dict()[name], rtol=0, atol=5e-6)


def test_the_recorded_rates_are_the_papers_line(reference: Outcome) -> None:
    rates = [row.learning_rate for row in reference.rows if row.kind == "step"]
    assert rates == pytest.approx([1e-3 - 9e-4 * step / 9 for step in range(10)], rel=1e-12)


def test_weight_decay_alone_shrinks_matrices_and_spares_norms(laboratory: Laboratory) -> None:
    """With clipping so hard that gradients vanish beside epsilon, w <- w (1 - rate * decay) at every step."""
    recipe = {"gradient_clip": 1e-12, "epsilon": 1.0, "weight_decay": 0.5}
    ours = laboratory.train("decay", recipe)
    prepared = next((laboratory.folder / "state" / "training" / "cache").glob("base-*"))
    before = AutoModelForCausalLM.from_pretrained(prepared).state_dict()
    shrunk = 1.0
    for row in ours.rows:
        if row.kind == "step":
            shrunk *= 1 - (row.learning_rate or 0) * 0.5
    for name, weight in ours.weights.items():
        factor = 1.0 if weight.ndim < 2 else shrunk
        torch.testing.assert_close(weight, before[name] * factor, rtol=1e-5, atol=1e-7)


def test_activation_checkpointing_changes_nothing(laboratory: Laboratory) -> None:
    """Dropout included: the recomputed forward pass draws the same masks."""
    recipe = {"epochs": 1, "residual_dropout": {"top": 0.3}}
    plain = laboratory.train("kept", recipe)
    recomputed = laboratory.train(
        "recomputed", recipe, compute={"engine": "bare", "threads": 1, "activation_checkpointing": True}
    )
    assert_same(recomputed, plain, losses=1e-6, weights=1e-6)


def test_bf16_with_fp32_masters_follows_fp32(laboratory: Laboratory, reference: Outcome) -> None:
    """bf16 keeps 8 bits of mantissa: losses within 1%."""
    ours = laboratory.train("bf16", {"precision": "bf16"})
    torch.testing.assert_close(torch.tensor(ours.losses()), torch.tensor(reference.losses()), rtol=1e-2, atol=0)
    assert {weight.dtype for weight in ours.weights.values()} == {torch.bfloat16}


def test_adapters_change_what_they_are_meant_to(laboratory: Laboratory) -> None:
    """Chosen linear layers, and of the shared base EOT's row alone; the merged checkpoint is a plain model."""
    ours = laboratory.train("lora", {"lora": {"rank": 4, "modules": ["attention"]}})
    assert ours.losses()[-1] < ours.losses()[0]
    prepared = next((laboratory.folder / "state" / "training" / "cache").glob("base-*"))
    before = AutoModelForCausalLM.from_pretrained(prepared).state_dict()
    end = AutoTokenizer.from_pretrained(prepared).eos_token_id
    assert ours.weights.keys() <= before.keys()
    for name, weight in ours.weights.items():
        changed = (weight != before[name]).any(dim=-1)
        if "self_attn" in name:
            assert changed.all(), name
        elif "embed_tokens" in name:
            assert changed.nonzero().flatten().tolist() == [end]
        else:
            assert not changed.any(), name
