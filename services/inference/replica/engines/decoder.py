"""The forward pass of Llama-family models (Llama, Mistral, Qwen2, Qwen3) on the CPU, over slots of a static cache.

Weights are fused (query, key and value in one product, gate and up in another) and read from the
safetensors files directly; keys and values live in one preallocated cache with a slot per request.
"""

from __future__ import annotations

import ctypes
import math
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from transformers import AutoConfig

from services.inference.replica.engines.architecture import Shape, UnsupportedModel, rotary_tables
from services.inference.replica.engines.linear import MIN_ROWS, BlockedLinear, probe_block_size

WIDTH_STEP = 64


class Weights:
    """Tensors of a Hugging Face folder by name, read one at a time from its safetensors files."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            file: Any = safe_open(path, framework="pt")
            self._files.update(dict.fromkeys(file.keys(), file))
        if not self._files:
            raise UnsupportedModel(f"{folder.name} holds no safetensors file: register the model again")

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def __getitem__(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._files[name].get_tensor(name)
        # A copy: one tensor that lies in the mapped file keeps all of it in memory.
        return tensor.to(torch.float32, copy=True)

    def get(self, name: str) -> torch.Tensor | None:
        return self[name] if name in self._files else None

    def parameter_count(self) -> int:
        return sum(math.prod(file.get_slice(name).get_shape()) for name, file in self._files.items())


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
        self.keys, self.values = _lazy_zeros(size), _lazy_zeros(size)

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        self.keys[:, target, :, :length] = self.keys[:, source, :, :length]
        self.values[:, target, :, :length] = self.values[:, source, :, :length]


class Decoder:
    """Hidden states and logits of tokens at given slots and positions."""

    def __init__(self, folder: Path) -> None:
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
        _return_freed_memory()

    def cache(self, slots: int, capacity: int) -> Cache:
        return Cache(self.shape, slots, capacity)

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """[rows] -> [rows, hidden]."""
        if self.embedding is not None:
            return self.embedding[token_ids]
        # Tied: the output layer's transposed blocks hold the same numbers, and one copy is enough.
        return torch.cat([block.index_select(1, token_ids) for block in self.head.blocks]).t().contiguous()

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """[rows, hidden] -> [rows, vocabulary]."""
        padded = hidden if len(hidden) >= MIN_ROWS else hidden.repeat(MIN_ROWS, 1)
        normed = F.rms_norm(padded, (self.shape.hidden,), self.final_norm, self.shape.epsilon)
        return self.head(normed)[: len(hidden)]

    def prefill(self, cache: Cache, slot: int, start: int, tokens: Sequence[int]) -> torch.Tensor:
        """Runs tokens of one slot at positions start, start + 1, ...; returns hidden [tokens, hidden].

        A lone token gets a neighbour, whose place in the cache is written over later.
        """
        token_ids = torch.tensor([*tokens, *[0] * (MIN_ROWS - len(tokens))])
        rows = len(token_ids)
        end = start + rows
        mask = torch.ones(rows, end, dtype=torch.bool).tril_(diagonal=start)
        mask = torch.zeros(rows, end).masked_fill_(~mask, -torch.inf)[None, None]
        hidden = self.embed(token_ids)
        cos, sin = self.cos[start:end, None], self.sin[start:end, None]
        for index, layer in enumerate(self.layers):
            query, key, value = self._project(layer, hidden, cos, sin)
            keys, values = cache.keys[index, slot], cache.values[index, slot]
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

    def decode(self, cache: Cache, token_ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
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
            keys, values = cache.keys[index, :rows], cache.values[index, :rows]
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


def _lazy_zeros(size: tuple[int, ...]) -> torch.Tensor:
    """Zeros that take memory page by page as they are written to."""
    memory = mmap.mmap(-1, 4 * math.prod(size))
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        # A slot's texts are short beside its capacity: with huge pages a word would take 2 MiB in every layer.
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.float32).view(size)


def _return_freed_memory() -> None:
    """Fusing leaves as much freed memory behind as the weights take, which glibc keeps unless it is asked."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


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
        weight = torch.cat([weights[f"{at}{name}.weight"] for name in names])
        biases = [weights.get(f"{at}{name}.bias") for name in names]
        found = [bias for bias in biases if bias is not None]
        return BlockedLinear(weight, block, torch.cat(found) if len(found) == len(names) else None)

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
