"""Llama-family models as OpenVINO graphs, built from the safetensors files: nothing is converted or written.

Two graphs, because a prompt's tokens all pass through the first and only its last one through the second:
`body` takes embedded tokens of several texts to hidden states, `head` takes hidden states to logits.
Attention is the operation that OpenVINO GenAI serves with: keys and values lie in blocks of `BLOCK` tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
import torch
from openvino import opset13 as ops

# OpenVINO's Python has no public constructor for it; its arguments are checked when the model is compiled.
from openvino.op import _PagedAttentionExtension

from services.inference.replica.engines.architecture import Shape
from services.inference.replica.engines.tensors import Weights

BLOCK = 32
# The inputs that tell which tokens belong together and where their keys and values lie (int32, see `openvino_decoder`).
PLACES = ("past_lens", "subsequence_begins", "block_indices", "block_indices_begins")
LONGEST = "max_context_len"


class BodyBuilder:
    """Inputs: `embedded` [tokens, hidden], `cos` and `sin` [tokens, 1, head size], the places, and the caches."""

    def __init__(self, shape: Shape, weights: Weights) -> None:
        self._shape = shape
        self._weights = weights
        self._inputs: list[Any] = []

    def build(self) -> ov.Model:
        shape = self._shape
        hidden = self._input("embedded", [-1, shape.hidden], np.float32)
        self._cos = self._input("cos", [-1, 1, shape.head_size], np.float32)
        self._sin = self._input("sin", [-1, 1, shape.head_size], np.float32)
        self._places = [self._input(name, [-1], np.int32) for name in PLACES]
        self._longest = self._input(LONGEST, [], np.int32)
        for index in range(shape.layers):
            hidden = self._layer(hidden, index)
        return ov.Model([hidden.output(0)], self._inputs, "body")

    def _input(self, name: str, size: list[int], kind: Any) -> Any:
        made = ops.parameter(size, kind, name=name)
        made.output(0).set_names({name})
        self._inputs.append(made)
        return made

    def _layer(self, hidden: Any, index: int) -> Any:
        at, shape, weights = f"model.layers.{index}.", self._shape, self._weights
        normed = rms_norm(hidden, weights[f"{at}input_layernorm.weight"], shape.epsilon)
        mixed = self._linear(normed, *(f"{at}self_attn.{name}_proj" for name in "qkv"))
        widths = [(shape.heads + shape.kv_heads) * shape.head_size, shape.kv_heads * shape.head_size]
        turning, value = ops.variadic_split(mixed, integer(1), integers(widths)).outputs()
        query, key = self._turned(turning, index)
        attended = self._attention(query, key, value, index)
        hidden = ops.add(hidden, self._linear(attended, f"{at}self_attn.o_proj"))
        normed = rms_norm(hidden, weights[f"{at}post_attention_layernorm.weight"], shape.epsilon)
        gate, up = self._linear(normed, f"{at}mlp.gate_proj"), self._linear(normed, f"{at}mlp.up_proj")
        return ops.add(hidden, self._linear(ops.multiply(ops.swish(gate), up), f"{at}mlp.down_proj"))

    def _linear(self, x: Any, *names: str) -> Any:
        weight, bias = self._weights.fused(*names)
        out = ops.matmul(x, tensor(weight), False, True)
        return out if bias is None else ops.add(out, tensor(bias))

    def _turned(self, x: Any, index: int) -> list[Any]:
        """Position put into queries and keys [tokens, heads * head size], after norms of their own if there are any."""
        at, shape = f"model.layers.{index}.self_attn.", self._shape
        size, counts = shape.head_size, integers([shape.heads, shape.kv_heads])
        x = ops.reshape(x, integers([-1, shape.heads + shape.kv_heads, size]), False)
        names = [f"{at}{letter}_norm.weight" for letter in "qk"]
        if all(name in self._weights for name in names):
            parts = ops.variadic_split(x, integer(1), counts).outputs()
            x = ops.concat(
                [rms_norm(part, self._weights[name], shape.epsilon) for part, name in zip(parts, names, strict=True)], 1
            )
        low, high = ops.split(x, integer(2), 2).outputs()
        turned = ops.add(ops.multiply(x, self._cos), ops.multiply(ops.concat([ops.negative(high), low], 2), self._sin))
        parts = ops.variadic_split(turned, integer(1), counts).outputs()
        return [
            ops.reshape(part, integers([-1, heads * size]), False)
            for part, heads in zip(parts, (shape.heads, shape.kv_heads), strict=True)
        ]

    def _attention(self, query: Any, key: Any, value: Any, index: int) -> Any:
        shape = self._shape
        caches = [self._input(f"{kind}_cache.{index}", [-1, -1, -1, -1], ov.Type.dynamic) for kind in ("key", "value")]
        none_i32, none_f32 = empty(np.int32), empty(np.float32)
        scale, no_window = number(shape.head_size**-0.5, np.float32), number(0, np.int32)
        # What follows the longest text's length are abilities that are not used: scores, rotation of the cache,
        # sparse attention, sinks, eviction.
        unused = [
            none_i32, none_i32, none_i32, none_f32, none_f32, number(0, np.int32), number(0, np.int32),
            empty(np.float32, 4), number(0, np.int32), none_i32, none_i32, none_i32, none_i32,
            empty(np.uint8), none_i32,
        ]  # fmt: skip
        arguments = [query, key, value, *caches, *self._places, scale, no_window, none_f32, self._longest, *unused]
        node = _PagedAttentionExtension([item if isinstance(item, ov.Output) else item.output(0) for item in arguments])
        facts = node.get_rt_info()
        for letter in "kv":
            facts[f"num_{letter}_heads"] = shape.kv_heads
            facts[f"{letter}_head_size"] = shape.head_size
        return node.output(0)


def build_head(shape: Shape, norm: torch.Tensor, weight: torch.Tensor) -> ov.Model:
    """`hidden` [rows, hidden] to logits [rows, vocabulary]; `weight` [vocabulary, hidden]."""
    hidden = ops.parameter([-1, shape.hidden], np.float32, name="hidden")
    hidden.output(0).set_names({"hidden"})
    logits = ops.matmul(rms_norm(hidden, norm, shape.epsilon), tensor(weight), False, True)
    return ov.Model([logits.output(0)], [hidden], "head")


def rms_norm(x: Any, weight: torch.Tensor, epsilon: float) -> Any:
    """In the steps that OpenVINO recognises and makes one operation of."""
    mean = ops.reduce_mean(ops.power(x, number(2, np.float32)), integers([-1]), keep_dims=True)
    scale = ops.divide(number(1, np.float32), ops.sqrt(ops.add(mean, number(epsilon, np.float32))))
    return ops.multiply(ops.multiply(x, scale), tensor(weight))


def tensor(values: torch.Tensor) -> Any:
    # A copy: memory shared with Python would be let go by threads that do not hold its lock.
    return ops.constant(values.contiguous().numpy())


def number(value: float, kind: Any) -> Any:
    return ops.constant(np.array(value, dtype=kind))


def integer(value: int) -> Any:
    return number(value, np.int64)


def integers(values: Sequence[int]) -> Any:
    return ops.constant(np.array(values, dtype=np.int64))


def empty(kind: Any, dimensions: int = 1) -> Any:
    return ops.constant(np.zeros([0] * dimensions, dtype=kind))
