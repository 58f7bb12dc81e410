"""Who may come in: tokens in flight are counted, in all and for each caller, before any work begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from services.inference.backends.base import Prompt
from services.inference.sampling import Sampling
from services.shared.errors import ResourceExhausted

# Above most tokenizers' true mean for English (about 4), so that a prompt is rather over- than undercounted.
CHARACTERS_PER_TOKEN = 3
RETRY_SECONDS = 2.0


def estimated_tokens(prompt: Prompt, sampling: Sampling, n: int) -> int:
    """Prompt and all the output that may follow."""
    return prompt.characters // CHARACTERS_PER_TOKEN + n * sampling.max_tokens


class Admission:
    """Limits count what is admitted and not finished. A lone request is never refused for its size alone."""

    def __init__(self, total: int, per_caller: int, requests: int) -> None:
        self._total = total
        self._per_caller = per_caller
        self._requests = requests
        self._tokens: Counter[str] = Counter()
        self._count = 0

    @contextmanager
    def admit(self, caller: str, tokens: int) -> Iterator[None]:
        """Raises ResourceExhausted with a hint when to come back."""
        mine = self._tokens[caller]
        if self._count >= self._requests:
            raise ResourceExhausted(f"{self._count} requests are in flight already", RETRY_SECONDS)
        if mine and mine + tokens > self._per_caller:
            raise ResourceExhausted(
                f"{caller} has {mine} tokens in flight; {tokens} more would pass its quota of {self._per_caller}",
                RETRY_SECONDS,
                remedy="send fewer requests at once, or ask for fewer max_tokens",
            )
        in_flight = self._tokens.total()
        if in_flight and in_flight + tokens > self._total:
            raise ResourceExhausted(
                f"{in_flight} tokens are in flight; {tokens} more would pass the limit of {self._total}", RETRY_SECONDS
            )
        self._tokens[caller] += tokens
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            self._tokens[caller] -= tokens
            if not self._tokens[caller]:
                del self._tokens[caller]

    @property
    def in_flight(self) -> int:
        return self._tokens.total()
