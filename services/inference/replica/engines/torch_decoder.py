"""The forward pass of Llama-family models (Llama, Mistral, Qwen2, Qwen3) on the CPU, over slots of a static cache.

Weights are fused (query, key and value in one product, gate and up in another) and read from the
safetensors files directly; keys and values live in one preallocated cache with a slot per request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoConfig

from services.inference.replica.engines.architecture import Shape, rotary_tables
from services.inference.replica.engines.forward import Part
from services.inference.replica.engines.linear import MIN_ROWS, BlockedLinear, probe_block_size
from services.inference.replica.engines.tensors import Weights, lazy_zeros, return_freed_memory, use_huge_pages

WIDTH_STEP = 64


@dataclass(slots=True)
class Layer:
    input_norm: torch.Tensor
    qkv: BlockedLinear
    query_norm: torch.Tensor | None
    key_norm: torch.Tensor | None
    output: BlockedLinear
    inner_norm: torch.Tensor
    gate_up: BlockedLinear
    down: BlockedLinear


class Cache:
    """Keys and values: [layer, slot, kv head, position, head size]. Memory is taken as positions are first written."""

    def __init__(self, shape: Shape, slots: int, capacity: int) -> None:
        capacity = -(-capacity // WIDTH_STEP) * WIDTH_STEP
        size = (shape.layers, slots, shape.kv_heads, capacity, shape.head_size)
        self.keys, self.values = lazy_zeros(size), lazy_zeros(size)

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        self.keys[:, target, :, :length] = self.keys[:, source, :, :length]
        self.values[:, target, :, :length] = self.values[:, source, :, :length]


class TorchDecoder:
    """`forward.Decoder` in plain torch. `capacity` bounds the tokens of a slot."""

    def __init__(self, folder: Path, slots: int, capacity: int) -> None:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        self.shape = shape = Shape.of(config)
        weights = Weights(folder)
        self.parameter_count = weights.parameter_count()
        qkv_width = (shape.heads + 2 * shape.kv_heads) * shape.head_size
        block = probe_block_size(
            {
                (qkv_width, shape.hidden),
                (shape.hidden, shape.heads * shape.head_size),
                (2 * shape.inner, shape.hidden),
                (shape.hidden, shape.inner),
                (shape.vocabulary, shape.hidden),
            }
        )
        self.row_stable = block is not None
        block = block or max(shape.inner, shape.hidden)
        self.layers = [_layer(weights, index, block) for index in range(shape.layers)]
        self.final_norm = weights["model.norm.weight"]
        tied = config.tie_word_embeddings or "lm_head.weight" not in weights
        self.head = BlockedLinear(weights["model.embed_tokens.weight" if tied else "lm_head.weight"], block)
        self.embedding = None if tied else weights["model.embed_tokens.weight"]
        self.cos, self.sin = rotary_tables(config, shape)
        self._least_rows = MIN_ROWS if self.row_stable else slots
        self._cache = Cache(shape, slots, min(capacity, shape.context + 1))
        return_freed_memory()
        use_huge_pages(4 * self.parameter_count)

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """[rows] -> [rows, hidden]."""
        if self.embedding is not None:
            return self.embedding[token_ids]
        # Tied: the output layer's transposed blocks hold the same numbers, and one copy is enough.
        return torch.cat([block.index_select(1, token_ids) for block in self.head.blocks]).t().contiguous()

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[rows, hidden] -> [rows, vocabulary]."""
        missing = self._least_rows - len(hidden)
        padded = F.pad(hidden, (0, 0, 0, missing)) if missing > 0 else hidden
        normed = F.rms_norm(padded, (self.shape.hidden,), self.final_norm, self.shape.epsilon)
        return self.head(normed)[: len(hidden)]

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        self._cache.copy_prefix(source, target, length)

    def turn(self, prompts: Sequence[Part], steps: Sequence[Part], idle_position: Callable[[int], int]) -> torch.Tensor:
        rows = [self.prefill(part)[-1:] for part in prompts]
        return torch.cat([*rows, self._decode(steps, idle_position)] if steps else rows)

    def prefill(self, part: Part) -> torch.Tensor:
        """A lone token gets a neighbour, whose place in the cache is written over later."""
        slot, start, tokens = part.slot, part.start, part.tokens
        token_ids = torch.tensor([*tokens, *[0] * (MIN_ROWS - len(tokens))])
        rows = len(token_ids)
        end = start + rows
        mask = torch.ones(rows, end, dtype=torch.bool).tril_(diagonal=start)
        mask = torch.zeros(rows, end).masked_fill_(~mask, -torch.inf)[None, None]
        hidden = self.embed(token_ids)
        cos, sin = self.cos[start:end, None], self.sin[start:end, None]
        for index, layer in enumerate(self.layers):
            query, key, value = self._project(layer, hidden, cos, sin)
            keys, values = self._cache.keys[index, slot], self._cache.values[index, slot]
            keys[:, start:end] = key.transpose(0, 1)
            values[:, start:end] = value.transpose(0, 1)
            attended = F.scaled_dot_product_attention(
                query.transpose(0, 1)[None],
                keys[None, :, :end],
                values[None, :, :end],
                attn_mask=mask,
                enable_gqa=self.shape.heads != self.shape.kv_heads,
            )
            hidden = self._finish(layer, hidden, attended[0].transpose(0, 1))
        return hidden[: len(tokens)]

    def _decode(self, steps: Sequence[Part], idle_position: Callable[[int], int]) -> torch.Tensor:
        """Covers every slot up to the last of `steps`: the cache is read as it lies."""
        known = {step.slot: step for step in steps}
        rows = max(max(known) + 1, self._least_rows)
        tokens = [known[slot].tokens[0] if slot in known else 0 for slot in range(rows)]
        positions = [known[slot].start if slot in known else idle_position(slot) for slot in range(rows)]
        hidden = self._decode_rows(torch.tensor(tokens), torch.tensor(positions))
        return hidden if len(known) == rows else hidden[[step.slot for step in steps]]

    def _decode_rows(self, token_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """One token for each of the first `rows` slots: [rows >= 2] ids and positions -> hidden [rows, hidden]."""
        rows = len(token_ids)
        # A width that others' lengths cannot nudge: sums over it come out the same for any multiple of this.
        end = -(-(int(positions.max()) + 1) // WIDTH_STEP) * WIDTH_STEP
        mask = torch.zeros(rows, 1, 1, end).masked_fill_(
            torch.arange(end)[None, None, None] > positions[:, None, None, None], -torch.inf
        )
        hidden = self.embed(token_ids)
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        slots = torch.arange(rows)
        group = self.shape.heads // self.shape.kv_heads
        for index, layer in enumerate(self.layers):
            query, key, value = self._project(layer, hidden, cos, sin)
            keys, values = self._cache.keys[index, :rows], self._cache.values[index, :rows]
            keys[slots, :, positions] = key
            values[slots, :, positions] = value
            # The query heads that share a key head stand as rows of one product.
            query = query.view(rows, self.shape.kv_heads, group, self.shape.head_size)
            attended = _attend(query, keys[:, :, :end], values[:, :, :end], mask)
            hidden = self._finish(layer, hidden, attended)
        return hidden

    def _project(
        self, layer: Layer, hidden: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Query [rows, heads, size], key and value [rows, kv heads, size], position already in query and key."""
        shape = self.shape
        normed = F.rms_norm(hidden, (shape.hidden,), layer.input_norm, shape.epsilon)
        mixed = layer.qkv(normed).view(len(hidden), -1, shape.head_size)
        turned, value = mixed.split((shape.heads + shape.kv_heads, shape.kv_heads), dim=1)
        if layer.query_norm is not None and layer.key_norm is not None:
            query, key = turned.split((shape.heads, shape.kv_heads), dim=1)
            query = F.rms_norm(query, (shape.head_size,), layer.query_norm, shape.epsilon)
            key = F.rms_norm(key, (shape.head_size,), layer.key_norm, shape.epsilon)
            turned = torch.cat((query, key), dim=1)
        low, high = turned.chunk(2, dim=-1)
        turned = turned * cos + torch.cat((-high, low), dim=-1) * sin
        query, key = turned.split((shape.heads, shape.kv_heads), dim=1)
        return query, key, value

    def _finish(self, layer: Layer, hidden: torch.Tensor, attended: torch.Tensor) -> torch.Tensor:
        shape = self.shape
        hidden = layer.output(attended.reshape(len(hidden), shape.heads * shape.head_size), residual=hidden)
        normed = F.rms_norm(hidden, (shape.hidden,), layer.inner_norm, shape.epsilon)
        gate, up = layer.gate_up(normed).chunk(2, dim=-1)
        return layer.down(F.silu(gate).mul_(up), residual=hidden)


def _attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Plain attention: the fused kernel shares its work out by the batch, so its sums would depend on neighbours."""
    group = query.shape[2]
    if group == 1:
        # A lone row goes to another routine of the library.
        query = query.expand(-1, -1, 2, -1)
    weights = torch.matmul(query * query.shape[-1] ** -0.5, keys.transpose(-1, -2)).add_(mask).softmax(dim=-1)
    return torch.matmul(weights, values)[:, :, :group]


def _layer(weights: Weights, index: int, block: int) -> Layer:
    at = f"model.layers.{index}."

    def linear(*names: str) -> BlockedLinear:
        weight, bias = weights.fused(*(at + name for name in names))
        return BlockedLinear(weight, block, bias)

    return Layer(
        input_norm=weights[f"{at}input_layernorm.weight"],
        qkv=linear("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        query_norm=weights.get(f"{at}self_attn.q_norm.weight"),
        key_norm=weights.get(f"{at}self_attn.k_norm.weight"),
        output=linear("self_attn.o_proj"),
        inner_norm=weights[f"{at}post_attention_layernorm.weight"],
        gate_up=linear("mlp.gate_proj", "mlp.up_proj"),
        down=linear("mlp.down_proj"),
    )
