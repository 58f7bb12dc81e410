"""Time to the first token and between tokens under load: streams that overlap, through the whole path.

The peer is transformers' own streaming (`TextIteratorStreamer`) of one request alone, which needs no
queue: a ratio near 1 between tokens means that company costs a reader little.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from itertools import pairwise
from pathlib import Path
from threading import Thread
from typing import Any

from benchmarks.generate_throughput import load_peer
from benchmarks.harness import Result, main, version
from benchmarks.serving_stack import ServingStack, prompts, serving_stack, versions


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--streams", type=int, default=8, help="streams at once")
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)


def run(arguments: argparse.Namespace) -> Result:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> Result:
    first: list[float] = []
    gaps: list[float] = []
    peer_gaps: list[float] = []
    texts = prompts(arguments.streams)
    async with serving_stack() as stack:
        (folder,) = (Path(os.environ["LIMA_STATE_DIR"]) / "weights").glob("[0-9a-f]*")
        peer = await asyncio.to_thread(load_peer, folder)
        await _stream(stack, texts[0], 2)
        for _ in range(arguments.rounds):
            times = await asyncio.gather(*(_stream(stack, text, arguments.tokens) for text in texts))
            first += [stamps[0] for stamps in times]
            gaps += [later - earlier for stamps in times for earlier, later in pairwise(stamps)]
            peer_gaps += await asyncio.to_thread(_peer_gaps, peer, texts[0], arguments.tokens)
    ours, theirs = statistics.median(gaps) * 1000, statistics.median(peer_gaps) * 1000
    return Result(
        metric=f"time between tokens, p50, {arguments.streams} streams at once",
        value=round(ours, 1),
        unit="ms",
        peer=f"transformers {version('transformers')} TextIteratorStreamer, one stream alone",
        peer_value=round(theirs, 1),
        ratio=round(theirs / ours, 2),
        packages=versions(),
        details={
            "between_tokens_ms": {"p50": round(ours, 1), "p99": round(_percentile(gaps, 99) * 1000, 1)},
            "first_token_ms": {
                "p50": round(statistics.median(first) * 1000, 1),
                "p99": round(_percentile(first, 99) * 1000, 1),
            },
            "streams": arguments.streams,
        },
    )


async def _stream(stack: ServingStack, text: str, tokens: int) -> list[float]:
    """When each message with text arrived, in seconds from the request."""
    from lima.inference.v1 import inference_pb2, inference_pb2_grpc, sampling_pb2

    sampling = sampling_pb2.Sampling(temperature=0, repetition_penalty=1, max_tokens=tokens)
    request = inference_pb2.StreamGenerateRequest(model="model", prompt=text, sampling=sampling)
    begin = time.perf_counter()
    return [
        time.perf_counter() - begin
        async for piece in inference_pb2_grpc.InferenceServiceStub(stack.channel).StreamGenerate(request)
        if piece.text
    ]


def _peer_gaps(peer: tuple[Any, Any], text: str, tokens: int) -> list[float]:
    from transformers import TextIteratorStreamer

    model, tokenizer = peer
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    inputs = tokenizer(text, return_tensors="pt")
    settings = {"do_sample": False, "max_new_tokens": tokens, "streamer": streamer}
    thread = Thread(target=model.generate, kwargs=dict(inputs) | settings)
    thread.start()
    stamps = [time.perf_counter() for piece in streamer if piece]
    thread.join()
    return [later - earlier for earlier, later in pairwise(stamps)]


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


if __name__ == "__main__":
    main("stream_latency", run, options)
