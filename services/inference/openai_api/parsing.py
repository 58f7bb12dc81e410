"""Reading OpenAI-form replies of a peer that may send anything."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from services.inference.answers import Completion, Finish, Piece, TokenLogprob, Usage
from services.shared.errors import Unavailable

MAX_REPLY_BYTES = 64 << 20
SHOWN = 300


def malformed(what: str, shown: object = "") -> Unavailable:
    text = str(shown)[:SHOWN]
    return Unavailable(f"the model's endpoint sent {what}{': ' if text else ''}{text}", remedy="check its address")


def parse_json(data: bytes | str) -> dict[str, Any]:
    """Raises Unavailable for anything but one JSON object."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise malformed("something that is not JSON", data[:SHOWN]) from error
    if not isinstance(value, dict):
        raise malformed("JSON that is not an object", data[:SHOWN])
    return value


def parse_usage(value: Any) -> Usage:
    if not isinstance(value, dict):
        return Usage()
    counts = (value.get("prompt_tokens"), value.get("completion_tokens"))
    prompt, completion = (count if isinstance(count, int) and 0 <= count < 2**31 else 0 for count in counts)
    return Usage(prompt, completion)


def parse_completions(reply: dict[str, Any]) -> tuple[Completion, ...]:
    """The choices of a whole reply, chat or text. Raises Unavailable where one holds no text."""
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        raise malformed("a reply without choices", reply)
    return tuple(_completion(choice) for choice in choices)


def parse_piece(event: dict[str, Any]) -> Piece | None:
    """One streamed event; None for one that carries neither text nor an end. Raises Unavailable for an error event."""
    if "error" in event:
        raise Unavailable(f"the model's endpoint broke off: {_error_message(event)}", remedy="send the request again")
    usage = parse_usage(event["usage"]) if isinstance(event.get("usage"), dict) else None
    choices = event.get("choices")
    if not isinstance(choices, list):
        raise malformed("an event without choices", event)
    if not choices:
        told = event.get("deviations")
        deviations = tuple(map(str, told)) if isinstance(told, list) else ()
        return Piece(usage=usage, deviations=deviations) if usage else None
    choice = choices[0]
    if not isinstance(choice, dict):
        raise malformed("a choice that is not an object", choice)
    delta = choice.get("delta")
    text = delta.get("content") if isinstance(delta, dict) else choice.get("text")
    if not isinstance(text, str | None):
        raise malformed("text that is not a string", text)
    index = choice.get("index")
    finish = _finish(choice) if choice.get("finish_reason") else None
    return Piece(text or "", finish, usage, _logprobs(choice.get("logprobs")), index if isinstance(index, int) else 0)


async def parse_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Objects of a server-sent event stream up to [DONE]. Raises Unavailable if it ends before."""
    events = False
    async for line in _lines(chunks):
        if not line.startswith("data:"):
            # Lines of other kinds belong between events; a reply that begins with something else is none.
            if line and not events and not line.startswith((":", "event:", "id:", "retry:")):
                raise malformed("something that is no event stream", line)
            continue
        events = True
        data = line[5:].strip()
        if data == "[DONE]":
            return
        yield parse_json(data)
    raise Unavailable("the model's endpoint broke off in mid-stream", remedy="send the request again")


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Ended by line feeds alone: separators of other kinds (U+2028, U+0085) may stand within a JSON text."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.rstrip(b"\r").decode(errors="replace")
        if len(rest) > MAX_REPLY_BYTES:
            raise malformed(f"a line of more than {MAX_REPLY_BYTES} bytes")
    if rest:
        yield rest.decode(errors="replace")


def error_message(data: bytes) -> str:
    """What an error reply says, bounded; HTML is named rather than quoted."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        text = data[:SHOWN].decode(errors="replace").strip()
        return "an HTML page" if text[:1] == "<" else text
    return _error_message(value) if isinstance(value, dict) else str(value)[:SHOWN]


def _error_message(value: dict[str, Any]) -> str:
    error = value.get("error", value.get("message", ""))
    return str(error.get("message", error) if isinstance(error, dict) else error)[:SHOWN]


def _completion(choice: Any) -> Completion:
    if not isinstance(choice, dict):
        raise malformed("a choice that is not an object", choice)
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else choice.get("text")
    if not isinstance(text, str):
        raise malformed("a choice without text", choice)
    return Completion(text, _finish(choice), _logprobs(choice.get("logprobs")))


def _finish(choice: dict[str, Any]) -> Finish:
    return "length" if choice.get("finish_reason") == "length" else "stop"


def _logprobs(value: Any) -> tuple[TokenLogprob, ...]:
    """Chat form ({"content": [...]}) or text form ({"tokens": [...], ...}); () for anything else."""
    try:
        if isinstance(value, dict) and isinstance(value.get("content"), list):
            return tuple(_token(item, item.get("top_logprobs") or ()) for item in value["content"])
        if isinstance(value, dict) and isinstance(value.get("tokens"), list):
            tops = value.get("top_logprobs") or [{}] * len(value["tokens"])
            rows = zip(value["tokens"], value["token_logprobs"], tops, strict=True)
            return tuple(
                TokenLogprob(
                    str(token), float(logprob), tuple(TokenLogprob(str(k), float(v)) for k, v in (top or {}).items())
                )
                for token, logprob, top in rows
            )
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise malformed("log-probabilities of an unknown form", value) from error
    return ()


def _token(item: Any, alternatives: Any) -> TokenLogprob:
    others = tuple(_token(other, ()) for other in alternatives)
    return TokenLogprob(str(item["token"]), float(item["logprob"]), others)
