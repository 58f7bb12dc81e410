"""What the front adds: time to the first token, and throughput, against calling the replica's HTTP directly.

Single requests alternate between the two ways, so both meet the same machine. The peer is the replica itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from typing import Any

import httpx

from benchmarks.harness import Result, main
from benchmarks.serving_stack import TOKEN, ServingStack, prompts, serving_stack, versions


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pairs", type=int, default=40, help="requests each way for the first token")
    parser.add_argument("--rounds", type=int, default=3, help="rounds each way for throughput")
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)


def run(arguments: argparse.Namespace) -> Result:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> Result:
    async with (
        serving_stack() as stack,
        httpx.AsyncClient(
            base_url=stack.replica_url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=600
        ) as client,
    ):
        text = prompts(1)[0]
        await _through_front(stack, text, 2)
        first = [
            (await _through_front(stack, text, 2), await _direct(client, stack, text, 2))
            for _ in range(arguments.pairs)
        ]
        texts = prompts(arguments.requests)
        totals = [
            (
                await _seconds_for_all(_through_front(stack, text, arguments.tokens) for text in texts),
                await _seconds_for_all(_direct(client, stack, text, arguments.tokens) for text in texts),
            )
            for _ in range(arguments.rounds)
        ]
    ours, theirs = (statistics.median(column) * 1000 for column in zip(*first, strict=True))
    front, direct = (statistics.median(column) for column in zip(*totals, strict=True))
    return Result(
        metric="time to first token, p50",
        value=round(ours, 2),
        unit="ms",
        peer="the same replica called directly over HTTP",
        peer_value=round(theirs, 2),
        ratio=round(theirs / ours, 3),
        packages=versions(),
        details={
            "added_ms_p50": round(statistics.median(a - b for a, b in first) * 1000, 2),
            "seconds_for_all_requests": {"front": round(front, 2), "direct": round(direct, 2)},
            "throughput_lost_percent": round((front / direct - 1) * 100, 1),
            "pairs": arguments.pairs,
        },
    )


async def _seconds_for_all(calls: Any) -> float:
    """Seconds until all are answered."""
    begin = time.perf_counter()
    await asyncio.gather(*calls)
    return time.perf_counter() - begin


async def _through_front(stack: ServingStack, text: str, tokens: int) -> float:
    """Seconds to the first token."""
    from lima.inference.v1 import inference_pb2, inference_pb2_grpc, sampling_pb2

    sampling = sampling_pb2.Sampling(temperature=0, repetition_penalty=1, max_tokens=tokens)
    request = inference_pb2.StreamGenerateRequest(model="model", prompt=text, sampling=sampling)
    begin = time.perf_counter()
    first = None
    async for piece in inference_pb2_grpc.InferenceServiceStub(stack.channel).StreamGenerate(request):
        if first is None and piece.text:
            first = time.perf_counter() - begin
    return first or time.perf_counter() - begin


async def _direct(client: httpx.AsyncClient, stack: ServingStack, text: str, tokens: int) -> float:
    body = {"prompt": text, "temperature": 0, "repetition_penalty": 1, "max_tokens": tokens, "stream": True}
    begin = time.perf_counter()
    first = None
    async with client.stream("POST", f"{stack.route}/v1/completions", json=body) as response:
        async for line in response.aiter_lines():
            if first is None and line.startswith("data: {") and json.loads(line[6:])["choices"][0]["text"]:
                first = time.perf_counter() - begin
    return first or time.perf_counter() - begin


if __name__ == "__main__":
    main("gateway_overhead", run, options)
