"""Response sets: a prompt file x a model x a sampling, whole in the store or absent, resumable in between.

A set is named by what it was made from. Responses that are done wait in the database until all are, so
a killed run continues with the missing ones; then the JSONL and after it the manifest go to the store.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from services.inference import tables
from services.inference.answers import Usage
from services.inference.backends.base import Backend, Prompt
from services.inference.registry import ModelVersion
from services.inference.sampling import MAX_SAMPLES, Sampling, derived_seed
from services.shared.database import Database
from services.shared.digest import digest_bytes, digest_json
from services.shared.errors import DataCorrupt, InvalidInput, NotFound, ResourceExhausted, Unavailable
from services.shared.objects import ObjectStore
from services.shared.records import Example, Response

FOLDER = "responses"
MAX_PROMPT_FILE_BYTES = 256 << 20
MAX_PROMPTS = 100_000
# With growing pauses about four minutes, within which a replica side that was killed is back.
ATTEMPTS = 12
# Seeds of a set whose sampling names none: fixed, so that the same set is the same text.
DEFAULT_SEED = 0

Progress = Callable[[int, int, dict[str, int]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SetRequest:
    model: ModelVersion
    prompts_uri: str
    sampling: Sampling
    n: int
    limit: int
    caller: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.n <= MAX_SAMPLES:
            raise InvalidInput("n", self.n, f"must be in [1, {MAX_SAMPLES}]")


class ResponseSets:
    """`manifest` values are plain JSON: what `responses/<digest>.manifest.json` holds."""

    def __init__(self, database: Database, store: ObjectStore, concurrency: int) -> None:
        self._database = database
        self._store = store
        self._concurrency = concurrency

    async def make(self, request: SetRequest, backend: Backend, report: Progress) -> dict[str, Any]:
        """The set's manifest; made now, or found as it was made before."""
        examples = await asyncio.to_thread(self._read_prompts, request)
        digest = set_digest(request, examples)
        existing = await self._manifest(digest)
        if existing is not None:
            return existing
        done = await self._partial(digest)
        tasks = [(index, sample) for index in range(len(examples)) for sample in range(request.n)]
        counts: Counter[str] = Counter(record.finish_reason for record in done.values())
        await report(len(done), len(tasks), dict(counts))

        async def one(index: int, sample: int) -> None:
            record, deviations = await respond(request, backend, examples[index], sample)
            await self._keep(digest, index, sample, record)
            done[index, sample] = record
            noted.update(deviations)
            counts[record.finish_reason] += 1
            await report(len(done), len(tasks), dict(counts))

        noted: set[str] = set()
        await run_bounded([partial(one, *task) for task in tasks if task not in done], self._concurrency)
        ordered = [done[task] for task in tasks]
        manifest = set_manifest(request, backend.resource, digest, examples, ordered, sorted(noted))
        await asyncio.to_thread(self._publish, digest, ordered, manifest)
        await self._forget(digest)
        return manifest

    async def get(self, digest: str) -> dict[str, Any]:
        manifest = await self._manifest(digest) if digest.isalnum() else None
        if manifest is None:
            raise NotFound("response set", f"responseSets/{digest}", remedy="lima generate makes one")
        return manifest

    async def digests(self) -> list[str]:
        """Of every whole set, in order."""
        suffix = ".manifest.json"

        def find() -> list[str]:
            keys = (info.key for info in self._store.list(f"{FOLDER}/"))
            return sorted(key.removeprefix(f"{FOLDER}/").removesuffix(suffix) for key in keys if key.endswith(suffix))

        return await asyncio.to_thread(find)

    def _read_prompts(self, request: SetRequest) -> list[Example]:
        data = self._store.get_bytes(self._store.key(request.prompts_uri), MAX_PROMPT_FILE_BYTES)
        examples = list(read_examples(data, request.prompts_uri, request.limit))
        if not examples:
            raise InvalidInput("prompts_uri", request.prompts_uri, "must hold at least one example")
        return examples

    def _publish(self, digest: str, records: list[Response], manifest: dict[str, Any]) -> None:
        lines = "".join(record.model_dump_json() + "\n" for record in records).encode()
        self._store.put_bytes(f"{FOLDER}/{digest}.jsonl", lines, content_type="application/jsonl")
        manifest |= {"uri": self._store.uri(f"{FOLDER}/{digest}.jsonl"), "sha256": digest_bytes(lines)}
        text = json.dumps(manifest, indent=1, ensure_ascii=False, sort_keys=True).encode()
        self._store.put_bytes(f"{FOLDER}/{digest}.manifest.json", text, content_type="application/json")

    async def _manifest(self, digest: str) -> dict[str, Any] | None:
        try:
            data = await asyncio.to_thread(self._store.get_bytes, f"{FOLDER}/{digest}.manifest.json")
        except NotFound:
            return None
        manifest: dict[str, Any] = json.loads(data)
        return manifest

    async def _partial(self, digest: str) -> dict[tuple[int, int], Response]:
        columns = tables.partial_responses.c
        query = sa.select(columns.prompt_index, columns.sample, columns.record).where(columns.response_set == digest)
        async with self._database.session() as session:
            rows = (await session.execute(query)).all()
        return {(index, sample): Response.model_validate_json(record) for index, sample, record in rows}

    async def _keep(self, digest: str, index: int, sample: int, record: Response) -> None:
        values = {"response_set": digest, "prompt_index": index, "sample": sample, "record": record.model_dump_json()}
        async with self._database.transaction() as session:
            await session.execute(tables.partial_responses.insert().values(**values))

    async def _forget(self, digest: str) -> None:
        async with self._database.transaction() as session:
            rows = tables.partial_responses
            await session.execute(rows.delete().where(rows.c.response_set == digest))


def read_examples(data: bytes, uri: str, limit: int) -> Iterator[Example]:
    """Examples of a JSONL file that hold a user turn; `limit` 0 takes all. Raises DataCorrupt with the line."""
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) > MAX_PROMPTS and not limit:
        raise InvalidInput("prompts_uri", uri, f"must hold at most {MAX_PROMPTS} prompts; it has {len(lines)}")
    for number, line in enumerate(lines[: limit or None], start=1):
        try:
            example = Example.model_validate_json(line)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "line"
            raise DataCorrupt(
                f"{uri} line {number}: {place}: {first['msg']}", remedy="each line must be one Example as JSON"
            ) from None
        if not example.prompt():
            raise DataCorrupt(
                f"{uri} line {number}: example {example.id!r} has no user turn", remedy="give it a prompt"
            )
        yield example


def set_digest(request: SetRequest, examples: list[Example]) -> str:
    """Names a set by everything that its text depends on."""
    return digest_json(
        {
            "format": 1,
            "model": request.model.digest,
            "engine": request.model.engine,
            "sampling": request.sampling.to_json(),
            "n": request.n,
            "prompts": [[example.id, [turn.model_dump() for turn in example.prompt()]] for example in examples],
        }
    )


async def respond(
    request: SetRequest, backend: Backend, example: Example, sample: int
) -> tuple[Response, tuple[str, ...]]:
    """One response, tried again while the model is only busy or away."""
    base = DEFAULT_SEED if request.sampling.seed is None else request.sampling.seed
    sampling = Sampling.from_json(request.sampling.to_json() | {"seed": derived_seed(base, example.id, sample)})
    prompt = Prompt(turns=example.prompt(), caller=request.caller)
    for attempt in range(ATTEMPTS):
        try:
            answer = await backend.answer(prompt, sampling, 1)
            break
        except (Unavailable, ResourceExhausted) as error:
            if attempt == ATTEMPTS - 1:
                raise
            await asyncio.sleep((error.retry_seconds or 1) * 2 ** min(attempt, 5) * random.uniform(0.5, 1))
    completion = answer.completions[0]
    record = Response(
        prompt_id=example.id,
        sample=sample,
        source=example.source,
        messages=example.prompt(),
        response=completion.text,
        model=backend.resource,
        finish_reason=completion.finish,
        prompt_tokens=answer.usage.prompt_tokens,
        completion_tokens=answer.usage.completion_tokens,
        seed=sampling.seed,
        tags=example.tags,
    )
    return record, answer.deviations


def set_manifest(
    request: SetRequest,
    model: str,
    digest: str,
    examples: list[Example],
    records: list[Response],
    deviations: list[str],
) -> dict[str, Any]:
    usage = sum((Usage(record.prompt_tokens, record.completion_tokens) for record in records), Usage())
    return {
        "name": f"responseSets/{digest}",
        "model": model,
        "model_digest": request.model.digest,
        "prompts_uri": request.prompts_uri,
        "prompt_count": len(examples),
        "response_count": len(records),
        "sampling": request.sampling.to_json(),
        "n": request.n,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "deviations": deviations,
        "finish_counts": dict(sorted(Counter(record.finish_reason for record in records).items())),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


async def run_bounded(jobs: list[Callable[[], Awaitable[None]]], limit: int) -> None:
    """Runs all, at most `limit` at once; the first failure cancels the others and is raised as it is."""
    queue = iter(jobs)

    async def worker() -> None:
        for job in queue:
            await job()

    tasks = [asyncio.ensure_future(worker()) for _ in range(min(limit, len(jobs)))]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
