"""The paper's repetition penalty inside vLLM, whose own one covers the prompt as well.

Loaded by vLLM in its engine's process, by the name that `VllmEngine` gives it.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from services.inference.replica.engines.vllm import PENALTY_ARGUMENT


class GeneratedTokenPenalty(LogitsProcessor):  # type: ignore[misc]
    """Divides positive logits of tokens drawn before by the penalty, multiplies negative ones (Keskar et al., 2019)."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        self._device = device
        # By row: the penalty, and the tokens drawn so far, a list that vLLM appends to.
        self._rows: dict[int, tuple[float, list[int]]] = {}

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        process_dict_updates(self._rows, batch_update, _row)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """`logits` [rows, vocabulary], changed in place."""
        for row, (penalty, generated) in self._rows.items():
            if generated:
                seen = torch.tensor(sorted(set(generated)), device=self._device)
                value = logits[row, seen]
                logits[row, seen] = torch.where(value > 0, value / penalty, value * penalty)
        return logits


def _row(parameters: Any, _: list[int] | None, generated: list[int]) -> tuple[float, list[int]] | None:
    penalty = (parameters.extra_args or {}).get(PENALTY_ARGUMENT, 1.0)
    return (penalty, generated) if penalty != 1 else None
