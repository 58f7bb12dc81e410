"""Outside models and recordings: pacing, retries, money, memory, and every fault an endpoint may have."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest

from lima.inference.v1 import inference_pb2, sampling_pb2
from services.inference.answers import Answer, Piece, Usage
from services.inference.backends.base import Prompt
from services.inference.sampling import Sampling
from services.inference.service import MIGRATIONS, NAME
from services.inference.upstreams.client import UpstreamBackend
from services.inference.upstreams.ledger import AnswerCache, Ledger
from services.inference.upstreams.source import UpstreamSource, read_key
from services.shared.database import Database
from services.shared.errors import (
    DataCorrupt,
    FailedPrecondition,
    InvalidInput,
    LimaError,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from services.shared.records import Turn
from services.shared.rpc.status import to_error
from services.shared.settings import Settings
from tests.fixtures.fake_openai_endpoint import FakeOpenaiEndpoint, Scripted, completion, fake_openai_endpoint
from tests.service.inference.conftest import Stack

PROMPT = Prompt(turns=(Turn(role="user", content="hello"),), caller="ann")
PLAIN = Sampling(repetition_penalty=1, seed=3, max_tokens=20)


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeOpenaiEndpoint]:
    async with fake_openai_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = Database.open(settings, NAME, MIGRATIONS)
    await database.migrate()
    yield database
    await database.close()


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=0.5) as client:
        yield client


def backend(
    endpoint: FakeOpenaiEndpoint, database: Database, http: httpx.AsyncClient, **source: Any
) -> UpstreamBackend:
    described = UpstreamSource(**({"base_url": endpoint.url, "model": "big-model"} | source))
    return UpstreamBackend(
        "models/big/versions/v1",
        described,
        http,
        Ledger(database),
        AnswerCache(database),
        key=lambda: "the-key",
        attempts=3,
        first_pause=0.01,
    )


async def ask(model: UpstreamBackend, sampling: Sampling = PLAIN) -> Answer:
    return await model.answer(PROMPT, sampling, 1)


async def test_an_answer_its_cost_and_its_place_in_the_cache(
    endpoint: FakeOpenaiEndpoint, database: Database, http: httpx.AsyncClient
) -> None:
    endpoint.script = [completion("first", tokens=(1000, 100)), completion("second")]
    prices = {"usd_per_million_prompt_tokens": 2.0, "usd_per_million_completion_tokens": 10.0}
    model = backend(endpoint, database, http, **prices)
    first, again = await ask(model), await ask(model)
    assert (first.completions[0].text, first.cost_usd, first.cached) == ("first", pytest.approx(0.003), False)
    assert (again.completions[0].text, again.cost_usd, again.cached) == ("first", 0, True)
    assert await Ledger(database).spent(model.resource) == pytest.approx(0.003)
    assert (await ask(model, Sampling(repetition_penalty=1, seed=4, max_tokens=20))).completions[0].text == "second"
    assert endpoint.keys[0] == "Bearer the-key"
    assert "repetition_penalty" not in endpoint.requests[0]


async def test_what_the_protocol_cannot_ask_for_is_told(
    endpoint: FakeOpenaiEndpoint, database: Database, http: httpx.AsyncClient
) -> None:
    answer = await ask(backend(endpoint, database, http), Sampling(top_k=5))
    assert answer.deviations == (
        "repetition_penalty 1.2 is not offered by the OpenAI protocol",
        "top_k 5 is not offered by the OpenAI protocol",
    )


@pytest.mark.parametrize(
    "fault",
    [
        Scripted(429, {"error": {"message": "slow down"}}, {"retry-after": "0.01"}),
        Scripted(500, "oops"),
        Scripted(503, "<html>bad gateway</html>"),
        Scripted(hang=2),
    ],
)
async def test_passing_faults_are_retried(
    endpoint: FakeOpenaiEndpoint, database: Database, http: httpx.AsyncClient, fault: Scripted
) -> None:
    endpoint.script = [fault, completion("at last")]
    assert (await ask(backend(endpoint, database, http))).completions[0].text == "at last"
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (Scripted(500, "oops"), Unavailable, "answered 500: oops"),
        (Scripted(502, "<html><body>x</body></html>"), Unavailable, "answered 502: an HTML page"),
        (Scripted(429, {"error": {"message": "slow"}}), ResourceExhausted, "answered 429: slow"),
        (Scripted(hang=2), Unavailable, "does not answer"),
        (Scripted(401, {"error": {"message": "bad key"}}), FailedPrecondition, "answered 401: bad key"),
        (Scripted(404, {"error": "no such model"}), FailedPrecondition, "answered 404: no such model"),
        (Scripted(200, "<html>welcome</html>"), Unavailable, "something that is not JSON"),
        (Scripted(200, {"choices": []}), Unavailable, "a reply without choices"),
        (Scripted(200, {"choices": [{"message": {"content": None}}]}), Unavailable, "a choice without text"),
        (Scripted(200, [1]), Unavailable, "JSON that is not an object"),
        (Scripted(302, "", {"location": "http://127.0.0.1:1/"}), FailedPrecondition, "answered 302"),
    ],
)
async def test_lasting_faults_are_told_and_never_cached(
    endpoint: FakeOpenaiEndpoint,
    database: Database,
    http: httpx.AsyncClient,
    fault: Scripted,
    error: type,
    message: str,
) -> None:
    endpoint.script = [fault] * 3
    model = backend(endpoint, database, http)
    with pytest.raises(error, match=message):
        await ask(model)
    endpoint.script = []
    assert (await ask(model)).completions[0].text == "ok"


async def test_a_model_that_changes_behind_its_name_is_told(
    endpoint: FakeOpenaiEndpoint, database: Database, http: httpx.AsyncClient
) -> None:
    endpoint.script = [completion("a", "big-1"), completion("b", "big-2")]
    model = backend(endpoint, database, http)
    assert (await ask(model)).deviations == ("answered by big-1",)
    changed = await ask(model, Sampling(repetition_penalty=1, seed=9))
    assert changed.deviations == ("the endpoint's model changed from big-1 to big-2",)


async def test_a_renamed_length_field_is_learnt(
    endpoint: FakeOpenaiEndpoint, database: Database, http: httpx.AsyncClient
) -> None:
    refusal = {"error": {"message": "Unsupported parameter: use 'max_completion_tokens' instead of 'max_tokens'"}}
    endpoint.script = [Scripted(400, refusal), completion("fine")]
    assert (await ask(backend(endpoint, database, http))).completions[0].text == "fine"
    assert "max_tokens" not in endpoint.requests[1]
    assert endpoint.requests[1]["max_completion_tokens"] == 20


async def test_the_spending_cap_holds_for_calls_at_once(
    endpoint: FakeOpenaiEndpoint, database: Database, http: httpx.AsyncClient
) -> None:
    prices = {"usd_per_million_completion_tokens": 1_000_000.0, "spend_cap_usd": 50.0}
    endpoint.script = [completion("dear", tokens=(0, 20)) for _ in range(5)]
    model = backend(endpoint, database, http, **prices)
    calls = [ask(model, Sampling(repetition_penalty=1, seed=seed, max_tokens=20)) for seed in range(5)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    refused = [result for result in results if isinstance(result, ResourceExhausted)]
    assert len(refused) == 3
    assert all("would pass its cap of 50.0000 USD" in error.message for error in refused)
    assert await Ledger(database).spent(model.resource) == pytest.approx(40)


async def test_a_caller_that_leaves_while_its_call_is_entered_has_paid_once(database: Database) -> None:
    ledger = Ledger(database)
    await ledger.reserve("models/m", 5.0, 0)
    entering = asyncio.create_task(ledger.settle("models/m", "ann", Usage(1, 1), 2.0, promised=5.0))
    await asyncio.sleep(0)
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    # What comes later is entered later.
    await ledger.reserve("models/other", 1.0, 0)
    await ledger.settle("models/other", "ann", Usage(1, 1), 1.0, promised=1.0)
    # Nothing is promised any more, and the cost is there: 3 of a cap of 5 are left.
    await ledger.reserve("models/m", 3.0, cap=5.0)
    with pytest.raises(ResourceExhausted, match=r"has cost 2\.0000 USD, 3\.0000 more are in flight"):
        await ledger.reserve("models/m", 0.1, cap=5.0)


async def test_streams_come_in_pieces_and_a_cut_one_is_told(
    endpoint: FakeOpenaiEndpoint, database: Database, http: httpx.AsyncClient
) -> None:
    endpoint.script = [completion("one two three")]
    model = backend(endpoint, database, http)
    pieces = [piece async for piece in model.stream(PROMPT, PLAIN)]
    assert [piece.text for piece in pieces] == ["one", "two", "three", ""]
    assert pieces[-1].finish == "stop"
    endpoint.script = [completion("one", "other-model")]
    (*_, last) = [piece async for piece in model.stream(PROMPT, Sampling(top_k=5))]
    assert last.deviations == (
        "repetition_penalty 1.2 is not offered by the OpenAI protocol",
        "top_k 5 is not offered by the OpenAI protocol",
        "the endpoint's model changed from big-model to other-model",
    )
    cut = completion("one two three")
    cut.cut = True
    endpoint.script = [cut]
    got: list[Piece] = []

    async def read() -> None:
        async for piece in model.stream(PROMPT, PLAIN):
            got.append(piece)  # noqa: PERF401 (what came before the error is what counts)

    with pytest.raises(Unavailable, match="broke off in mid-stream"):
        await read()
    assert [piece.text for piece in got] == ["one", "two", "three"]
    stalled = completion("one two")
    stalled.stall = 5
    endpoint.script = [stalled]
    with pytest.raises(Unavailable, match=r"broke off \(ReadTimeout\)"):
        await read()
    endpoint.script = [Scripted(200, "<html>welcome</html>")]
    with pytest.raises(Unavailable, match="something that is no event stream: <html>welcome"):
        await read()


async def test_a_schema_is_asked_for_and_checked(
    endpoint: FakeOpenaiEndpoint, database: Database, http: httpx.AsyncClient
) -> None:
    model = backend(endpoint, database, http)
    schema = {"type": "object", "properties": {"winner": {"type": "string"}}}
    prompt = Prompt(turns=PROMPT.turns, schema_json=json.dumps(schema))
    await model.answer(prompt, PLAIN, 1)
    assert endpoint.requests[0]["response_format"]["json_schema"]["schema"] == schema
    with pytest.raises(InvalidInput, match="must be a JSON object"):
        await model.answer(Prompt(turns=PROMPT.turns, schema_json="nope"), PLAIN, 1)


def test_keys_come_by_name_only(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "from-environment")
    assert read_key("", None) == ""
    assert read_key("A_KEY", None) == "from-environment"
    (tmp_path / "A_KEY").write_text("from-file\n")
    assert read_key("A_KEY", tmp_path) == "from-file"
    with pytest.raises(FailedPrecondition, match="is empty or not there"):
        read_key("NO_SUCH_KEY", tmp_path)
    with pytest.raises(InvalidInput):
        read_key("../A_KEY", tmp_path)


def chat(model: str, text: str) -> inference_pb2.ChatRequest:
    sampling = sampling_pb2.Sampling(repetition_penalty=1, max_tokens=10)
    return inference_pb2.ChatRequest(model=model, messages=[{"role": "user", "content": text}], sampling=sampling)


async def refusal(call: Any) -> LimaError:
    with pytest.raises(grpc.RpcError) as refused:
        await call
    return to_error(refused.value)


async def test_an_upstream_is_a_model_like_any_other(stack: Stack, endpoint: FakeOpenaiEndpoint) -> None:
    await stack.register("big", upstream={"base_url": endpoint.url, "model": "big-model"})
    reply = await stack.generation.Chat(chat("big", "hello"))
    assert (reply.completions[0].text, reply.usage.completion_tokens, reply.cached) == ("ok", 5, False)
    assert (await stack.generation.Chat(chat("big", "hello"))).cached
    request = inference_pb2.ScoreRequest(model="big", text="some text")
    assert isinstance(await refusal(stack.generation.Score(request)), FailedPrecondition)
    responses = inference_pb2.GenerateResponsesRequest(model="big", prompts_uri=stack.put_prompts(3))
    made = await stack.finish(await stack.generation.GenerateResponses(responses), inference_pb2.ResponseSet())
    assert made.response_count == 3
    assert list(made.deviations) == ["repetition_penalty 1.2 is not offered by the OpenAI protocol"]


async def test_recorded_answers_are_a_model_as_well(stack: Stack) -> None:
    rows = [{"instruction": f"tea {i}", "output": f"answer {i}"} for i in range(3)]
    stack.store.put_bytes("uploads/davinci003.json", json.dumps(rows).encode())
    model = await stack.register("davinci003", recorded_uri=stack.store.uri("uploads/davinci003.json"))
    assert model.origin == "3 recorded responses"
    reply = await stack.generation.Chat(chat("davinci003", "tea 1"))
    assert reply.completions[0].text == "answer 1"
    assert isinstance(await refusal(stack.generation.Chat(chat("davinci003", "tea 9"))), NotFound)
    request = inference_pb2.GenerateResponsesRequest(model="davinci003", prompts_uri=stack.put_prompts(3))
    made = await stack.finish(await stack.generation.GenerateResponses(request), inference_pb2.ResponseSet())
    assert list(made.deviations) == ["recorded response: sampling is that of the recording"]
    stack.store.put_bytes("uploads/bad.jsonl", b'{"instruction": "x"}\n')
    with pytest.raises(DataCorrupt, match=r"bad\.jsonl line 1 holds no prompt with an answer"):
        await stack.register("bad", recorded_uri=stack.store.uri("uploads/bad.jsonl"))
