"""A fake OpenAI endpoint for benchmarks: answers every chat after a fixed time, and counts how many at once.

python -m benchmarks.fake_openai --latency 0.2 --port-file PATH
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

REPLY = json.dumps({"reasoning": "It answers the request.", "verdict": "A"})


def make_app(latency: float) -> FastAPI:
    app = FastAPI()
    counts = {"requests": 0, "at_once": 0, "most_at_once": 0}

    @app.post("/v1/chat/completions")
    async def chat(body: dict[str, Any]) -> dict[str, Any]:
        counts["requests"] += 1
        counts["at_once"] += 1
        counts["most_at_once"] = max(counts["most_at_once"], counts["at_once"])
        await asyncio.sleep(latency)
        counts["at_once"] -= 1
        message = {"role": "assistant", "content": REPLY}
        return {
            "id": f"fake-{counts['requests']}",
            "object": "chat.completion",
            "created": 0,
            "model": body.get("model", "fake"),
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320},
        }

    @app.get("/counts")
    async def read_counts() -> dict[str, int]:
        return counts

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--port-file", type=Path, required=True)
    arguments = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    arguments.port_file.write_text(str(listener.getsockname()[1]))
    server = uvicorn.Server(uvicorn.Config(make_app(arguments.latency), log_level="warning"))
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
