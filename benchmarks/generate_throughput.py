"""16 concurrent requests of mixed lengths: the whole path (gRPC, HTTP, Ray Serve, engine) against transformers.

The peer is plain `transformers.generate`, one request at a time, greedy, on the same prompts in the same
process tree; it gets a smaller share of the tokens, because it is slow, and both are compared by tokens
per second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.harness import Result, main, version
from benchmarks.serving_stack import ServingStack, prompts, serving_stack, versions

THREADS = 2


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64, help="new tokens per request")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-requests", type=int, default=3, help="of the requests, how many the peer answers")


def run(arguments: argparse.Namespace) -> Result:
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> Result:
    texts = prompts(arguments.requests)
    ours: list[float] = []
    theirs: list[float] = []
    async with serving_stack() as stack:
        (folder,) = (Path(os.environ["LIMA_STATE_DIR"]) / "weights").glob("[0-9a-f]*")
        peer = await asyncio.to_thread(load_peer, folder)
        await _answer_all(stack, texts[:4], 4)
        for _ in range(arguments.rounds):
            ours.append(await _answer_all(stack, texts, arguments.tokens))
            spread = texts[:: max(1, len(texts) // arguments.peer_requests)]
            theirs.append(await asyncio.to_thread(_peer_rate, peer, spread, arguments.tokens))
    value, peer_value = statistics.median(ours), statistics.median(theirs)
    return Result(
        metric="generated tokens per second, whole path",
        value=round(value, 1),
        unit="tokens/s",
        peer=f"transformers {version('transformers')} generate, one at a time",
        peer_value=round(peer_value, 1),
        ratio=round(value / peer_value, 2),
        packages=versions(),
        details={
            "requests": arguments.requests,
            "tokens_per_request": arguments.tokens,
            "rounds": {"ours": [round(rate, 1) for rate in ours], "peer": [round(rate, 1) for rate in theirs]},
            "model": "SmolLM2-135M-Instruct, float32",
            "engine": "torch",
        },
    )


async def _answer_all(stack: ServingStack, texts: list[str], tokens: int) -> float:
    """Tokens per second of all requests at once, greedy."""
    from lima.inference.v1 import inference_pb2, inference_pb2_grpc, sampling_pb2

    stub = inference_pb2_grpc.InferenceServiceStub(stack.channel)
    sampling = sampling_pb2.Sampling(temperature=0, repetition_penalty=1, max_tokens=tokens)
    requests = [inference_pb2.GenerateRequest(model="model", prompt=text, sampling=sampling) for text in texts]
    begin = time.perf_counter()
    replies = await asyncio.gather(*(stub.Generate(request, timeout=600) for request in requests))
    tokens_made: int = sum(reply.usage.completion_tokens for reply in replies)
    return tokens_made / (time.perf_counter() - begin)


def load_peer(folder: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(THREADS)
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def _peer_rate(peer: tuple[Any, Any], texts: list[str], tokens: int) -> float:
    model, tokenizer = peer
    drawn: int = 0
    begin = time.perf_counter()
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt")
        output = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
        drawn += int(output.shape[1]) - int(inputs["input_ids"].shape[1])
    return drawn / (time.perf_counter() - begin)


if __name__ == "__main__":
    main("generate_throughput", run, options)
