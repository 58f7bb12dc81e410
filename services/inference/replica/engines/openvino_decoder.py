"""The forward pass of Llama-family models (Llama, Mistral, Qwen2, Qwen3) by OpenVINO on the CPU, in float32."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from transformers import AutoConfig

from services.inference.replica.engines.architecture import Shape, UnsupportedModel, rotary_tables
from services.inference.replica.engines.forward import Part
from services.inference.replica.engines.linear import MIN_ROWS, PROBE_ROWS
from services.inference.replica.engines.openvino_graph import BLOCK, LONGEST, PLACES, BodyBuilder, build_head
from services.inference.replica.engines.tensors import Weights, lazy_zeros, return_freed_memory, use_huge_pages

KINDS = ("key", "value")
# Lengths of the texts by which a processor is probed: none a multiple of a block's, one over several blocks.
PROBE_TEXTS = (70, 9, 45)


class OpenVinoDecoder:
    """`forward.Decoder` on two compiled graphs; a pass covers the tokens at hand only, not the slots between them.

    Slot i has blocks of its own, one after the other; one slot more than asked for takes the rows that fill
    a pass up. `capacity` bounds the tokens of a slot.
    """

    def __init__(self, folder: Path, slots: int, capacity: int, threads: int) -> None:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        self.shape = shape = Shape.of(config)
        weights = Weights(folder)
        self.parameter_count = weights.parameter_count()
        self._embedding = weights["model.embed_tokens.weight"]
        tied = config.tie_word_embeddings or "lm_head.weight" not in weights
        output = self._embedding if tied else weights["lm_head.weight"]
        settings = {
            "INFERENCE_PRECISION_HINT": "f32",
            "KV_CACHE_PRECISION": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Threads that stay where they are compute a tenth faster; but several replicas would all stay on
            # the first processors, unless each takes all of them anyway.
            "ENABLE_CPU_PINNING": threads >= len(os.sched_getaffinity(0)),
        }
        core = ov.Core()
        body = core.compile_model(BodyBuilder(shape, weights).build(), "CPU", settings)
        head = core.compile_model(build_head(shape, weights["model.norm.weight"], output), "CPU", settings)
        self._body, self._head = body.create_infer_request(), head.create_infer_request()
        self._blocks = -(-min(capacity, shape.context + 1) // BLOCK)
        self._spare = slots
        self._caches = [self._cache(body, f"{kind}_cache.{index}") for index in range(shape.layers) for kind in KINDS]
        self._cos, self._sin = rotary_tables(config, shape)
        return_freed_memory()
        # With fewer texts than threads, attention is shared out within a text, and summed in another order.
        self._least_rows = max(MIN_ROWS, threads)
        self.row_stable = True
        self.row_stable = self._probe(min(slots, max(PROBE_ROWS)))
        if not self.row_stable:
            self._least_rows = slots
        # Now that the probe has run: OpenVINO orders weights anew when it first meets them.
        use_huge_pages(4 * self.parameter_count)

    def turn(self, prompts: Sequence[Part], steps: Sequence[Part], idle_position: Callable[[int], int]) -> torch.Tensor:
        if prompts and not self.row_stable:
            rows = [self.prefill(part)[-1:].clone() for part in prompts]
            return torch.cat([*rows, self.turn([], steps, idle_position)] if steps else rows)
        parts = [*prompts, *steps]
        if not prompts:
            parts += [Part(self._spare, 0, [0])] * (self._least_rows - len(parts))
        last = list(accumulate(len(part.tokens) for part in parts))
        return self._run(parts)[[end - 1 for end in last[: len(prompts) + len(steps)]]]

    def prefill(self, part: Part) -> torch.Tensor:
        return self._run([part])[: len(part.tokens)]

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        missing = self._least_rows - len(hidden)
        padded = torch.nn.functional.pad(hidden, (0, 0, 0, missing)) if missing > 0 else hidden
        self._head.set_tensor("hidden", ov.Tensor(padded.contiguous().numpy()))
        self._head.infer()
        return torch.from_numpy(self._head.get_output_tensor(0).data)[: len(hidden)]

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        count = -(-length // BLOCK)
        for cache in self._caches:
            blocks = cache.view(-1, self._blocks, *cache.shape[1:])
            blocks[target, :count] = blocks[source, :count]

    def _run(self, parts: Sequence[Part]) -> torch.Tensor:
        """Hidden states [tokens of all parts, hidden], in their order."""
        if sum(len(part.tokens) for part in parts) < MIN_ROWS:
            # A lone row goes to another routine of the library.
            parts = [*parts, Part(self._spare, 0, [0])]
        used = [-(-part.end // BLOCK) for part in parts]
        first = [part.slot * self._blocks for part in parts]
        positions = torch.cat([torch.arange(part.start, part.end) for part in parts])
        places = (
            [part.start for part in parts],
            list(accumulate((len(part.tokens) for part in parts), initial=0)),
            [block for begin, count in zip(first, used, strict=True) for block in range(begin, begin + count)],
            list(accumulate(used, initial=0)),
        )
        token_ids = torch.tensor([token for part in parts for token in part.tokens])
        inputs = {name: np.array(values, dtype=np.int32) for name, values in zip(PLACES, places, strict=True)} | {
            LONGEST: np.array(max(part.end for part in parts), dtype=np.int32),
            "embedded": self._embedding[token_ids].numpy(),
            "cos": self._cos[positions][:, None].numpy(),
            "sin": self._sin[positions][:, None].numpy(),
        }
        for name, values in inputs.items():
            self._body.set_tensor(name, ov.Tensor(values))
        self._body.infer()
        return torch.from_numpy(self._body.get_output_tensor(0).data)

    def _cache(self, body: Any, name: str) -> torch.Tensor:
        """[blocks of all slots, kv heads, BLOCK, head size], given to the graph as its input."""
        port = body.input(name)
        size = [port.partial_shape[axis].get_length() for axis in range(1, 4)]
        expected = [self.shape.kv_heads, BLOCK, self.shape.head_size]
        if size != expected or port.element_type != ov.Type.f32:
            raise UnsupportedModel(
                f"OpenVINO keeps keys and values as {port.element_type} {size} on this processor, not as float32 "
                f"{expected}: load it with engine 'torch'"
            )
        cache = lazy_zeros(((self._spare + 1) * self._blocks, *expected))
        self._body.set_tensor(name, ov.Tensor(cache.numpy(), shared_memory=True))
        return cache

    @torch.inference_mode()
    def _probe(self, most: int) -> bool:
        """Whether rows are independent of one another on this processor, found by really running some."""
        longest = (self._blocks * BLOCK - 1) // 2
        lengths = [min(length, longest) for length in PROBE_TEXTS[:most]]
        texts = [Part(slot, 0, [1] * length) for slot, length in enumerate(lengths)]
        alone = torch.cat([self._probed([text], []) for text in texts])
        if not torch.equal(self._probed(texts, []), alone):
            return False
        steps = [Part(text.slot, text.end, [2]) for text in texts]
        steps += [Part(slot, 0, [3]) for slot in range(len(texts), most)]
        full = self._probed([], steps)
        chosen = [steps[:1], steps[1::2], *(steps[:count] for count in PROBE_ROWS if count < most)]
        beside = self._probed([Part(self._spare, 0, [1] * lengths[0])], steps)
        return torch.equal(beside[1:], full) and all(
            torch.equal(self._probed([], some), full[[step.slot for step in some]]) for some in chosen
        )

    def _probed(self, prompts: Sequence[Part], steps: Sequence[Part]) -> torch.Tensor:
        return self.logits(self.turn(prompts, steps, lambda slot: 0)).clone()
