"""How tokens are drawn: the paper's values unless a caller says otherwise."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Any

from services.shared.errors import InvalidInput, InvalidInputs

MAX_TOKENS = 8192
MAX_STOPS = 8
MAX_STOP_LENGTH = 256
MAX_LOGPROBS = 20
MAX_SAMPLES = 16
MAX_SEED = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Sampling:
    """Nucleus sampling as in section 3 of the LIMA recipe; `temperature` 0 is greedy.

    `logprobs` None reports none; k reports the chosen token's and those of k alternatives.
    """

    temperature: float = 0.7
    top_p: float = 0.9
    repetition_penalty: float = 1.2
    max_tokens: int = 2048
    top_k: int = 0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int | None = None

    def __post_init__(self) -> None:
        faults = [
            InvalidInput(f"sampling.{field}", value, rule) for field, value, rule, holds in self._rules() if not holds
        ]
        if faults:
            raise InvalidInputs(faults)

    def _rules(self) -> list[tuple[str, Any, str, bool]]:
        # Written so that NaN fails: every comparison with NaN is false.
        return [
            ("temperature", self.temperature, "must be in [0, 2]", 0 <= self.temperature <= 2),
            ("top_p", self.top_p, "must be in (0, 1]", 0 < self.top_p <= 1),
            ("repetition_penalty", self.repetition_penalty, "must be in [1, 10]", 1 <= self.repetition_penalty <= 10),
            ("max_tokens", self.max_tokens, f"must be in [1, {MAX_TOKENS}]", 1 <= self.max_tokens <= MAX_TOKENS),
            ("top_k", self.top_k, "must be at least 0 (0 is off)", self.top_k >= 0),
            ("min_p", self.min_p, "must be in [0, 1]", 0 <= self.min_p <= 1),
            ("stop", len(self.stop), f"must hold at most {MAX_STOPS} strings", len(self.stop) <= MAX_STOPS),
            (
                "stop",
                list(self.stop),
                f"must hold strings of 1 to {MAX_STOP_LENGTH} characters",
                all(0 < len(text) <= MAX_STOP_LENGTH for text in self.stop),
            ),
            (
                "seed",
                self.seed,
                "must be an unsigned 64-bit number",
                self.seed is None or 0 <= self.seed <= MAX_SEED,
            ),
            (
                "logprobs",
                self.logprobs,
                f"must be in [0, {MAX_LOGPROBS}]",
                self.logprobs is None or 0 <= self.logprobs <= MAX_LOGPROBS,
            ),
        ]

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def for_sample(self, index: int) -> Sampling:
        """The sampling of the index-th of several answers: the first keeps the seed, the others derive theirs."""
        return self if self.seed is None or index == 0 else replace(self, seed=derived_seed(self.seed, index))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, also the canonical form that digests are taken of."""
        return asdict(self) | {"stop": list(self.stop)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Sampling:
        return cls(**(value | {"stop": tuple(value.get("stop", ()))}))


def derived_seed(seed: int, *parts: object) -> int:
    """A 64-bit seed that depends on `seed` and on every part, and on nothing else."""
    text = "/".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
