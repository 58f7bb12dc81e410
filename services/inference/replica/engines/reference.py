"""Plain transformers, one request at a time: slow, and what the other engines are tested against.

It also serves every architecture that transformers knows and the batching engine does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from services.inference.replica.engines.base import Drawn, EngineLoad, ModelFacts, TokenScores
from services.inference.replica.engines.sampler import Drawer, draw
from services.inference.sampling import Sampling


class ReferenceEngine:
    """`AutoModelForCausalLM` with its own cache, driven token by token on one thread."""

    def __init__(self, folder: Path, stop_ids: frozenset[int], *, threads: int = 2) -> None:
        torch.set_num_threads(threads)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        self._model = model.eval()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reference")
        self._load = EngineLoad(slots=1)
        self._facts = ModelFacts(
            engine="transformers",
            context_length=model.config.max_position_embeddings,
            vocabulary_size=model.config.vocab_size,
            parameter_count=sum(parameter.numel() for parameter in model.parameters()),
            stop_ids=stop_ids,
        )

    @property
    def facts(self) -> ModelFacts:
        return self._facts

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, stop_bias: float = 0.0
    ) -> AsyncIterator[Drawn]:
        loop = asyncio.get_running_loop()
        drawer = Drawer(sampling, dict.fromkeys(self._facts.stop_ids, stop_bias) if stop_bias else {})
        room = min(sampling.max_tokens, self._facts.context_length - len(prompt_ids))
        if not prompt_ids or room < 1:
            raise ValueError(f"a prompt of {len(prompt_ids)} tokens leaves no room in {self._facts.context_length}")
        inputs, cache = list(prompt_ids), None
        self._load.prompt_tokens += len(inputs)
        while True:
            logits, cache = await loop.run_in_executor(self._worker, self._step, inputs, cache)
            (choice,) = draw(logits[-1:], [drawer])
            if choice.token_id in self._facts.stop_ids:
                yield Drawn(finish="stop")
                return
            self._load.tokens_drawn += 1
            done = len(drawer.generated) >= room
            yield Drawn((choice,), "length" if done else None)
            if done:
                return
            inputs = [choice.token_id]

    async def score(self, prefix_ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[TokenScores]:
        loop = asyncio.get_running_loop()
        return [
            await loop.run_in_executor(self._worker, self._score_one, list(prefix_ids), list(continuation))
            for continuation in continuations
        ]

    def deviations(self, sampling: Sampling) -> tuple[str, ...]:
        return ()

    def load(self) -> EngineLoad:
        return self._load

    def check(self) -> None:
        """It has no thread of its own that could have died."""

    def close(self) -> None:
        self._worker.shutdown(wait=True, cancel_futures=True)

    @torch.inference_mode()
    def _step(self, inputs: list[int], cache: Any) -> tuple[torch.Tensor, Any]:
        output = self._model(torch.tensor([inputs]), past_key_values=cache, use_cache=True)
        return output.logits[0], output.past_key_values

    @torch.inference_mode()
    def _score_one(self, prefix: list[int], continuation: list[int]) -> TokenScores:
        scored = continuation if prefix else continuation[1:]
        tokens = prefix + continuation
        logits = self._model(torch.tensor([tokens])).logits[0, -len(scored) - 1 : -1]
        chosen = logits.log_softmax(dim=-1).gather(1, torch.tensor(scored)[:, None])[:, 0]
        return TokenScores(tuple(scored), tuple(chosen.tolist()))
