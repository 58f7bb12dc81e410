"""Named recipes. A spec names one and overrides single settings; the result is recorded in full."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    # The paper's main run.
    "lima-65b": {},
    # The paper's ablations: larger batches and less dropout for smaller models.
    "lima-7b": {"batch_size": 64, "residual_dropout": {"top": 0.2}},
    # Ours: a model this small hardly moves at the paper's rate within so few steps. Mind its dropout on models
    # trained without any: at 0.2 SmolLM2's training loss doubles.
    "lima-135m": {
        "learning_rate": 1e-4,
        "final_learning_rate": 1e-5,
        "residual_dropout": {"top": 0.2},
    },
    # Stanford Alpaca's published hyper-parameters, for the baseline on its 52,000 examples.
    "alpaca": {
        "epochs": 3,
        "batch_size": 128,
        "max_length": 512,
        "learning_rate": 2e-5,
        "final_learning_rate": 0.0,
        "schedule": "cosine",
        "warmup": 0.03,
        "beta2": 0.999,
        "weight_decay": 0.0,
        "residual_dropout": {"top": 0.0},
    },
}
