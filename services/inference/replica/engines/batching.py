"""Continuous batching on the CPU: requests join and leave between two steps of one decoding loop.

One thread owns the model. Each turn of its loop admits waiting jobs to free slots, then runs a bounded
number of prompt tokens and one token for every slot that has its prompt behind it; so prompts delay
the others' next token by that much at most. See the decoders and `slots` for why neighbours, and what
was remembered of earlier prompts, cannot change an answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Sequence
from functools import partial

import structlog
import torch

from services.inference.replica.engines.base import Drawn, EngineLoad, EngineStopped, ModelFacts, TokenScores
from services.inference.replica.engines.forward import Decoder, Part
from services.inference.replica.engines.jobs import Deliveries, GenerationJob, Job, ScoringJob
from services.inference.replica.engines.sampler import Drawer, draw
from services.inference.replica.engines.scoring import continued, token_scores
from services.inference.replica.engines.slots import CHUNK, SlotTable, shared_prefix
from services.inference.replica.engines.turns import take_long_turns
from services.inference.sampling import Sampling

logger = structlog.get_logger()

# Bounds keys and values of the requests in flight together; 2 GiB is 45,000 tokens of a 135M model.
CACHE_BYTES = 2 * 2**30
# Prompt tokens of one turn. Short prompts that come together join the batch together, and weights are read once for
# all of them; the price is what the others wait for their next token meanwhile.
PREFILL_TOKENS = 4 * CHUNK


class BatchingEngine:
    """Continuous batching around a `Decoder`. `name` is told as the engine's."""

    def __init__(self, name: str, decoder: Decoder, stop_ids: frozenset[int], *, slots: int, context: int) -> None:
        self._decoder = decoder
        context = min(context, decoder.shape.context)
        per_token = 8 * decoder.shape.layers * decoder.shape.kv_heads * decoder.shape.head_size
        self._budget = max(CACHE_BYTES // per_token, context)
        self._table = SlotTable(slots)
        self._waiting: deque[Job] = deque()
        self._active: list[Job] = []
        self._wake = threading.Condition()
        self._deliveries = Deliveries()
        self._closed = False
        self._failure: BaseException | None = None
        self._load = EngineLoad(slots=slots)
        self._facts = ModelFacts(
            engine=name,
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
        take_long_turns()
        try:
            with torch.inference_mode():
                while self._admit():
                    self._score_waiting()
                    self._generate()
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

    def _score_waiting(self) -> None:
        """Runs the first scoring job on, by one turn's tokens."""
        job = next((job for job in self._active if isinstance(job, ScoringJob)), None)
        left = PREFILL_TOKENS
        while job is not None and left > 0 and job in self._active:
            self._start(job)
            part = self._next_part(job)
            if part.tokens:
                self._decoder.prefill(part)
                self._ran(job, part)
            left -= len(part.tokens)
            if job.run == len(job.prompt):
                self._score(job)

    def _generate(self) -> None:
        """One pass: the next token of every answer, and as much of the waiting prompts as a turn takes."""
        writing = {
            job.slot.index: job
            for job in self._active
            if isinstance(job, GenerationJob) and not job.prefilling and job.slot is not None
        }
        reading = self._prompts()
        if not writing and not reading:
            return
        order = [writing[index] for index in sorted(writing)]
        steps = [Part(index, writing[index].position, [writing[index].next_token or 0]) for index in sorted(writing)]
        longest = max((job.position for job in order), default=0)
        for job, part in reading:
            # Before the pass: from now on a slot's idle position lies behind these tokens.
            self._ran(job, part)
        hidden = self._decoder.turn(
            [part for _, part in reading], steps, partial(self._table.idle_position, longest=longest)
        )
        ready = [job.run == len(job.prompt) for job, _ in reading] + [True] * len(order)
        jobs = [job for job, done in zip([*(job for job, _ in reading), *order], ready, strict=True) if done]
        if jobs:
            self._draw(jobs, self._decoder.logits(hidden if all(ready) else hidden[torch.tensor(ready)]))

    def _prompts(self) -> list[tuple[GenerationJob, Part]]:
        """The next parts of prompts in their order, one of each, as many as a turn takes."""
        found: list[tuple[GenerationJob, Part]] = []
        left = PREFILL_TOKENS
        for job in self._active:
            if left <= 0:
                break
            if not isinstance(job, GenerationJob) or not job.prefilling:
                continue
            if not job.started and self._shares_chunk(job, found):
                continue
            self._start(job)
            part = self._next_part(job)
            found.append((job, part))
            left -= len(part.tokens)
        return found

    def _shares_chunk(self, job: Job, found: Sequence[tuple[GenerationJob, Part]]) -> bool:
        """Whether a chunk of its prompt is being run for another one, so that waiting a turn saves running it."""
        return any(shared_prefix(other.prompt[: part.end], job.prompt) > part.start for other, part in found)

    def _start(self, job: Job) -> None:
        if not job.started:
            job.started = True
            self._reuse(job)

    def _next_part(self, job: Job) -> Part:
        assert job.slot is not None
        return Part(job.slot.index, job.run, job.prompt[job.run : job.run + CHUNK])

    def _ran(self, job: Job, part: Part) -> None:
        assert job.slot is not None
        job.run = part.end
        job.slot.known.extend(part.tokens)
        self._load.prompt_tokens += len(part.tokens)

    def _reuse(self, job: Job) -> None:
        assert job.slot is not None
        source, length = self._table.best_source(job.prompt)
        if length and source is not job.slot:
            self._decoder.copy_prefix(source.index, job.slot.index, length)
        job.slot.known = source.known[:length]
        job.run = length
        self._load.reused_tokens += length

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

    def _score(self, job: ScoringJob) -> None:
        """All continuations from the shared prefix; those with the same inputs (all single tokens) share one pass."""
        assert job.slot is not None
        rows: dict[tuple[int, ...], torch.Tensor] = {}
        scores = []
        for continuation in job.continuations:
            inputs = (job.first, *continuation[:-1])
            if inputs not in rows:
                rows.clear()
                rows[inputs] = continued(self._decoder, job.slot.index, len(job.prompt), inputs)
            scores.append(token_scores(self._decoder, rows[inputs], continuation))
        self._leave(job)
        self._deliveries.add(job.loop, partial(job.give, scores))

    def _abandon(self) -> None:
        with self._wake:
            self._closed = True
            jobs = [*self._active, *self._waiting]
            self._active, self._waiting = [], deque()
        stopped = EngineStopped("the engine stopped before the request was done")
        for job in jobs:
            self._deliveries.add(job.loop, partial(job.fail, stopped))
        self._deliveries.send()
