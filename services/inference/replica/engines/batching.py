"""Continuous batching on the CPU: requests join and leave between two steps of one decoding loop.

One thread owns the model. Each turn of its loop admits waiting jobs to free slots, runs a bounded
number of prompt tokens, then one token for every slot that has its prompt behind it; so prompts delay
the others' next token by that much at most. See `linear` and `slots` for why neighbours, and what was
remembered of earlier prompts, cannot change an answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import structlog
import torch

from services.inference.replica.engines.base import Drawn, EngineLoad, EngineStopped, ModelFacts, TokenScores
from services.inference.replica.engines.decoder import Decoder
from services.inference.replica.engines.jobs import Deliveries, GenerationJob, Job, ScoringJob
from services.inference.replica.engines.linear import MIN_ROWS
from services.inference.replica.engines.sampler import Drawer, draw
from services.inference.replica.engines.scoring import continued, token_scores
from services.inference.replica.engines.slots import CHUNK, SlotTable
from services.inference.sampling import Sampling

logger = structlog.get_logger()

DEFAULT_SLOTS = 32
DEFAULT_CONTEXT = 4096
# Bounds keys and values of the requests in flight together; 2 GiB is 45,000 tokens of a 135M model.
CACHE_BYTES = 2 * 2**30
# Prompt tokens of one turn: short prompts that come together join the batch together, rather than one a step.
PREFILL_TOKENS = 2 * CHUNK


class BatchingEngine:
    """The default engine for Llama-family models on a CPU."""

    def __init__(
        self,
        folder: Path,
        stop_ids: frozenset[int],
        *,
        slots: int = DEFAULT_SLOTS,
        context: int = DEFAULT_CONTEXT,
        threads: int = 2,
    ) -> None:
        torch.set_num_threads(threads)
        self._decoder = decoder = Decoder(folder)
        context = min(context, decoder.shape.context)
        per_token = 8 * decoder.shape.layers * decoder.shape.kv_heads * decoder.shape.head_size
        self._budget = max(CACHE_BYTES // per_token, context)
        self._cache = decoder.cache(slots, context + 1)
        self._table = SlotTable(slots)
        self._waiting: deque[Job] = deque()
        self._active: list[Job] = []
        self._wake = threading.Condition()
        self._deliveries = Deliveries()
        self._closed = False
        self._failure: BaseException | None = None
        self._load = EngineLoad(slots=slots)
        self._facts = ModelFacts(
            engine="torch",
            context_length=context,
            vocabulary_size=decoder.shape.vocabulary,
            parameter_count=decoder.parameter_count,
            stop_ids=stop_ids,
        )
        self._thread = threading.Thread(target=self._run, name="decoding", daemon=True)
        self._thread.start()

    @property
    def facts(self) -> ModelFacts:
        return self._facts

    @property
    def row_stable(self) -> bool:
        """Whether this processor's products were found independent of the number of rows."""
        return self._decoder.row_stable

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, stop_bias: float = 0.0
    ) -> AsyncIterator[Drawn]:
        job = GenerationJob(
            list(prompt_ids),
            asyncio.get_running_loop(),
            drawer=Drawer(sampling, dict.fromkeys(self._facts.stop_ids, stop_bias) if stop_bias else {}),
            max_tokens=min(sampling.max_tokens, self._facts.context_length - len(prompt_ids)),
        )
        if not job.prompt or job.max_tokens < 1:
            raise ValueError(f"a prompt of {len(job.prompt)} tokens leaves no room in {self._facts.context_length}")
        self._submit(job)
        try:
            while True:
                piece = await job.pieces.get()
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
                if piece.finish is not None:
                    return
        finally:
            self._cancel(job)

    async def score(self, prefix_ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[TokenScores]:
        prefix = list(prefix_ids)
        if not prefix:
            # Nothing precedes the first token of a text, so it has no likelihood under the model.
            return [(await self.score(text[:1], [text[1:]]))[0] for text in continuations]
        loop = asyncio.get_running_loop()
        result: asyncio.Future[list[TokenScores]] = loop.create_future()
        job = ScoringJob(prefix[:-1], loop, first=prefix[-1], continuations=list(continuations), result=result)
        if job.reserved > self._facts.context_length:
            raise ValueError(f"a text of {job.reserved} tokens does not fit in {self._facts.context_length}")
        self._submit(job)
        try:
            return await result
        finally:
            self._cancel(job)

    def deviations(self, sampling: Sampling) -> tuple[str, ...]:
        return ()

    def load(self) -> EngineLoad:
        self._load.active, self._load.waiting = self._table.busy, len(self._waiting)
        return self._load

    def check(self) -> None:
        if self._failure or not self._thread.is_alive():
            raise EngineStopped("the engine has stopped") from self._failure

    def close(self) -> None:
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join(timeout=30)

    def _submit(self, job: Job) -> None:
        with self._wake:
            if self._closed or self._failure:
                raise EngineStopped("the engine has stopped") from self._failure
            self._waiting.append(job)
            self._wake.notify()

    def _cancel(self, job: Job) -> None:
        with self._wake:
            job.cancelled = True
            self._wake.notify()

    # What follows runs on the engine's thread only.

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                while self._admit():
                    self._prefill()
                    self._decode_once()
                    self._deliveries.send()
        except BaseException as failure:
            logger.exception("engine_failed")
            self._failure = failure
        self._abandon()

    def _admit(self) -> bool:
        """Waits for work, drops what was cancelled, seats what fits; False once closed."""
        with self._wake:
            while not self._closed and not self._active and not self._waiting:
                self._wake.wait()
            if self._closed:
                return False
            for job in [job for job in self._active if job.cancelled]:
                self._leave(job)
            while self._waiting and (self._waiting[0].cancelled or self._seat(self._waiting[0])):
                self._waiting.popleft()
            return True

    def _seat(self, job: Job) -> bool:
        used = sum(other.reserved for other in self._active)
        fits = not self._active or used + job.reserved <= self._budget
        job.slot = self._table.take(job.prompt) if fits else None
        if job.slot is None:
            return False
        self._active.append(job)
        return True

    def _leave(self, job: Job) -> None:
        self._active.remove(job)
        if job.slot is not None:
            self._table.release(job.slot)

    def _prefill(self) -> None:
        """Runs the prompts that are not through, in order, as far as the turn's tokens go."""
        left = PREFILL_TOKENS
        for job in [job for job in self._active if job.prefilling]:
            while left > 0 and job.prefilling and job in self._active:
                left -= self._prefill_chunk(job)
                # A first token does not wait for the prompts of others, nor for their next step.
                self._deliveries.send()

    def _prefill_chunk(self, job: Job) -> int:
        """Runs one chunk of a prompt, whose tokens it counts; a scoring job ends with its last."""
        assert job.slot is not None
        if not job.started:
            job.started = True
            self._reuse(job)
        part = job.prompt[job.run : job.run + CHUNK]
        hidden = self._decoder.prefill(self._cache, job.slot.index, job.run, part) if part else None
        job.run += len(part)
        job.slot.known.extend(part)
        self._load.prompt_tokens += len(part)
        if job.run < len(job.prompt):
            return len(part)
        if isinstance(job, GenerationJob):
            assert hidden is not None
            self._draw([job], self._decoder.logits(hidden[-1:]))
            return len(part)
        assert isinstance(job, ScoringJob)
        return len(part) + self._score(job)

    def _reuse(self, job: Job) -> None:
        assert job.slot is not None
        source, length = self._table.best_source(job.prompt)
        if length and source is not job.slot:
            self._cache.copy_prefix(source.index, job.slot.index, length)
        job.slot.known = source.known[:length]
        job.run = length
        self._load.reused_tokens += length

    def _decode_once(self) -> None:
        jobs = {
            job.slot.index: job
            for job in self._active
            if isinstance(job, GenerationJob) and not job.prefilling and job.slot is not None
        }
        if not jobs:
            return
        rows = max(max(jobs) + 1, MIN_ROWS) if self._decoder.row_stable else len(self._table.slots)
        longest = max(job.position for job in jobs.values())
        tokens, positions = [0] * rows, [0] * rows
        for index in range(rows):
            if index in jobs:
                tokens[index], positions[index] = jobs[index].next_token or 0, jobs[index].position
            else:
                positions[index] = self._table.idle_position(index, longest)
        hidden = self._decoder.decode(self._cache, torch.tensor(tokens), torch.tensor(positions))
        order = sorted(jobs)
        logits = self._decoder.logits(hidden)
        self._draw([jobs[index] for index in order], logits if len(order) == rows else logits[order])

    def _draw(self, jobs: Sequence[GenerationJob], logits: torch.Tensor) -> None:
        choices = draw(logits, [job.drawer for job in jobs])
        for job, choice in zip(jobs, choices, strict=True):
            if choice.token_id in self._facts.stop_ids:
                piece = Drawn(finish="stop")
            else:
                done = len(job.drawer.generated) >= job.max_tokens
                piece = Drawn((choice,), "length" if done else None)
                self._load.tokens_drawn += 1
            job.next_token = choice.token_id
            self._deliveries.add(job.loop, partial(job.give, piece))
            if piece.finish is not None:
                self._leave(job)

    def _score(self, job: ScoringJob) -> int:
        """All continuations from the shared prefix; those with the same inputs (all single tokens) share one pass.

        Gives the number of tokens that were run.
        """
        assert job.slot is not None
        rows: dict[tuple[int, ...], torch.Tensor] = {}
        scores, run = [], 0
        for continuation in job.continuations:
            inputs = (job.first, *continuation[:-1])
            if inputs not in rows:
                rows.clear()
                rows[inputs] = continued(self._decoder, self._cache, job.slot.index, len(job.prompt), inputs)
                run += len(inputs)
            scores.append(token_scores(self._decoder, rows[inputs], continuation))
        self._leave(job)
        self._deliveries.add(job.loop, partial(job.give, scores))
        return run

    def _abandon(self) -> None:
        with self._wake:
            self._closed = True
            jobs = [*self._active, *self._waiting]
            self._active, self._waiting = [], deque()
        stopped = EngineStopped("the engine stopped before the request was done")
        for job in jobs:
            self._deliveries.add(job.loop, partial(job.fail, stopped))
        self._deliveries.send()
