"""Answers, streams and scores through the whole front."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest

from lima.inference.v1 import inference_pb2, sampling_pb2
from services.inference.admission import Admission
from services.inference.replica.model import ServedModel
from services.shared.errors import InvalidInput, LimaError, ResourceExhausted, Unavailable
from services.shared.rpc.status import to_error
from tests.service.inference.conftest import Stack

Sampling = sampling_pb2.Sampling
USER = [{"role": "user", "content": "tea cup leaf"}]


def chat(**fields: object) -> inference_pb2.ChatRequest:
    return inference_pb2.ChatRequest(**({"model": "tiny", "messages": USER} | fields))


async def refusal(call: object) -> LimaError:
    with pytest.raises(grpc.RpcError) as refused:
        await call  # type: ignore[misc]
    return to_error(refused.value)


async def until_idle(model: ServedModel) -> None:
    async with asyncio.timeout(60):
        while model.engine.load().active:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_the_same_seed_gives_the_same_text_in_every_form(ready: Stack) -> None:
    sampling = Sampling(seed=7, max_tokens=20)
    whole = await ready.generation.Chat(chat(sampling=sampling))
    streamed = [
        piece
        async for piece in ready.generation.StreamChat(
            inference_pb2.StreamChatRequest(model="models/tiny", messages=USER, sampling=sampling)
        )
    ]
    assert "".join(piece.text for piece in streamed) == whole.completions[0].text
    assert streamed[-1].finish_reason == whole.completions[0].finish_reason
    assert streamed[-1].usage == whole.usage
    assert {piece.model for piece in streamed} == {whole.model}
    assert all(piece.finish_reason == 0 for piece in streamed[:-1])


async def test_several_answers_differ_and_the_first_keeps_the_seed(ready: Stack) -> None:
    one = await ready.generation.Chat(chat(sampling=Sampling(seed=7, max_tokens=12)))
    four = await ready.generation.Chat(chat(sampling=Sampling(seed=7, max_tokens=12), n=4))
    texts = [completion.text for completion in four.completions]
    assert texts[0] == one.completions[0].text
    assert len(set(texts)) == 4


async def test_raw_text_streams_as_well(ready: Stack) -> None:
    sampling = Sampling(temperature=0, max_tokens=10)
    whole = await ready.generation.Generate(
        inference_pb2.GenerateRequest(model="tiny", prompt="tea cup", sampling=sampling)
    )
    request = inference_pb2.StreamGenerateRequest(model="tiny", prompt="tea cup", sampling=sampling)
    pieces = [piece.text async for piece in ready.generation.StreamGenerate(request)]
    assert "".join(pieces) == whole.completions[0].text


async def test_a_stop_string_ends_the_text_before_itself(ready: Stack) -> None:
    plain = await ready.generation.Chat(chat(sampling=Sampling(temperature=0, repetition_penalty=1, max_tokens=30)))
    text = plain.completions[0].text
    stop = text[5:8]
    sampling = Sampling(temperature=0, repetition_penalty=1, max_tokens=30, stop=[stop])
    stopped = await ready.generation.Chat(chat(sampling=sampling))
    assert stopped.completions[0].text == text[: text.index(stop)]
    assert stopped.completions[0].finish_reason == sampling_pb2.FINISH_REASON_STOP


async def test_logprobs_come_with_alternatives(ready: Stack) -> None:
    sampling = Sampling(temperature=0, repetition_penalty=1, max_tokens=5, logprobs=2)
    reply = await ready.generation.Chat(chat(sampling=sampling))
    tokens = reply.completions[0].logprobs
    assert len(tokens) == reply.usage.completion_tokens
    for token in tokens:
        assert len(token.alternatives) == 2
        assert token.logprob == pytest.approx(token.alternatives[0].logprob, abs=1e-5)
        assert token.logprob < 0


async def test_scores_of_continuations_and_of_a_text(ready: Stack) -> None:
    reply = await ready.generation.Score(
        inference_pb2.ScoreRequest(model="tiny", messages=USER, continuations=["Yes", "No", "water pour"])
    )
    assert len(reply.scores) == 3
    for score in reply.scores:
        assert score.token_count == len(score.tokens) > 0
        assert score.logprob == pytest.approx(sum(token.logprob for token in score.tokens), abs=1e-4)
    alone = await ready.generation.Score(inference_pb2.ScoreRequest(model="tiny", text="tea cup leaf water"))
    assert alone.scores[0].token_count >= 1


def long_stream(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A call that is under way for seconds: every token waits, and the likeliest ones are 450 without an end."""
    (model,) = stack.replica.models.values()
    decoder = model.engine._decoder  # type: ignore[attr-defined]
    turn = decoder.turn

    def unhurried(*arguments: object) -> object:
        time.sleep(0.02)
        return turn(*arguments)

    monkeypatch.setattr(decoder, "turn", unhurried)
    request = inference_pb2.StreamChatRequest(model="tiny", messages=USER)
    request.sampling.max_tokens = 450
    request.sampling.temperature = 0
    return stack.generation.StreamChat(request)


async def test_cancelling_a_stream_frees_the_slot(ready: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    (model,) = ready.replica.models.values()
    call = long_stream(ready, monkeypatch)
    await call.read()
    assert model.engine.load().active == 1
    call.cancel()
    await until_idle(model)
    assert model.engine.load().tokens_drawn < 450


async def test_a_replica_that_dies_in_mid_stream_is_told_as_unavailable(
    ready: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    (model,) = ready.replica.models.values()
    call = long_stream(ready, monkeypatch)
    produced = (await call.read()).text
    await asyncio.to_thread(model.engine.close)
    with pytest.raises(grpc.RpcError) as refused:
        produced += "".join([piece.text async for piece in call])
    assert isinstance(to_error(refused.value), Unavailable)
    assert produced


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sampling": Sampling(top_p=1.3)}, "sampling.top_p"),
        ({"sampling": Sampling(temperature=-1)}, "sampling.temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages[0].content"),
        ({"messages": [*USER, *USER]}, "messages[1].role"),
        ({"messages": [{"role": "user", "content": "tea " * 600}]}, "messages"),
        ({"n": 17}, "n"),
        ({"model": "models//x"}, "model"),
        ({"response_schema_json": "{}"}, "response_schema_json"),
    ],
)
async def test_bad_input_is_refused_with_the_field(ready: Stack, change: dict[str, object], field: str) -> None:
    error = await refusal(ready.generation.Chat(chat(**change)))
    assert isinstance(error, InvalidInput)
    assert error.violations[0].field == field


async def test_a_text_is_scored_alone_or_after_a_prompt_but_not_both(ready: Stack) -> None:
    error = await refusal(ready.generation.Score(inference_pb2.ScoreRequest(model="tiny")))
    assert error.violations[0].field == "text"
    both = inference_pb2.ScoreRequest(model="tiny", text="a", messages=USER)
    assert isinstance(await refusal(ready.generation.Score(both)), InvalidInput)
    empty = inference_pb2.ScoreRequest(model="tiny", text="a", continuations=[""])
    assert (await refusal(ready.generation.Score(empty))).violations[0].field == "continuations[0]"


async def test_a_deadline_ends_the_work_behind_it(ready: Stack) -> None:
    (model,) = ready.replica.models.values()
    request = chat(sampling=Sampling(temperature=2, top_p=1, max_tokens=480), n=8)
    with pytest.raises(grpc.RpcError) as refused:
        await ready.generation.Chat(request, timeout=0.1)
    assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await until_idle(model)


def test_admission_counts_tokens_in_all_and_per_caller() -> None:
    admission = Admission(total=100, per_caller=60, requests=3)
    with admission.admit("ann", 500):
        with pytest.raises(ResourceExhausted, match="ann has 500 tokens in flight") as refused:
            admission.admit("ann", 1).__enter__()
        assert refused.value.retry_seconds
        with pytest.raises(ResourceExhausted, match="would pass the limit of 100"):
            admission.admit("bob", 1).__enter__()
    with admission.admit("ann", 10), admission.admit("ann", 50), admission.admit("bob", 40):
        with pytest.raises(ResourceExhausted, match="3 requests are in flight"):
            admission.admit("cyd", 1).__enter__()
        assert admission.in_flight == 100
    assert admission.in_flight == 0
