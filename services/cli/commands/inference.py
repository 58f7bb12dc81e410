"""`lima chat`, `lima generate`, `lima score`, and `lima models` beside them."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.commands.inference_models import NameArgument
from services.cli.commands.inference_models import app as models_app
from services.cli.help import with_examples
from services.cli.output import JsonOption, emit, message_to_dict, next_commands, note, progress, table

if TYPE_CHECKING:
    from services.cli.client import Services

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(models_app, name="models")

# A deadline for whole answers of a slow machine.
LONG_SECONDS = 1800.0

Temperature = Annotated[float | None, typer.Option(help="0 is greedy; left out, the paper's 0.7.")]
TopP = Annotated[float | None, typer.Option(help="Nucleus mass; left out, the paper's 0.9.")]
Penalty = Annotated[float | None, typer.Option(help="On generated tokens; left out, the paper's 1.2.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Left out, the paper's 2048.")]
Seed = Annotated[int | None, typer.Option(min=0, help="The same seed gives the same text.")]
TopK = Annotated[int | None, typer.Option(min=0, help="Only the k likeliest tokens; 0 is off, as is leaving it out.")]
MinP = Annotated[float | None, typer.Option(help="Only tokens at least this likely beside the likeliest one.")]
Stop = Annotated[list[str] | None, typer.Option(help="A text that ends the answer; may be given several times.")]


@app.command(
    help=with_examples(
        "Talk to a model, streaming; an empty line or Ctrl-D ends it.",
        "lima chat smollm2-135m",
        'lima chat smollm2-135m --once "How do I cook an omelette?"',
        "echo 'Name a colour.' | lima chat smollm2-135m --temperature 0",
    )
)
def chat(
    model: NameArgument,
    once: Annotated[str, typer.Option(help="One prompt, one answer.")] = "",
    system: Annotated[str, typer.Option(help="System prompt; none by default.")] = "",
    temperature: Temperature = None,
    top_p: TopP = None,
    repetition_penalty: Penalty = None,
    max_tokens: MaxTokens = None,
    seed: Seed = None,
    top_k: TopK = None,
    min_p: MinP = None,
    stop: Stop = None,
    as_json: JsonOption = False,
) -> None:
    sampling = _sampling(temperature, top_p, repetition_penalty, max_tokens, seed, top_k, min_p, stop)
    asyncio.run(_chat(model, once, system, sampling, as_json))


async def _chat(model: str, once: str, system: str, sampling: dict[str, Any], as_json: bool) -> None:
    from services.cli.client import connect

    messages: list[dict[str, str]] = [{"role": "system", "content": system}] if system else []
    said = []
    async with connect() as services:
        with progress(f"load {model}") as bar:
            await services.load_model(model, bar)
        while prompt := once or await asyncio.to_thread(_read_prompt):
            messages.append({"role": "user", "content": prompt})
            answer = await _stream(services, model, messages, sampling, quiet=as_json)
            said.append({"prompt": prompt, "answer": answer})
            if answer:
                messages.append({"role": "assistant", "content": answer})
            else:
                messages.pop()  # a conversation cannot hold a turn without words
                note("(the model ended its turn without a word)")
            if once:
                break
    emit(said, as_json, lambda: None)
    if sys.stdout.isatty():
        next_commands(f"lima score {model} --text TEXT", f"lima generate {model} --prompts URI")


def _read_prompt() -> str:
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""


async def _stream(
    services: Services, model: str, messages: list[dict[str, str]], sampling: dict[str, Any], *, quiet: bool
) -> str:
    from lima.inference.v1.inference_pb2 import StreamChatRequest
    from lima.inference.v1.sampling_pb2 import FINISH_REASON_LENGTH, Sampling

    request = StreamChatRequest(model=model, messages=messages, sampling=Sampling(**sampling))
    parts, cut = [], False
    async for piece in services.inference.StreamChat(request):
        parts.append(piece.text)
        cut = piece.finish_reason == FINISH_REASON_LENGTH
        if not quiet:
            print(piece.text, end="", flush=True)
    if not quiet:
        print()
    if cut:
        note("(cut at the longest output; --max-tokens allows more)")
    return "".join(parts)


@app.command(
    help=with_examples(
        "Generate from one prompt, or a response set from a prompt file. The same set again is found, not made anew.",
        'lima generate smollm2-135m --prompt "Once upon a time" --max-tokens 50',
        "lima generate tuned --prompts s3://lima/datasets/quickstart/DIGEST/test.jsonl",
        "lima generate tuned --prompts s3://lima/datasets/quickstart/DIGEST/test.jsonl -n 5 --limit 50",
        "lima generate --list",
    )
)
def generate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A name, alias or version.")] = "",
    prompt: Annotated[str, typer.Option(help="Raw text, without the chat template.")] = "",
    prompts: Annotated[str, typer.Option(help="URI of a JSONL of examples in the store.")] = "",
    n: Annotated[int, typer.Option("-n", min=1, help="Answers to each prompt.")] = 1,
    limit: Annotated[int, typer.Option(min=0, help="The first so many prompts only; 0 for all.")] = 0,
    temperature: Temperature = None,
    top_p: TopP = None,
    repetition_penalty: Penalty = None,
    max_tokens: MaxTokens = None,
    seed: Seed = None,
    top_k: TopK = None,
    min_p: MinP = None,
    stop: Stop = None,
    list_sets: Annotated[bool, typer.Option("--list", help="List the response sets that there are.")] = False,
    as_json: JsonOption = False,
) -> None:
    from services.shared.errors import InvalidInput

    if list_sets:
        asyncio.run(_list_sets(as_json))
        return
    if not model or bool(prompt) == bool(prompts):
        raise InvalidInput("arguments", "", "must be a model and one of --prompt and --prompts", "or --list alone")
    sampling = _sampling(temperature, top_p, repetition_penalty, max_tokens, seed, top_k, min_p, stop)
    if prompt:
        asyncio.run(_generate_one(model, prompt, n, sampling, as_json))
    else:
        asyncio.run(_generate_set(model, prompts, n, limit, sampling, as_json))


async def _generate_one(model: str, prompt: str, n: int, sampling: dict[str, Any], as_json: bool) -> None:
    from lima.inference.v1.inference_pb2 import GenerateRequest
    from lima.inference.v1.sampling_pb2 import Sampling
    from services.cli.client import connect

    async with connect() as services:
        with progress(f"load {model}") as bar:
            await services.load_model(model, bar)
        request = GenerateRequest(model=model, prompt=prompt, n=n, sampling=Sampling(**sampling))
        reply = await services.inference.Generate(request, timeout=LONG_SECONDS)
    emit(message_to_dict(reply), as_json, lambda: print(*(item.text for item in reply.completions), sep="\n---\n"))
    next_commands(f"lima chat {model}")


async def _generate_set(model: str, prompts: str, n: int, limit: int, sampling: dict[str, Any], as_json: bool) -> None:
    from lima.inference.v1.inference_pb2 import GenerateResponsesRequest, ResponseSet
    from lima.inference.v1.sampling_pb2 import Sampling
    from services.cli.client import connect

    async with connect() as services:
        with progress(f"generate {model}") as bar:
            await services.load_model(model, bar)
            request = GenerateResponsesRequest(
                model=model, prompts_uri=prompts, n=n, limit=limit, sampling=Sampling(**sampling)
            )
            operation = await services.inference.GenerateResponses(request)
            made = await services.follow("inference", operation, ResponseSet(), bar)
    emit(message_to_dict(made), as_json, lambda: _show_sets([made]))
    digest = made.name.rpartition("/")[2]
    next_commands(f"lima judge STUDY --system {model}={digest} --system OTHER=DIGEST --judge MODEL")


async def _list_sets(as_json: bool) -> None:
    from lima.inference.v1.inference_pb2 import ListResponseSetsRequest
    from services.cli.client import connect

    found: list[Any] = []
    token = ""
    async with connect() as services:
        while not found or token:
            page = await services.inference.ListResponseSets(ListResponseSetsRequest(page_token=token))
            found += page.response_sets
            token = page.next_page_token
            if not token:
                break
    emit([message_to_dict(item) for item in found], as_json, lambda: _show_sets(found))


def _show_sets(sets: list[Any]) -> None:
    rows = [
        (
            item.name.rpartition("/")[2][:12],
            item.model,
            item.prompt_count,
            item.response_count,
            item.usage.completion_tokens,
            ", ".join(f"{reason} {count}" for reason, count in sorted(item.finish_counts.items())),
        )
        for item in sets
    ]
    table(("set", "model", "prompts", "responses", "tokens", "ended"), rows)


@app.command(
    help=with_examples(
        "Log-likelihood of a text, or of continuations of a prompt.",
        'lima score smollm2-135m --text "The sky is blue."',
        'lima score smollm2-135m --prompt "Is the sky blue? Answer Yes or No." --continuation Yes --continuation No',
    )
)
def score(
    model: NameArgument,
    text: Annotated[str, typer.Option(help="Text scored by itself.")] = "",
    prompt: Annotated[str, typer.Option(help="What a user says; the continuations are scored after it.")] = "",
    continuation: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    as_json: JsonOption = False,
) -> None:
    asyncio.run(_score(model, text, prompt, continuation or [], as_json))


async def _score(model: str, text: str, prompt: str, continuations: list[str], as_json: bool) -> None:
    import math

    from lima.inference.v1.inference_pb2 import ScoreRequest
    from services.cli.client import connect

    async with connect() as services:
        with progress(f"load {model}") as bar:
            await services.load_model(model, bar)
        messages = [{"role": "user", "content": prompt}] if prompt else []
        request = ScoreRequest(model=model, text=text, messages=messages, continuations=continuations)
        reply = await services.inference.Score(request, timeout=LONG_SECONDS)
    rows = [
        (name[:60], item.logprob, item.token_count, math.exp(-item.logprob / max(item.token_count, 1)))
        for name, item in zip(continuations or [text or prompt], reply.scores, strict=True)
    ]
    columns = ("text", "log-probability", "tokens", "perplexity")
    emit(message_to_dict(reply), as_json, lambda: table(columns, rows, title=reply.model))
    next_commands(f"lima chat {model}")


def _sampling(
    temperature: float | None,
    top_p: float | None,
    penalty: float | None,
    max_tokens: int | None,
    seed: int | None,
    top_k: int | None,
    min_p: float | None,
    stop: list[str] | None,
) -> dict[str, Any]:
    given = {
        "temperature": temperature,
        "top_p": top_p,
        "repetition_penalty": penalty,
        "max_tokens": max_tokens,
        "seed": seed,
        "top_k": top_k,
        "min_p": min_p,
        "stop": stop,
    }
    return {field: value for field, value in given.items() if value is not None}
