"""Against other programs: TRL's loss on the same batch, and plain transformers generating from a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from services.shared.records import Response
from tests.equivalence.training.laboratory import Laboratory, Outcome
from training_jobs.base_model import load_tokenizer
from training_jobs.dataset import Encoder, encode_split
from training_jobs.spec import load_spec
from training_jobs.step_plan import epoch_steps


@pytest.mark.parametrize("packing", [False, True])
def test_the_loss_is_trls_on_the_same_batch(
    laboratory: Laboratory, reference: Outcome, tmp_path: Path, packing: bool
) -> None:
    """The first step's eight examples; TRL logs the loss in fp32: relative 1e-4."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    spec = load_spec(laboratory.spec("by-trl"))
    prepared = next((laboratory.folder / "state" / "training" / "cache").glob("base-*"))
    corpus = encode_split(laboratory.dataset / "train.jsonl", Encoder(load_tokenizer(prepared), spec.recipe))
    step = [corpus.sequences[i] for i in epoch_steps(spec.recipe, len(corpus.sequences), 1)[0]]
    rows = [{"input_ids": s.tokens.tolist(), "completion_mask": s.is_target.astype(int).tolist()} for s in step]
    settings = SFTConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=len(rows),
        num_train_epochs=1,
        learning_rate=1e-9,
        max_length=2048,
        packing=packing,
        completion_only_loss=True,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=True,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(prepared, dtype=torch.float32),
        args=settings,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(prepared),
    )
    trainer.train()
    (logged,) = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert reference.losses()[0] == pytest.approx(logged, rel=1e-4)


def test_a_checkpoint_loads_in_plain_transformers_and_stops_at_eot(laboratory: Laboratory, tmp_path: Path) -> None:
    """Two answers learned by heart, with dropout on; nothing of ours is at work when they are generated."""
    answers = {"tea": "pour warm water", "milk": "drink it cold"}
    lines = [
        {"id": name, "source": "t", "split": "train",
         "messages": [{"role": "user", "content": name}, {"role": "assistant", "content": answer}]}
        for name, answer in answers.items()
    ]  # fmt: skip
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    recipe = {
        "epochs": 60, "batch_size": 2, "learning_rate": 5e-3, "final_learning_rate": 5e-4,
        "residual_dropout": {"top": 0.1},
    }  # fmt: skip
    checks = {"stop_check": 2, "max_new_tokens": 40}
    ours = laboratory.train(
        "by-heart", recipe, dataset=str(tmp_path), checkpoints={"keep_first": 60}, evaluation=checks
    )
    folder = laboratory.run_folder("by-heart") / ours.status.last_checkpoint
    # The run itself saw that generation stops.
    assert ours.status.message == "2 of 2 answers of the last epoch end in EOT"
    recorded = (laboratory.run_folder("by-heart") / "answers" / "epoch-60.jsonl").read_text().splitlines()
    given = {(found := Response.model_validate_json(line)).prompt_id: found for line in recorded}
    assert {name: found.response for name, found in given.items()} == answers
    assert {found.finish_reason for found in given.values()} == {"stop"}
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    for prompt, answer in answers.items():
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        encoded = tokenizer(text, return_tensors="pt", add_special_tokens=False)
        generated = model.generate(**encoded, max_new_tokens=40, do_sample=False)[0, encoded["input_ids"].shape[1] :]
        assert tokenizer.decode(generated) == f"{answer}<|eot|>"
    kept = [path.name for path in (laboratory.run_folder("by-heart") / "checkpoints").iterdir()]
    assert kept == ["epoch-60"], "only epochs in the window stay"
    assert numpy.isfinite(ours.losses()).all()
