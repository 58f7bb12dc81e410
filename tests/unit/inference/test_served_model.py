"""What a model must show before it counts as ready, and what conversations share."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from services.inference.replica.engines.base import Drawn
from services.inference.replica.engines.batching import BatchingEngine
from services.inference.replica.engines.choice import EngineOptions
from services.inference.replica.engines.slots import CHUNK
from services.inference.replica.engines.torch_decoder import TorchDecoder
from services.inference.replica.model import ServedModel
from services.inference.sampling import Sampling
from services.shared.errors import FailedPrecondition
from services.shared.records import Turn

SHORT = Sampling(temperature=0, repetition_penalty=1, max_tokens=8)


def served(folder: Path, engine: str = "openvino") -> ServedModel:
    return ServedModel("tiny", folder, EngineOptions(engine, slots=4, context=512))


@pytest.mark.parametrize("engine", ["openvino", "torch", "transformers"])
async def test_a_model_that_never_ends_by_itself_is_steered_to_its_end(tiny_folder: Path, engine: str) -> None:
    model = served(tiny_folder, engine)
    shown = await model.verify()
    assert not shown.unaided
    assert "did not draw it by itself within 32 tokens" in shown.message
    model.engine.close()


async def test_a_model_that_ends_by_itself_says_so(tiny_folder: Path, tmp_path: Path) -> None:
    """The token that this model draws first is declared to be its end."""
    model = served(tiny_folder)
    ids = await model.chat_ids([Turn(role="user", content="Say hello.")])
    first = [piece async for piece in model.engine.generate(ids, SHORT)][2].tokens[0].token_id
    model.engine.close()
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, first]}))
    model = served(folder)
    shown = await model.verify()
    assert shown.unaided
    assert shown.message == "generated a text and stopped at its end-of-turn token"
    model.engine.close()


class EngineThatNeverStops(BatchingEngine):
    """Runs on past every token, as an engine with a wrong stop token would."""

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, stop_bias: float = 0.0
    ) -> AsyncIterator[Drawn]:
        async for piece in super().generate(prompt_ids, SHORT):
            yield piece


async def test_an_engine_that_runs_on_is_not_ready(tiny_folder: Path) -> None:
    model = served(tiny_folder)
    model.engine.close()
    model.engine = EngineThatNeverStops(
        "torch", TorchDecoder(tiny_folder, 2, 513), frozenset([0]), slots=2, context=512
    )
    with pytest.raises(FailedPrecondition, match="did not stop when its end-of-turn token was drawn"):
        await model.verify()
    model.engine.close()


async def test_a_template_that_ends_turns_otherwise_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    """The turn-end token that training taught is not the one at which generation stops: answers would never end."""
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 5}))
    model = served(folder)
    with pytest.raises(FailedPrecondition, match="ends a turn with") as refused:
        await model.verify()
    assert "set eos_token_id in generation_config.json" in refused.value.remedy
    model.engine.close()


async def test_a_second_turn_runs_only_what_is_new(tiny_folder: Path) -> None:
    model = served(tiny_folder)
    turns = [Turn(role="user", content="tea cup leaf water " * 40)]
    ids = await model.chat_ids(turns)
    assert len(ids) > CHUNK
    answer = (await model.answer(ids, SHORT)).completions[0].text
    run_before = model.engine.load().prompt_tokens
    turns += [Turn(role="assistant", content=answer), Turn(role="user", content="more milk")]
    second = await model.chat_ids(turns)
    await model.answer(second, SHORT)
    load = model.engine.load()
    assert load.reused_tokens == len(ids) // CHUNK * CHUNK
    assert load.prompt_tokens - run_before == len(second) - load.reused_tokens
    model.engine.close()
