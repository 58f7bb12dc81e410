"""`compute.compile`: the layers' graphs are traced once, whatever a batch is cut into, and give the same loss.

The graphs are run as they were traced: what TorchInductor makes of them is its own affair, and takes a compiler.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.fixtures.tiny_language_model import write_base_model
from tests.unit.training.test_attention import PLAIN, batch_of
from training_jobs.model import Trainee, load_model
from training_jobs.spec import Compute


def test_layers_are_traced_once_and_give_the_same_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[Any] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Any:
        traced.append(graph)
        return graph.forward

    plain = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda module, **options: plain(module, **options, backend=backend))
    folder = write_base_model(tmp_path, layers=2)
    models = [Trainee(load_model(folder, PLAIN, Compute(compile=compiled)), PLAIN) for compiled in (False, True)]
    counts = []
    for lengths in ((25, 12), (44, 9, 12), (53,)):
        _, batch = batch_of(*lengths)
        ours, compiled = (model(batch) for model in models)
        torch.testing.assert_close(compiled, ours, rtol=1e-6, atol=0)
        compiled.backward()
        counts.append(len(traced))
    assert counts[0] > 0
    assert counts[2] == counts[0], "another cut is not another compilation"
    assert set(models[0].named_weights()) == set(models[1].named_weights())
