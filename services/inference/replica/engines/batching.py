"""Continuous batching on the CPU: requests join and leave between two steps of one decoding loop.

One thread owns the model. Each turn of its loop admits waiting jobs to free slots, runs at most one
chunk of one prompt, then one token for every slot that has its prompt behind it; so a long prompt
delays the others by one chunk at most. See `linear` and `slots` for why neighbours, and what was
remembered of earlier prompts, cannot change an answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import structlog
import torch

from services.inference.replica.engines.base import Drawn, EngineLoad, EngineStopped, ModelFacts, TokenScores
from services.inference.replica.engines.decoder import Decoder
from services.inference.replica.engines.jobs import GenerationJob, Job, ScoringJob
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
        self._deliveries: list[tuple[asyncio.AbstractEventLoop, Callable[[], None]]] = []
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

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling) -> AsyncIterator[Drawn]:
        job = GenerationJob(
            list(prompt_ids),
            asyncio.get_running_loop(),
            drawer=Drawer(sampling),
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
                    self._prefill_once()
                    self._decode_once()
                    self._deliver()
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
        if self._active and used + job.reserved > self._budget:
            return False
        job.slot = self._table.take(job.prompt)
        if job.slot is None:
            return False
        self._active.append(job)
        return True

    def _leave(self, job: Job) -> None:
        self._active.remove(job)
        if job.slot is not None:
            self._table.release(job.slot)

    def _prefill_once(self) -> None:
        """Runs one chunk of the first prompt that is not through; a scoring job ends here as well."""
        job = next((job for job in self._active if not isinstance(job, GenerationJob) or job.next_token is None), None)
        if job is None or job.slot is None:
            return
        if not job.started:
            job.started = True
            self._reuse(job)
        hidden = None
        if job.run < len(job.prompt):
            part = job.prompt[job.run : min(job.run + CHUNK, len(job.prompt))]
            hidden = self._decoder.prefill(self._cache, job.slot.index, job.run, part)
            job.run += len(part)
            job.slot.known.extend(part)
            self._load.prompt_tokens += len(part)
        if job.run < len(job.prompt):
            return
        if isinstance(job, GenerationJob):
            assert hidden is not None
            self._draw([job], self._decoder.logits(hidden[-1:]))
        elif isinstance(job, ScoringJob):
            self._score(job)

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
            if isinstance(job, GenerationJob) and job.next_token is not None and job.slot is not None
        }
        if not jobs:
            return
        width = len(self._table.slots)
        rows = max(max(jobs) + 1, MIN_ROWS) if self._decoder.row_stable else width
        longest = max(job.position for job in jobs.values())
        tokens, positions = [0] * rows, [0] * rows
        for index in range(rows):
            if index in jobs:
                tokens[index], positions[index] = jobs[index].next_token or 0, jobs[index].position
            else:
                positions[index] = self._idle_position(index, longest)
        hidden = self._decoder.decode(self._cache, torch.tensor(tokens), torch.tensor(positions))
        order = sorted(jobs)
        logits = self._decoder.logits(hidden)
        self._draw([jobs[index] for index in order], logits if len(order) == rows else logits[order])

    def _idle_position(self, index: int, longest: int) -> int:
        """Where a row without a job writes its meaningless token: behind what the slot remembers.

        A free slot forgets what lies beyond the longest job, so that no step attends further than it must.
        """
        slot = self._table.slots[index]
        if not slot.busy and len(slot.known) > longest:
            del slot.known[longest:]
        return len(slot.known)

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
            self._post(job.loop, lambda job=job, piece=piece: job.pieces.put_nowait(piece))  # type: ignore[misc]
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
                rows[inputs] = continued(self._decoder, self._cache, job.slot.index, len(job.prompt), inputs)
            scores.append(token_scores(self._decoder, rows[inputs], continuation))
        self._leave(job)
        self._post(job.loop, lambda: None if job.result.done() else job.result.set_result(scores))

    def _post(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._deliveries.append((loop, call))

    def _deliver(self) -> None:
        """Hands over what this turn made: one wake-up of each event loop, not one per token."""
        deliveries, self._deliveries = self._deliveries, []
        for loop in {loop for loop, _ in deliveries}:
            calls = [call for owner, call in deliveries if owner is loop]
            if not loop.is_closed():
                loop.call_soon_threadsafe(lambda calls=calls: [call() for call in calls])  # type: ignore[misc]

    def _abandon(self) -> None:
        with self._wake:
            self._closed = True
            jobs = [*self._active, *self._waiting]
            self._active, self._waiting = [], deque()
        stopped = EngineStopped("the engine stopped before the request was done")
        for job in jobs:
            if isinstance(job, GenerationJob):
                self._post(job.loop, lambda job=job: job.pieces.put_nowait(stopped))  # type: ignore[misc]
            elif isinstance(job, ScoringJob):
                self._post(
                    job.loop,
                    lambda job=job: None if job.result.done() else job.result.set_exception(stopped),  # type: ignore[misc]
                )
        self._deliver()
