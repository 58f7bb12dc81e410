"""OpenVINO must own what it computes with: what Python lends it is let go by threads that do not hold its lock."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from services.inference.replica.engines import openvino_graph
from services.inference.replica.engines.architecture import Shape
from services.inference.replica.engines.forward import Part
from services.inference.replica.engines.openvino_decoder import OpenVinoDecoder
from services.inference.replica.engines.tensors import Weights


def test_no_weight_of_the_graphs_lies_in_memory_of_python(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model loaded and closed some thirty times crashed the process while they did."""
    given: list[torch.Tensor] = []
    make = openvino_graph.tensor

    def remembered(values: torch.Tensor) -> Any:
        given.append(values)
        return make(values)

    monkeypatch.setattr(openvino_graph, "tensor", remembered)
    shape = Shape.of(AutoConfig.from_pretrained(tiny_folder))
    weights = Weights(tiny_folder)
    body = openvino_graph.BodyBuilder(shape, weights).build()
    head = openvino_graph.build_head(shape, weights["model.norm.weight"], weights["model.embed_tokens.weight"])
    constants = [node.data for graph in (body, head) for node in graph.get_ops() if node.get_type_name() == "Constant"]
    assert len(given) > 6 * shape.layers
    for values in given:
        # It is there, by its content, and somewhere else.
        assert any(part.shape == tuple(values.shape) and np.array_equal(part, values.numpy()) for part in constants)
        assert not any(np.shares_memory(part, values.numpy()) for part in constants)


def test_a_decoder_needs_nothing_that_it_was_built_from(tiny_folder: Path) -> None:
    prompt = Part(0, 0, list(range(1, 40)))

    def logits(decoder: OpenVinoDecoder) -> torch.Tensor:
        return decoder.logits(decoder.prefill(prompt)).clone()

    first = OpenVinoDecoder(tiny_folder, 2, 64, 2)
    expected = logits(first)
    del first
    gc.collect()
    # Whatever was freed with the first one is written over by now.
    scraps = [torch.full((1 << 16,), torch.nan) for _ in range(64)]
    second = OpenVinoDecoder(tiny_folder, 2, 64, 2)
    gc.collect()
    scraps += [torch.full((1 << 16,), torch.nan) for _ in range(64)]
    assert torch.equal(logits(second), expected)
