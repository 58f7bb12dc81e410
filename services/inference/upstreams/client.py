"""An OpenAI-compatible endpoint as a model: paced, retried, paid for, remembered."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import structlog

from services.inference.admission import estimated_tokens
from services.inference.answers import Answer, Piece, TextScore, Usage
from services.inference.backends.base import Prompt
from services.inference.openai_api import parsing
from services.inference.sampling import Sampling
from services.inference.upstreams.ledger import AnswerCache, Kept, Ledger
from services.inference.upstreams.limits import RateLimit, retry_after
from services.inference.upstreams.source import UpstreamSource
from services.shared.digest import digest_json
from services.shared.errors import FailedPrecondition, InvalidInput, LimaError, ResourceExhausted, Unavailable

logger = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
RETRIED = (408, 409, 429, 500, 502, 503, 504, 529)
# Sampling that the OpenAI protocol cannot ask for, with the value that asks for nothing.
UNOFFERED = {"repetition_penalty": 1.0, "top_k": 0, "min_p": 0.0}


class UpstreamBackend:
    """One outside model. `key` is read at each call, so that a rotated secret counts at once."""

    def __init__(
        self,
        resource: str,
        source: UpstreamSource,
        client: httpx.AsyncClient,
        ledger: Ledger,
        cache: AnswerCache,
        *,
        key: Callable[[], str],
        attempts: int,
        first_pause: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._resource = resource
        self._source = source
        self._client = client
        self._ledger = ledger
        self._cache = cache
        self._key = key
        self._attempts = attempts
        self._first_pause = first_pause
        self._limit = RateLimit(source.requests_per_minute, source.tokens_per_minute)
        self._answering_model = ""
        # Newer endpoints have renamed max_tokens; which name holds is learnt from the first refusal.
        self._length_field = "max_tokens"

    @property
    def resource(self) -> str:
        return self._resource

    async def answer(self, prompt: Prompt, sampling: Sampling, n: int) -> Answer:
        path, body = self._request(prompt, sampling, n)
        digest = digest_json([self._source.base_url, path, body])
        reply = await self._cache.get(digest)
        cached = reply is not None
        usd = 0.0
        if reply is None:
            tokens = estimated_tokens(prompt, sampling, n)
            async with self._paid(prompt, sampling, n) as pay:
                reply = await self._call(path, body, tokens)
                completions = parsing.parse_completions(reply)
                kept = Kept(digest, reply) if len(completions) == n else None
                usd = await pay(parsing.parse_usage(reply.get("usage")), kept)
        completions = parsing.parse_completions(reply)
        deviations = (*unoffered(sampling), *self._model_deviation(reply))
        usage = parsing.parse_usage(reply.get("usage"))
        return Answer(completions, usage, self._resource, deviations, usd, cached)

    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[Piece]:
        path, body = self._request(prompt, sampling, 1)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        finish, usage, told = None, Usage(), unoffered(sampling)
        async with self._paid(prompt, sampling, 1) as pay:
            async with self._opened(path, body, estimated_tokens(prompt, sampling, 1)) as response:
                async for event in parsing.parse_events(response.aiter_bytes()):
                    told = tuple(dict.fromkeys((*told, *self._model_deviation(event))))
                    piece = parsing.parse_piece(event)
                    if piece is None:
                        continue
                    finish, usage = piece.finish or finish, piece.usage or usage
                    if piece.text:
                        yield Piece(piece.text, logprobs=piece.logprobs)
            await pay(usage)
        yield Piece("", finish or "stop", usage, deviations=told)

    async def score(self, prompt: Prompt, continuations: Sequence[str]) -> list[TextScore]:
        raise FailedPrecondition(
            f"{self._resource} is an outside model, whose protocol cannot score text",
            remedy="name a model of our own, or judge by asking",
        )

    def _request(self, prompt: Prompt, sampling: Sampling, n: int) -> tuple[str, dict[str, Any]]:
        body: dict[str, Any] = {
            "model": self._source.model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "n": n,
        }
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.seed is not None:
            # Some endpoints take signed 64 bits only.
            body["seed"] = sampling.seed % 2**63
        if prompt.text:
            if sampling.logprobs is not None:
                body["logprobs"] = sampling.logprobs
            return "/completions", body | {"prompt": prompt.text}
        if sampling.logprobs is not None:
            body |= {"logprobs": True, "top_logprobs": sampling.logprobs}
        if prompt.schema_json:
            schema = {"name": "reply", "strict": True, "schema": parse_schema(prompt.schema_json)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return "/chat/completions", body | {"messages": [turn.model_dump() for turn in prompt.turns]}

    @asynccontextmanager
    async def _paid(self, prompt: Prompt, sampling: Sampling, n: int) -> AsyncIterator[Callable[..., Awaitable[float]]]:
        """Reserves what the call may cost at most; `pay` enters what it did cost, and keeps the reply it is given."""
        completion = n * sampling.max_tokens
        most = self._source.cost(estimated_tokens(prompt, sampling, n) - completion, completion)
        await self._ledger.reserve(self._resource, most, self._source.spend_cap_usd)

        settled = False

        async def pay(usage: Usage, kept: Kept | None = None) -> float:
            nonlocal settled
            usd = self._source.cost(usage.prompt_tokens, usage.completion_tokens)
            settled = True
            await self._ledger.settle(self._resource, prompt.caller, usage, usd, most, kept)
            return usd

        try:
            yield pay
        finally:
            if not settled:
                await self._ledger.release(self._resource, most)

    async def _call(self, path: str, body: dict[str, Any], tokens: int) -> dict[str, Any]:
        async with self._opened(path, body, tokens) as response:
            return parsing.parse_json(await _bounded(response))

    @asynccontextmanager
    async def _opened(self, path: str, body: dict[str, Any], tokens: int) -> AsyncIterator[httpx.Response]:
        """A reply with status 200, after as many attempts as it takes and are allowed."""
        for attempt in range(1, self._attempts + 1):
            await self._limit.wait(tokens)
            try:
                request = self._client.build_request(
                    "POST",
                    f"{self._source.base_url.rstrip('/')}{path}",
                    json=self._spelled(body),
                    headers=self._headers(),
                )
                response = await self._client.send(request, stream=True)
            except httpx.TransportError as error:
                failure: LimaError = Unavailable(f"{self._resource} does not answer ({type(error).__name__})")
            else:
                try:
                    self._limit.learn(response.headers)
                    if response.status_code == 200:
                        yield response
                        return
                    failure = await self._refusal(response)
                except httpx.TransportError as error:
                    raise Unavailable(
                        f"{self._resource} broke off ({type(error).__name__})", retry_seconds=1
                    ) from error
                finally:
                    await response.aclose()
            if not isinstance(failure, Unavailable | ResourceExhausted) or attempt == self._attempts:
                raise failure
            await self._pause(attempt, failure)

    async def _pause(self, attempt: int, failure: LimaError) -> None:
        if failure.retry_seconds is not None:
            self._limit.close_for(failure.retry_seconds)
            return
        longest = min(self._first_pause * 2 ** (attempt - 1), LONGEST_PAUSE_SECONDS)
        logger.info("upstream_retry", model=self._resource, attempt=attempt, error=failure.message)
        await asyncio.sleep(random.uniform(longest / 2, longest))

    async def _refusal(self, response: httpx.Response) -> LimaError:
        status, message = response.status_code, parsing.error_message(await _bounded(response))
        told = f"{self._resource} answered {status}: {message}"
        if status == 429:
            return ResourceExhausted(told, retry_seconds=retry_after(response.headers))
        if status in RETRIED:
            return Unavailable(told, retry_seconds=retry_after(response.headers))
        if status == 400 and "max_completion_tokens" in message and self._length_field == "max_tokens":
            self._length_field = "max_completion_tokens"
            return Unavailable(told, retry_seconds=0)
        if status in (401, 403):
            return FailedPrecondition(told, remedy=f"check the secret {self._source.key_secret or '(none is named)'}")
        return FailedPrecondition(told, remedy="check the model's name and what its endpoint offers")

    def _spelled(self, body: dict[str, Any]) -> dict[str, Any]:
        return {self._length_field if field == "max_tokens" else field: value for field, value in body.items()}

    def _headers(self) -> dict[str, str]:
        key = self._key()
        return {"authorization": f"Bearer {key}"} if key else {}

    def _model_deviation(self, reply: dict[str, Any]) -> tuple[str, ...]:
        """Tells when the endpoint answers with another model than before under the same name."""
        model = reply.get("model")
        if not isinstance(model, str) or not model or len(model) > 256:
            return ()
        before, self._answering_model = self._answering_model or model, model
        if before != model:
            logger.warning("upstream_model_changed", model=self._resource, before=before, now=model)
            return (f"the endpoint's model changed from {before} to {model}",)
        return () if model == self._source.model else (f"answered by {model}",)


def unoffered(sampling: Sampling) -> tuple[str, ...]:
    return tuple(
        f"{field} {getattr(sampling, field):g} is not offered by the OpenAI protocol"
        for field, neutral in UNOFFERED.items()
        if getattr(sampling, field) != neutral
    )


def parse_schema(text: str) -> dict[str, Any]:
    """Raises InvalidInput for what is not a JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidInput("response_schema_json", text, "must be a JSON object")
    return value


async def _bounded(response: httpx.Response) -> bytes:
    """The body, up to the size that a reply may have."""
    data = bytearray()
    async for chunk in response.aiter_bytes():
        data += chunk
        if len(data) > parsing.MAX_REPLY_BYTES:
            raise parsing.malformed(f"more than {parsing.MAX_REPLY_BYTES} bytes")
    return bytes(data)
