"""The service's verbs on prompts: checked, admitted, sent to the model, streamed back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

from services.inference.admission import Admission, estimated_tokens
from services.inference.answers import Answer, Piece, TextScore
from services.inference.backends.base import Prompt
from services.inference.routing import Router
from services.inference.sampling import MAX_SAMPLES, Sampling
from services.inference.streams import coalesced
from services.inference.text_input import check_prompt
from services.shared.errors import InvalidInput

MAX_CONTINUATIONS = 256


class Generation:
    """Prompts come in checked (see `text_input`)."""

    def __init__(self, router: Router, admission: Admission) -> None:
        self._router = router
        self._admission = admission

    @property
    def tokens_in_flight(self) -> int:
        """Admitted and not finished."""
        return self._admission.in_flight

    async def answer(self, model: str, prompt: Prompt, sampling: Sampling, n: int) -> Answer:
        if not 1 <= n <= MAX_SAMPLES:
            raise InvalidInput("n", n, f"must be in [1, {MAX_SAMPLES}]")
        backend = await self._router.backend(model)
        with self._admission.admit(prompt.caller, estimated_tokens(prompt, sampling, n)):
            return await backend.answer(prompt, sampling, n)

    async def stream(self, model: str, prompt: Prompt, sampling: Sampling) -> tuple[str, AsyncIterator[Piece]]:
        """The version that answers, and its pieces. Refusals are raised here, before anything is streamed."""
        backend = await self._router.backend(model)

        async def pieces() -> AsyncIterator[Piece]:
            with self._admission.admit(prompt.caller, estimated_tokens(prompt, sampling, 1)):
                async with aclosing(coalesced(backend.stream(prompt, sampling))) as joined:  # type: ignore[type-var]
                    async for piece in joined:
                        yield piece

        return backend.resource, pieces()

    async def score(self, model: str, prompt: Prompt, continuations: Sequence[str]) -> tuple[str, list[TextScore]]:
        if len(continuations) > MAX_CONTINUATIONS:
            raise InvalidInput("continuations", len(continuations), f"must be at most {MAX_CONTINUATIONS}")
        for index, continuation in enumerate(continuations):
            check_prompt(continuation, f"continuations[{index}]")
        backend = await self._router.backend(model)
        asked = sum(map(len, continuations))
        cost = estimated_tokens(prompt, Sampling(max_tokens=1), 1) + asked
        with self._admission.admit(prompt.caller, cost):
            return backend.resource, await backend.score(prompt, continuations)
