"""Attention over sequences laid end to end: each attends to itself alone, and no slot is padding.

Registered with transformers as `lima_documents`; a model loaded with that attn_implementation must be called
with the `documents` keyword (see `Documents`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface

NAME = "lima_documents"


@dataclass(frozen=True)
class Documents:
    """Where each sequence of a flattened batch begins and ends.

    Attributes:
        bounds: ascending, `bounds[i]:bounds[i + 1]` is sequence i; the last one is the batch's length.
        offsets: the same as int32 on the batch's device, for the GPU kernel.
    """

    bounds: tuple[int, ...]
    offsets: torch.Tensor

    @property
    def longest(self) -> int:
        return max(end - start for start, end in pairwise(self.bounds))


def document_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    documents: Documents | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """query [1, heads, tokens, width], key and value [1, groups, tokens, width] -> [1, tokens, heads, width].

    Raises ValueError without `documents`: a whole batch taken as one sequence would silently mix them.
    """
    if documents is None or attention_mask is not None:
        raise ValueError("attention over documents needs `documents` and no attention mask")
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and not softcap and not dropout:
        return _varlen(query, key, value, documents, scaling, sliding_window), None
    # Split, not sliced: the backward pass of a slice fills a tensor of the whole batch with zeros.
    lengths = [end - start for start, end in pairwise(documents.bounds)]
    parts = [tensor.split(lengths, dim=2) for tensor in (query, key, value)]
    # The kernel's result lies in memory as [tokens, heads, width] already, so this way round nothing is copied twice.
    outputs = [
        _one_document(q, k, v, scaling, dropout, sliding_window, softcap).transpose(1, 2)
        for q, k, v in zip(*parts, strict=True)
    ]
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)), None


def _one_document(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float,
    dropout: float,
    window: int | None,
    softcap: float | None,
) -> torch.Tensor:
    length = query.shape[2]
    windowed = window is not None and length > window
    if not windowed and not softcap:
        return functional.scaled_dot_product_attention(
            query,
            key,
            value,
            is_causal=True,
            scale=scaling,
            dropout_p=dropout,
            enable_gqa=query.shape[1] != key.shape[1],
        )
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    allowed = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
    if windowed:
        assert window is not None
        allowed = allowed.triu(diagonal=1 - window)
    if not softcap:
        return functional.scaled_dot_product_attention(
            query, key, value, attn_mask=allowed, scale=scaling, dropout_p=dropout
        )
    scores = torch.tanh(query @ key.transpose(2, 3) * (scaling / softcap)) * softcap
    shares = scores.masked_fill(~allowed, float("-inf")).softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    return functional.dropout(shares, dropout) @ value


def _varlen(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    documents: Documents,
    scaling: float,
    window: int | None,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    # Flattened: [tokens, heads, width].
    query, key, value = (tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value))
    output = varlen_attn(
        query,
        key,
        value,
        documents.offsets,
        documents.offsets,
        documents.longest,
        documents.longest,
        scale=scaling,
        # Keys on each side of a query: (-1, 0) is causal without a limit.
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(output, torch.Tensor)
    return output.unsqueeze(0)


def _no_mask(*_args: Any, **_kwargs: Any) -> None:
    return None


def register() -> None:
    """Make `attn_implementation=NAME` known to transformers."""
    # How a batch is cut differs every time: with compute.compile, attention would be compiled for every batch.
    never_compiled: Any = torch.compiler.disable(document_attention)
    AttentionInterface.register(NAME, never_compiled)
    AttentionMaskInterface.register(NAME, _no_mask)
