"""Cross-entropy of the output layer, computed in chunks and only where a token is a target.

The full logits (tokens x vocabulary, fp32) are the largest tensor of a small model's step. Here they exist for
one chunk of rows at a time, and the gradient is made from them in the forward pass, so nothing is computed twice.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

# Rows of logits at a time: 256 x 50,000 x 4 bytes = 50 MB.
CHUNK_ROWS = 256


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        token_weights: torch.Tensor,
        softcap: float | None,
    ) -> torch.Tensor:
        wants_hidden, wants_weight, wants_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        # Summed over chunks in fp32, whatever the weights are held in.
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and wants_bias else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        # Made once: fresh memory of this size costs a page fault for every 4 KiB, a tenth of the product's time.
        scores = torch.empty(
            min(CHUNK_ROWS, hidden.shape[0]), weight.shape[0], dtype=hidden.dtype, device=hidden.device
        )
        for start in range(0, hidden.shape[0], CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            chosen = labels[rows, None]
            logits = torch.mm(hidden[rows], weight.T, out=scores[: chosen.shape[0]])
            if bias is not None:
                logits += bias
            logits = logits.float()
            if softcap:
                logits = torch.tanh(logits / softcap) * softcap
            log_shares = torch.log_softmax(logits, dim=-1)
            total -= (log_shares.gather(1, chosen).squeeze(1) * token_weights[rows]).sum()
            if not any(ctx.needs_input_grad[:3]):
                continue
            # d loss / d logits = w * (softmax - one_hot); tanh passes 1 - (logit / cap)^2 of it on.
            grad = log_shares.exp_()
            grad.scatter_add_(1, chosen, torch.full_like(grad[:, :1], -1.0))
            grad.mul_(token_weights[rows, None])
            if softcap:
                grad.mul_((logits / softcap).square_().neg_().add_(1))
            lowered = grad.to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(lowered, weight, out=grad_hidden[rows])
            if grad_weight is not None:
                if lowered.dtype == torch.float32:
                    grad_weight.addmm_(lowered.T, hidden[rows])
                else:
                    grad_weight += lowered.T @ hidden[rows]
            if grad_bias is not None:
                grad_bias += grad.sum(dim=0)
        ctx.dtype = weight.dtype
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> Any:
        scale = grad_outputs[0]
        # Asking a GPU for the number would make it wait; the host has it.
        unscaled = scale.device.type == "cpu" and float(scale) == 1.0
        scaled = [
            None if gradient is None else (gradient if unscaled else gradient.mul_(scale)).to(ctx.dtype)
            for gradient in ctx.saved_tensors
        ]
        return *scaled, None, None, None


class OutputLoss(nn.Module):
    """Weighted sum of the targets' negative log-likelihoods.

    Holds the output layer's own parameters (tied ones too) as its own, so that ZeRO-3 gathers them for it.
    """

    def __init__(self, output_layer: nn.Module, softcap: float | None) -> None:
        super().__init__()
        self.weight = cast(nn.Parameter, output_layer.weight)
        self.bias = cast("nn.Parameter | None", getattr(output_layer, "bias", None))
        self.softcap = softcap

    def forward(self, hidden: torch.Tensor, labels: torch.Tensor, token_weights: torch.Tensor) -> torch.Tensor:
        """hidden [targets, width], labels [targets] int64, token_weights [targets] float -> scalar, fp32."""
        apply: Any = _ChunkedCrossEntropy.apply
        loss = apply(hidden, self.weight, self.bias, labels, token_weights, self.softcap)
        return cast(torch.Tensor, loss)
