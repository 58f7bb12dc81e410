"""The batching engines against plain transformers, and against themselves in other company."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from services.inference.replica.engines.base import Engine, EngineStopped
from services.inference.replica.engines.batching import BatchingEngine
from services.inference.replica.engines.choice import EngineOptions, best_engine, open_engine
from services.inference.replica.engines.reference import ReferenceEngine
from services.inference.replica.engines.slots import CHUNK
from services.inference.sampling import Sampling
from services.shared.errors import FailedPrecondition, InvalidInput
from tests.fixtures.tiny_served_model import write_served_model
from tests.unit.inference.conftest import BATCHING, STOP, batching

GREEDY = Sampling(temperature=0, repetition_penalty=1, max_tokens=24)


def prompts(count: int, longest: int = 300, seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(1, 300) for _ in range(rng.randint(1, longest))] for _ in range(count)]


async def drawn(engine: Engine, prompt: Sequence[int], sampling: Sampling) -> tuple[list[int], str | None]:
    tokens: list[int] = []
    finish = None
    async for piece in engine.generate(prompt, sampling):
        tokens += [choice.token_id for choice in piece.tokens]
        finish = piece.finish
    return tokens, finish


async def test_greedy_equals_transformers_for_20_prompts(engine: BatchingEngine, reference: ReferenceEngine) -> None:
    batch = prompts(20)
    ours = await asyncio.gather(*(drawn(engine, prompt, GREEDY) for prompt in batch))
    theirs = [await drawn(reference, prompt, GREEDY) for prompt in batch]
    assert ours == theirs


async def test_greedy_equals_generate_of_transformers(engine: BatchingEngine, tiny_folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    for prompt in prompts(3, seed=9):
        ids = torch.tensor([prompt])
        output = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24)
        expected = output[0, len(prompt) :].tolist()
        tokens, finish = await drawn(engine, prompt, GREEDY)
        assert tokens + ([0] if finish == "stop" else []) == expected


@pytest.mark.parametrize(
    ("model_type", "config"),
    [
        ("llama", {"tied": False}),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}}),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 10000.0}}),
        (
            "llama",
            {
                "rope_parameters": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "rope_theta": 10000.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 128,
                }
            },
        ),
        ("llama", {"head_dim": 32}),
        ("qwen2", {}),
        ("qwen3", {"head_dim": 16}),
        ("mistral", {"sliding_window": None, "head_dim": 16}),
    ],
)
async def test_each_architecture_equals_transformers(
    tmp_path: Path, engine_name: str, model_type: str, config: dict[str, object]
) -> None:
    folder = write_served_model(tmp_path / "model", model_type=model_type, **config)
    ours, theirs = batching(engine_name, folder, slots=4), ReferenceEngine(folder, STOP)
    batch = prompts(4, seed=1)
    got = await asyncio.gather(*(drawn(ours, prompt, GREEDY) for prompt in batch))
    assert got == [await drawn(theirs, prompt, GREEDY) for prompt in batch]
    ours.close()
    theirs.close()


async def test_sampling_with_penalty_equals_the_reference(engine: BatchingEngine, reference: ReferenceEngine) -> None:
    for index, prompt in enumerate(prompts(6, seed=2)):
        sampling = Sampling(seed=index, max_tokens=24, top_k=50, min_p=0.01)
        assert await drawn(engine, prompt, sampling) == await drawn(reference, prompt, sampling)


async def test_neighbours_never_change_an_answer(engine: BatchingEngine) -> None:
    mine, sampling = prompts(1, seed=3)[0], Sampling(seed=11, max_tokens=40)
    alone = await drawn(engine, mine, sampling)
    for company in (1, 3, 7, 20):
        others = [
            drawn(engine, prompt, Sampling(seed=company, temperature=1.5, max_tokens=5 + index * 7))
            for index, prompt in enumerate(prompts(company, seed=company))
        ]
        together = await asyncio.gather(drawn(engine, mine, sampling), *others)
        assert together[0] == alone


async def test_logprobs_are_bit_for_bit_the_same_in_any_company(engine: BatchingEngine) -> None:
    prompt, sampling = prompts(1, seed=4)[0], Sampling(seed=1, max_tokens=20, logprobs=3)

    async def pieces() -> list[object]:
        return [piece async for piece in engine.generate(prompt, sampling)]

    alone = await pieces()
    company = [drawn(engine, other, GREEDY) for other in prompts(7, seed=5)]
    assert (await asyncio.gather(pieces(), *company))[0] == alone
    assert engine.row_stable


async def test_reusing_a_prefix_changes_nothing_and_saves_its_chunks(tiny_folder: Path, engine_name: str) -> None:
    shared = prompts(1, longest=1, seed=6)[0] * (2 * CHUNK)
    first, second = [*shared, 5, 6, 7], [*shared, 9]
    fresh = batching(engine_name, tiny_folder, slots=4)
    expected = await drawn(fresh, second, Sampling(seed=3, max_tokens=30))
    fresh.close()
    used = batching(engine_name, tiny_folder, slots=4)
    await drawn(used, first, GREEDY)
    assert await drawn(used, second, Sampling(seed=3, max_tokens=30)) == expected
    assert used.load().reused_tokens == 2 * CHUNK
    used.close()


async def test_a_prefix_in_use_is_copied_to_another_slot(engine: BatchingEngine) -> None:
    prompt = prompts(1, longest=1, seed=7)[0] * (CHUNK + 20)
    alone = await drawn(engine, prompt, GREEDY)
    assert await asyncio.gather(*(drawn(engine, prompt, GREEDY) for _ in range(5))) == [alone] * 5
    assert engine.load().reused_tokens >= 5 * CHUNK


async def test_cancelling_frees_the_slot_at_once(tiny_folder: Path, engine_name: str) -> None:
    engine = batching(engine_name, tiny_folder, slots=2, stop_ids=frozenset())
    streams = [engine.generate([5, 6], Sampling(seed=index, max_tokens=500)) for index in range(2)]
    for stream in streams:
        await anext(stream)
    assert engine.load().active == 2
    waiting = asyncio.create_task(drawn(engine, [7], Sampling(seed=5, max_tokens=1)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await streams[0].aclose()  # type: ignore[attr-defined]
    tokens, finish = await waiting
    assert (len(tokens), finish) == (1, "length")
    await streams[1].aclose()  # type: ignore[attr-defined]
    engine.close()


async def test_more_requests_than_slots_are_all_answered(engine: BatchingEngine, reference: ReferenceEngine) -> None:
    batch = prompts(30, longest=12, seed=8)
    short = Sampling(temperature=0, repetition_penalty=1, max_tokens=6)
    ours = await asyncio.gather(*(drawn(engine, prompt, short) for prompt in batch))
    assert ours == [await drawn(reference, prompt, short) for prompt in batch]


async def test_output_ends_where_the_context_does(engine: BatchingEngine) -> None:
    tokens, finish = await drawn(engine, [3] * 500, Sampling(temperature=1.9, top_p=1, seed=1, max_tokens=100))
    assert finish == "stop" or (finish == "length" and len(tokens) == 12)


async def test_a_prompt_that_leaves_no_room_is_refused(engine: BatchingEngine) -> None:
    with pytest.raises(ValueError, match="leaves no room"):
        await drawn(engine, [3] * 512, GREEDY)


async def test_scores_equal_transformers(engine: BatchingEngine, reference: ReferenceEngine) -> None:
    prefix, *texts = prompts(6, longest=200, seed=10)
    # Single tokens and a text of one token share their inputs; long ones span chunks.
    continuations = [[4], [5], [6, 7], *texts]
    ours = await engine.score(prefix, continuations)
    theirs = await reference.score(prefix, continuations)
    assert [score.token_ids for score in ours] == [score.token_ids for score in theirs]
    for our, their in zip(ours, theirs, strict=True):
        assert our.logprobs == pytest.approx(their.logprobs, abs=1e-3)


async def test_a_text_of_its_own_is_scored_from_its_second_token(
    engine: BatchingEngine, reference: ReferenceEngine
) -> None:
    text = prompts(1, seed=12)[0] + [5] * 200
    (ours,), (theirs,) = await engine.score([], [text]), await reference.score([], [text])
    assert len(ours.logprobs) == len(text) - 1
    assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-3)


async def test_scoring_beside_generation_changes_neither(engine: BatchingEngine) -> None:
    prompt, prefix = prompts(2, seed=13)
    alone, scored = await drawn(engine, prompt, GREEDY), await engine.score(prefix, [[4], [5, 6]])
    both = await asyncio.gather(drawn(engine, prompt, GREEDY), engine.score(prefix, [[4], [5, 6]]))
    assert list(both) == [alone, scored]


async def test_a_broken_engine_tells_everybody(engine: BatchingEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(engine._decoder, "turn", fail)
    with pytest.raises(EngineStopped):
        await drawn(engine, [1, 2], GREEDY)
    with pytest.raises(EngineStopped):
        await drawn(engine, [1, 2], GREEDY)
    with pytest.raises(EngineStopped):
        engine.check()


async def test_closing_ends_what_is_at_work(tiny_folder: Path, engine_name: str) -> None:
    engine = batching(engine_name, tiny_folder, slots=2, stop_ids=frozenset())
    stream = engine.generate([5, 6], Sampling(seed=1, max_tokens=500))
    await anext(stream)
    engine.close()
    with pytest.raises(EngineStopped):
        async for _ in stream:
            pass


def test_the_engine_follows_from_the_folder(tiny_folder: Path, tmp_path: Path) -> None:
    assert best_engine(tiny_folder) == "openvino"
    with pytest.raises(InvalidInput, match="must be one of openvino, torch, transformers, vllm"):
        open_engine(tiny_folder, STOP, EngineOptions(engine="llama.cpp"))
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    assert best_engine(tmp_path) == "transformers"
    for name in BATCHING:
        with pytest.raises(FailedPrecondition, match="'gpt2' is not one of"):
            open_engine(tmp_path, STOP, EngineOptions(engine=name))
    # Its frequencies follow the length of the text at hand: only transformers computes those.
    dynamic = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "rope_parameters": dynamic}))
    assert best_engine(tmp_path) == "transformers"
