"""vLLM behind our interface, for GPUs (and, from vLLM's CPU build, for its own image on CPUs).

Its own repetition penalty covers the prompt as well as the output, so ours is put in its place (`vllm_penalty`).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from transformers import AutoConfig

from services.inference.folders import inspect_folder
from services.inference.replica.engines.base import (
    Drawn,
    EngineLoad,
    EngineStopped,
    FinishReason,
    ModelFacts,
    TokenChoice,
    TokenScores,
)
from services.inference.replica.engines.choice import EngineOptions
from services.inference.sampling import Sampling

# Read by vLLM when it is imported. Memory for keys and values is in GiB, and counts on CPUs only.
DEFAULTS = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CPU_KVCACHE_SPACE": "2"}
# On CPUs vLLM would put a worker's process beside that of its engine, and both would spin for each other's messages.
CPU_DEFAULTS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
PENALTY = "services.inference.replica.engines.vllm_penalty:GeneratedTokenPenalty"
# The entry of SamplingParams.extra_args by which a request tells it.
PENALTY_ARGUMENT = "generated_token_penalty"


class VllmEngine:
    """An `AsyncLLM` on the model's own files; its EOT comes from the generation config."""

    def __init__(self, folder: Path, stop_ids: frozenset[int], options: EngineOptions) -> None:
        for name, value in (DEFAULTS | ({} if torch.cuda.is_available() else CPU_DEFAULTS)).items():
            os.environ.setdefault(name, value)
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        context = min(options.context, config.max_position_embeddings)
        arguments = AsyncEngineArgs(
            model=str(folder),
            # As our own engine on CPUs, most of which are slower in bfloat16; on GPUs what the model says.
            dtype="auto" if torch.cuda.is_available() else "float32",
            max_model_len=context,
            max_num_seqs=options.slots,
            logits_processors=[PENALTY],
        )
        self._llm: Any = AsyncLLM.from_engine_args(arguments)
        self._load = EngineLoad(slots=options.slots)
        self._facts = ModelFacts(
            engine="vllm",
            context_length=context,
            vocabulary_size=config.vocab_size,
            parameter_count=inspect_folder(folder).parameter_count,
            stop_ids=stop_ids,
        )

    @property
    def facts(self) -> ModelFacts:
        return self._facts

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, stop_bias: float = 0.0
    ) -> AsyncIterator[Drawn]:
        room = self._facts.context_length - len(prompt_ids)
        if not prompt_ids or room < 1:
            raise ValueError(f"a prompt of {len(prompt_ids)} tokens leaves no room in {self._facts.context_length}")
        self._load.active += 1
        parameters = self._parameters(sampling, room, stop_bias)
        outputs = self._llm.generate({"prompt_token_ids": list(prompt_ids)}, parameters, uuid4().hex)
        try:
            async with aclosing(outputs) as stream:
                async for output in stream:
                    completion = output.outputs[0]
                    rows = completion.logprobs or [None] * len(completion.token_ids)
                    choices = tuple(map(_choice, completion.token_ids, rows))
                    kept = tuple(choice for choice in choices if choice.token_id not in self._facts.stop_ids)
                    self._load.tokens_drawn += len(kept)
                    finish: FinishReason | None = None
                    if output.finished:
                        finish = "length" if completion.finish_reason == "length" else "stop"
                    yield Drawn(kept, finish)
        finally:
            self._load.active -= 1

    async def score(self, prefix_ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[TokenScores]:
        return list(await asyncio.gather(*(self._score_one(list(prefix_ids), list(text)) for text in continuations)))

    def deviations(self, sampling: Sampling) -> tuple[str, ...]:
        found = []
        if sampling.min_p and (sampling.top_p < 1 or sampling.top_k):
            found.append("min_p is applied before top_k and top_p (vLLM)")
        if sampling.seed is not None and not sampling.greedy:
            found.append("what else is in the batch may change a seeded text (vLLM)")
        return tuple(found)

    def load(self) -> EngineLoad:
        return self._load

    def check(self) -> None:
        if self._llm.errored:
            raise EngineStopped("vLLM has stopped")

    def close(self) -> None:
        self._llm.shutdown()

    async def _score_one(self, prefix: list[int], continuation: list[int]) -> TokenScores:
        from vllm import SamplingParams

        tokens = prefix + continuation
        parameters = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0)
        async for output in self._llm.generate({"prompt_token_ids": tokens}, parameters, uuid4().hex):
            if output.prompt_logprobs:
                scored = continuation if prefix else continuation[1:]
                rows = output.prompt_logprobs[-len(scored) :]
                logprobs = tuple(row[token].logprob for token, row in zip(scored, rows, strict=True))
                return TokenScores(tuple(scored), logprobs)
        raise EngineStopped("vLLM ended a scoring request without log-probabilities")

    def _parameters(self, sampling: Sampling, room: int, stop_bias: float) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            extra_args={PENALTY_ARGUMENT: sampling.repetition_penalty},
            logit_bias=dict.fromkeys(self._facts.stop_ids, stop_bias) if stop_bias else None,
            max_tokens=min(sampling.max_tokens, room),
            # vLLM keeps signed 64 bits.
            seed=None if sampling.seed is None else sampling.seed % 2**63,
            logprobs=sampling.logprobs,
            stop_token_ids=sorted(self._facts.stop_ids),
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )


def _choice(token_id: int, row: Any) -> TokenChoice:
    if row is None:
        return TokenChoice(token_id)
    others = tuple((other, value.logprob) for other, value in row.items())
    return TokenChoice(token_id, row[token_id].logprob, others)
