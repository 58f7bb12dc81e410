"""The vLLM engine on vLLM's CPU build, in the environment of its own, against plain transformers."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lima.inference
import services.shared
from services.inference.replica.engines.reference import ReferenceEngine
from services.inference.sampling import Sampling
from tests.fixtures.tiny_served_model import write_served_model
from tests.unit.inference.test_batching_engine import drawn

# Read before the tests clear the variables of the developer.
STATED = os.environ.get("LIMA_REPLICA_VLLM_PYTHON", "")
TOKENS = 24

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not STATED,
        reason="no environment with vLLM: python -m services.inference.replica.vllm_environment FOLDER, "
        "then LIMA_REPLICA_VLLM_PYTHON=FOLDER/bin/python",
    ),
]


def prompts() -> list[list[int]]:
    rng = random.Random(21)
    return [[rng.randrange(1, 300) for _ in range(rng.randint(2, 200))] for _ in range(20)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vLLM's attention on CPUs knows heads of 32 and more."""
    return write_served_model(tmp_path_factory.mktemp("tiny"), head_dim=32)


@pytest.fixture(scope="module")
def reference(folder: Path) -> Iterator[ReferenceEngine]:
    engine = ReferenceEngine(folder, frozenset([0]))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def answers(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All that is asked of vLLM, in one process, because it takes long to start."""
    request = tmp_path_factory.mktemp("vllm") / "request.json"
    request.write_text(json.dumps({"prompts": prompts(), "tokens": TOKENS}))
    script = Path(__file__).parents[2] / "fixtures" / "vllm_answers.py"
    roots = [str(Path(services.shared.__path__[0]).parents[1]), str(Path(lima.inference.__path__[0]).parents[1])]
    done = subprocess.run(
        [STATED, str(script), str(folder), str(request)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(roots), "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


async def test_greedy_equals_transformers_for_20_prompts(answers: dict[str, Any], reference: ReferenceEngine) -> None:
    greedy = Sampling(temperature=0, repetition_penalty=1, max_tokens=TOKENS)
    expected = [list(await drawn(reference, prompt, greedy)) for prompt in prompts()]
    assert [answer[:2] for answer in answers["greedy"]] == expected


async def test_the_penalty_covers_generated_tokens_only(answers: dict[str, Any], reference: ReferenceEngine) -> None:
    penalised = Sampling(temperature=0, repetition_penalty=1.5, max_tokens=TOKENS)
    expected = [list(await drawn(reference, prompt, penalised)) for prompt in prompts()[:6]]
    assert [answer[:2] for answer in answers["penalised"]] == expected


def test_the_same_seed_gives_the_same_text(answers: dict[str, Any]) -> None:
    first, second = answers["seeded"]
    assert first == second


def test_it_stops_at_the_end_of_turn_token_and_does_not_show_it(answers: dict[str, Any]) -> None:
    assert answers["steered"][:2] == [[], "stop"]


async def test_log_likelihoods_equal_transformers(answers: dict[str, Any], reference: ReferenceEngine) -> None:
    texts = prompts()
    expected = await reference.score(texts[0], [[4], [5], [6, 7], texts[1][:50]])
    for ours, theirs in zip(answers["scores"], expected, strict=True):
        assert ours == pytest.approx(theirs.logprobs, abs=1e-3)
    (alone,) = await reference.score([], [texts[1][:50]])
    assert answers["alone"][0] == pytest.approx(alone.logprobs, abs=1e-3)


def test_log_probabilities_come_with_the_tokens(answers: dict[str, Any]) -> None:
    for tokens, _, logprobs in answers["greedy"]:
        assert len(logprobs) == len(tokens)
        assert all(logprob <= 0 for logprob in logprobs)


def test_closing_a_stream_frees_its_place(answers: dict[str, Any]) -> None:
    assert answers["active_after_closing"] == 0
