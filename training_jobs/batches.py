"""Token sequences to the flattened tensors of one forward pass."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf

import numpy
import torch

from training_jobs.attention import Documents
from training_jobs.dataset import Sequence
from training_jobs.model import Batch
from training_jobs.spec import Recipe


def target_weights(recipe: Recipe, step: SequenceOf[Sequence]) -> dict[str, float]:
    """Each example's weight per target token, so that the whole step's weights sum to 1."""
    if recipe.loss_mean == "tokens":
        share = 1.0 / sum(sequence.targets for sequence in step)
        return {sequence.id: share for sequence in step}
    return {sequence.id: 1.0 / (len(step) * sequence.targets) for sequence in step}


def flatten(sequences: SequenceOf[Sequence], weights: dict[str, float]) -> Batch:
    """Lay sequences end to end, longest first.

    An empty list gives one token without a target: a rank without work must still take part in a sharded pass.
    """
    if not sequences:
        return _idle()
    lengths = [len(sequence.tokens) for sequence in sequences]
    bounds = numpy.concatenate([[0], numpy.cumsum(lengths)])
    tokens = numpy.concatenate([sequence.tokens for sequence in sequences]).astype(numpy.int64)
    positions = numpy.concatenate([numpy.arange(length) for length in lengths])
    is_target = numpy.concatenate([sequence.is_target for sequence in sequences])
    per_token = numpy.repeat([weights[sequence.id] for sequence in sequences], lengths)
    predicted = numpy.flatnonzero(is_target)
    return Batch(
        input_ids=torch.from_numpy(tokens)[None],
        position_ids=torch.from_numpy(positions)[None],
        documents=Documents(tuple(bounds.tolist()), torch.from_numpy(bounds.astype(numpy.int32))),
        # The row that predicts a token is the one before it; a sequence's first token is never a target.
        target_rows=torch.from_numpy(predicted - 1),
        labels=torch.from_numpy(tokens[predicted]),
        token_weights=torch.from_numpy(per_token[predicted].astype(numpy.float32)),
    )


def _idle() -> Batch:
    zero = torch.zeros(1, 1, dtype=torch.int64)
    return Batch(
        input_ids=zero,
        position_ids=zero,
        documents=Documents((0, 1), torch.tensor([0, 1], dtype=torch.int32)),
        target_rows=torch.zeros(1, dtype=torch.int64),
        labels=torch.zeros(1, dtype=torch.int64),
        token_weights=torch.zeros(1),
    )
