"""Log-likelihoods of given tokens, in pieces that keep the logits small."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from services.inference.replica.engines.base import TokenScores
from services.inference.replica.engines.forward import Decoder, Part
from services.inference.replica.engines.slots import CHUNK


def continued(decoder: Decoder, slot: int, start: int, inputs: Sequence[int]) -> torch.Tensor:
    """Hidden states [inputs, hidden] of tokens that follow what the slot holds up to `start`."""
    parts = [
        decoder.prefill(Part(slot, start + offset, inputs[offset : offset + CHUNK])).clone()
        for offset in range(0, len(inputs), CHUNK)
    ]
    return torch.cat(parts)


def token_scores(decoder: Decoder, hidden: torch.Tensor, tokens: Sequence[int]) -> TokenScores:
    """Row i of `hidden` [tokens, hidden] predicts token i."""
    logprobs: list[float] = []
    for offset in range(0, len(tokens), CHUNK):
        logits = decoder.logits(hidden[offset : offset + CHUNK])
        wanted = torch.tensor(tokens[offset : offset + CHUNK])[:, None]
        chosen = logits.gather(1, wanted)[:, 0] - logits.logsumexp(dim=-1)
        logprobs.extend(chosen.tolist())
    return TokenScores(tuple(tokens), tuple(logprobs))
