"""The OpenAI-compatible endpoint, asked by the real `openai` client."""

from __future__ import annotations

import httpx
import openai
import pytest

from tests.conftest import TOKEN
from tests.service.inference.conftest import Stack

USER = [{"role": "user", "content": "tea cup leaf"}]


def client(stack: Stack, token: str = TOKEN) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{stack.openai_port}/v1", api_key=token, max_retries=0)


async def test_models_are_listed(ready: Stack) -> None:
    models = [model.id async for model in client(ready).models.list()]
    assert len(models) == 1
    assert models[0].startswith("models/tiny/versions/")


async def test_chat_whole_and_streamed_are_the_same_text(ready: Stack) -> None:
    asked = {"model": "tiny", "messages": USER, "seed": 3, "max_tokens": 16}
    whole = await client(ready).chat.completions.create(**asked)
    chunks = [
        chunk
        async for chunk in await client(ready).chat.completions.create(
            **asked, stream=True, stream_options={"include_usage": True}
        )
    ]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert whole.choices[0].finish_reason in ("stop", "length")


async def test_completions_with_extra_sampling_and_logprobs(ready: Stack) -> None:
    asked = {"model": "tiny", "prompt": "tea cup", "max_tokens": 8, "logprobs": 2, "n": 2, "seed": 1}
    extra = {"top_k": 20, "min_p": 0.01, "repetition_penalty": 1.1}
    reply = await client(ready).completions.create(**asked, extra_body=extra)
    assert len(reply.choices) == 2
    logprobs = reply.choices[0].logprobs
    assert logprobs is not None
    assert len(logprobs.tokens or []) == len(logprobs.token_logprobs or []) > 0
    streamed = await client(ready).completions.create(model="tiny", prompt="tea", max_tokens=4, seed=1, stream=True)
    assert [chunk.choices[0].text async for chunk in streamed]


async def test_errors_have_their_form(ready: Stack) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await client(ready).chat.completions.create(model="tiny", messages=USER, top_p=1.3)
    assert refused.value.param == "sampling.top_p"
    assert refused.value.code == "invalid_input"
    with pytest.raises(openai.NotFoundError):
        await client(ready).chat.completions.create(model="nobody", messages=USER)
    with pytest.raises(openai.NotFoundError):
        await client(ready).chat.completions.create(model="nobody", messages=USER, stream=True)
    with pytest.raises(openai.AuthenticationError):
        await client(ready, "wrong-token").models.list()
    with pytest.raises(openai.BadRequestError, match="frequency_penalty"):
        await client(ready).chat.completions.create(model="tiny", messages=USER, frequency_penalty=1)


async def test_bodies_are_bounded(ready: Stack) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ready.openai_port}") as plain:
        headers = {"authorization": f"Bearer {TOKEN}"}
        big = await plain.post("/v1/completions", headers=headers, content=b"x" * (9 << 20))
        assert big.status_code == 413
        broken = await plain.post("/v1/completions", headers=headers, content=b"\xff{")
        assert broken.status_code == 400
        assert broken.json()["error"]["type"] == "invalid_request_error"
