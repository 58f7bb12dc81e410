"""Drawing the next token of each row, every row with its own settings and its own random numbers."""

from __future__ import annotations

import math
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from services.inference.replica.engines.base import TokenChoice
from services.inference.sampling import Sampling

# Nearly every nucleus lies within the first candidates; a wider search follows only where it does not.
FIRST_CANDIDATES = 128


@dataclass(slots=True)
class Drawer:
    """One request's draws: `generated` holds what was drawn, which alone the repetition penalty looks at.

    `bias` is added to the logits of the tokens it names.
    """

    sampling: Sampling
    bias: dict[int, float] = field(default_factory=dict)
    generated: list[int] = field(default_factory=list)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        seed = self.sampling.seed
        self._random = random.Random(secrets.randbits(64) if seed is None else seed)

    def uniform(self) -> float:
        return self._random.random()


def draw(logits: torch.Tensor, drawers: Sequence[Drawer]) -> list[TokenChoice]:
    """One token for each row of `logits` [rows, vocabulary]; appends it to the row's `generated`.

    Order as in transformers: bias, repetition penalty, temperature, top-k, top-p, min-p. Rows never influence
    one another. Reported log-probabilities are of the untouched logits.
    """
    raw = logits
    logits = _penalised(_biased(logits, drawers), drawers)
    if all(drawer.sampling.greedy for drawer in drawers):
        drawn = logits.argmax(dim=-1).tolist()
    else:
        temperatures = torch.tensor([drawer.sampling.temperature or 1.0 for drawer in drawers])
        scaled = logits / temperatures[:, None]
        normaliser = scaled.logsumexp(dim=-1).tolist()
        values, ids = scaled.topk(min(FIRST_CANDIDATES, scaled.shape[-1]), dim=-1)
        drawn = [
            _draw_row(scaled[row], normaliser[row], values[row], ids[row], drawer) for row, drawer in enumerate(drawers)
        ]
    choices = _with_logprobs(raw, drawn, drawers)
    for drawer, token_id in zip(drawers, drawn, strict=True):
        drawer.generated.append(token_id)
    return choices


def _biased(logits: torch.Tensor, drawers: Sequence[Drawer]) -> torch.Tensor:
    if not any(drawer.bias for drawer in drawers):
        return logits
    logits = logits.clone()
    for row, drawer in enumerate(drawers):
        if drawer.bias:
            logits[row, list(drawer.bias)] += torch.tensor(list(drawer.bias.values()))
    return logits


def _penalised(logits: torch.Tensor, drawers: Sequence[Drawer]) -> torch.Tensor:
    rows = [row for row, drawer in enumerate(drawers) if drawer.generated and drawer.sampling.repetition_penalty != 1]
    if not rows:
        return logits
    logits = logits.clone()
    for row in rows:
        seen = torch.tensor(sorted(set(drawers[row].generated)))
        penalty = drawers[row].sampling.repetition_penalty
        value = logits[row, seen]
        logits[row, seen] = torch.where(value > 0, value / penalty, value * penalty)
    return logits


def _draw_row(scaled: torch.Tensor, normaliser: float, values: torch.Tensor, ids: torch.Tensor, drawer: Drawer) -> int:
    """Inverse-distribution draw among the candidates that the filters keep, likeliest first."""
    sampling = drawer.sampling
    if sampling.greedy:
        return int(scaled.argmax())
    vocabulary = scaled.shape[-1]
    while True:
        kept = _kept(values.double(), normaliser, sampling, len(ids) == vocabulary)
        if kept is not None:
            break
        values, ids = scaled.topk(min(len(ids) * 8, vocabulary))
    cumulative = kept.cumsum(0)
    point = drawer.uniform() * float(cumulative[-1])
    return int(ids[int(torch.searchsorted(cumulative, point, right=True).clamp(max=len(kept) - 1))])


def _kept(values: torch.Tensor, normaliser: float, sampling: Sampling, complete: bool) -> torch.Tensor | None:
    """Unnormalised probabilities of the candidates that stay, or None if more candidates are needed to tell."""
    if sampling.top_k:
        if sampling.top_k > len(values) and not complete:
            return None
        values = values[: sampling.top_k]
        normaliser = float(values.logsumexp(0))
        complete = True
    probabilities = (values - normaliser).exp()
    if sampling.top_p < 1:
        before = probabilities.cumsum(0) - probabilities
        inside = before < sampling.top_p
        if bool(inside[-1]) and not complete:
            return None
        probabilities = probabilities[inside]
    elif not complete and not (sampling.min_p and float(probabilities[-1]) < sampling.min_p * float(probabilities[0])):
        return None
    if sampling.min_p:
        probabilities = probabilities[probabilities >= sampling.min_p * probabilities[0]]
    return probabilities


def _with_logprobs(raw: torch.Tensor, drawn: list[int], drawers: Sequence[Drawer]) -> list[TokenChoice]:
    choices = []
    for row, (token_id, drawer) in enumerate(zip(drawn, drawers, strict=True)):
        count = drawer.sampling.logprobs
        if count is None:
            choices.append(TokenChoice(token_id))
            continue
        normaliser = float(raw[row].logsumexp(-1))
        alternatives: tuple[tuple[int, float], ...] = ()
        if count:
            values, ids = raw[row].topk(min(count, raw.shape[-1]))
            alternatives = tuple(
                (other, value - normaliser) for other, value in zip(ids.tolist(), values.tolist(), strict=True)
            )
        logprob = float(raw[row, token_id]) - normaliser
        choices.append(TokenChoice(token_id, logprob if math.isfinite(logprob) else -math.inf, alternatives))
    return choices
