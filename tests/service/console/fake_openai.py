"""An outside model's OpenAI-compatible endpoint that answers by rule, word by word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

SLOWLY = "slowly"
WORD_SECONDS = 0.02


def answer_to(text: str) -> str:
    """The whole answer, which tests can foresee. A question that says so is answered slowly and at length."""
    return "One word after another. " * (200 if SLOWLY in text else 2) + f"You said: {text}"


def fake_openai() -> FastAPI:
    """`app.state.cut` counts the streams that their readers closed before the end."""
    app = FastAPI()
    app.state.cut = 0

    @app.post("/v1/chat/completions", response_model=None)
    async def complete(request: Request) -> StreamingResponse:
        body: dict[str, Any] = await request.json()
        text = body["messages"][-1]["content"]

        async def words() -> AsyncIterator[str]:
            ended = False
            try:
                for word in answer_to(text).split(" "):
                    yield _event({"choices": [{"index": 0, "delta": {"content": word + " "}, "finish_reason": None}]})
                    if SLOWLY in text:
                        await asyncio.sleep(WORD_SECONDS)
                yield _event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
                yield _event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 7, "total_tokens": 10}})
                yield "data: [DONE]\n\n"
                ended = True
            finally:
                app.state.cut += not ended

        return StreamingResponse(words(), media_type="text/event-stream")

    return app


def _event(value: dict[str, Any]) -> str:
    return f"data: {json.dumps({'id': 'c', 'object': 'chat.completion.chunk', 'model': 'fake', **value})}\n\n"
