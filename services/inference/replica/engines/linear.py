"""Matrix products whose rows do not depend on how many rows there are.

A request must get the same text whatever else is in the batch, so row i of `x @ w` has to come out
bit for bit the same for every number of rows. BLAS libraries keep that promise only while one thread
sums a whole row of the inner dimension: past some inner size they split the sum between threads by a
rule that looks at the number of rows, and a single row goes to another routine altogether. So weights
are kept in blocks of the inner dimension small enough to stay whole, never fewer than `MIN_ROWS` rows
are multiplied, and the block size is probed on the processor at hand when a model is loaded.
"""

from __future__ import annotations

import torch

MIN_ROWS = 2
# 768 holds on AVX-512 with MKL for every width tried (192 to 49,152).
BLOCK_SIZES = (768, 512, 256, 128)
PROBE_ROWS = (2, 3, 5, 8, 13, 16, 24, 32)


class BlockedLinear:
    """`x @ weight.T + bias` for x [rows, inputs], weight [outputs, inputs], bias [outputs]."""

    def __init__(self, weight: torch.Tensor, block: int, bias: torch.Tensor | None = None) -> None:
        self.bias = bias
        self.block = block
        self.inputs = weight.shape[1]
        # Transposed copies: the plain product is then row-stable from two rows on, F.linear's only from 16.
        self.blocks = [part.t().contiguous() for part in weight.split(block, dim=1)]

    def __call__(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """Shape [rows, outputs]; `residual` of that shape is added."""
        if residual is None:
            residual = self.bias
        elif self.bias is not None:
            residual = residual + self.bias
        out = residual
        for index, block in enumerate(self.blocks):
            part = x if len(self.blocks) == 1 else x[:, index * self.block : (index + 1) * self.block]
            out = torch.mm(part, block) if out is None else torch.addmm(out, part, block)
        assert out is not None
        return out


def probe_block_size(shapes: set[tuple[int, int]]) -> int | None:
    """The largest block size for which products of all `shapes` (outputs, inputs) are row-stable here.

    None if none is: the engine then pads every batch to its full width, which is stable but slower.
    """
    generator = torch.Generator().manual_seed(0)
    for block in BLOCK_SIZES:
        parts = {(outputs, min(inputs, block)) for outputs, inputs in shapes}
        parts |= {(outputs, inputs % block) for outputs, inputs in shapes if inputs % block}
        if all(_row_stable(outputs, inputs, generator) for outputs, inputs in sorted(parts)):
            return block
    return None


def _row_stable(outputs: int, inputs: int, generator: torch.Generator) -> bool:
    weight = torch.randn(inputs, outputs, generator=generator)
    x = torch.randn(max(PROBE_ROWS), inputs, generator=generator)
    added = torch.randn(max(PROBE_ROWS), outputs, generator=generator)
    plain, summed = x @ weight, torch.addmm(added, x, weight)
    return all(
        torch.equal(x[:rows] @ weight, plain[:rows])
        and torch.equal(torch.addmm(added[:rows], x[:rows], weight), summed[:rows])
        for rows in PROBE_ROWS
    )
