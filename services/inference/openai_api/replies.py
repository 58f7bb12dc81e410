"""Replies in the OpenAI form, whole and streamed, and errors in theirs."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from typing import Any, Literal

from services.inference.answers import Answer, Completion, Piece, TokenLogprob, Usage

Kind = Literal["chat", "text"]
DONE = b"data: [DONE]\n\n"


def whole(kind: Kind, answer: Answer) -> dict[str, Any]:
    choices = [_choice(kind, index, completion) for index, completion in enumerate(answer.completions)]
    reply = _head(kind, answer.model, streamed=False) | {"choices": choices, "usage": usage(answer.usage)}
    # A field of ours beside theirs; clients ignore what they do not know.
    if answer.deviations:
        reply["deviations"] = list(answer.deviations)
    return reply


class Chunks:
    """Server-sent events of one streamed reply."""

    def __init__(self, kind: Kind, model: str, with_usage: bool) -> None:
        self._kind = kind
        self._with_usage = with_usage
        self._head = _head(kind, model, streamed=True)
        self._opened: set[int] = set()

    def event(self, piece: Piece) -> bytes:
        choice: dict[str, Any] = {"index": piece.index, "finish_reason": piece.finish}
        if self._kind == "chat":
            choice["delta"] = {"content": piece.text} if piece.text else {}
            if piece.index not in self._opened:
                self._opened.add(piece.index)
                choice["delta"]["role"] = "assistant"
        else:
            choice["text"] = piece.text
        choice["logprobs"] = _logprobs(self._kind, piece.logprobs)
        return sse(self._head | {"choices": [choice]} | ({"usage": None} if self._with_usage else {}))

    def last(self, total: Usage, deviations: Sequence[str] = ()) -> bytes:
        """The end; usage, and the deviations of ours beside it, where the client asked for usage."""
        told = {"deviations": list(deviations)} if deviations else {}
        tail = sse(self._head | {"choices": [], "usage": usage(total)} | told) if self._with_usage else b""
        return tail + DONE


def sse(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def usage(value: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": value.prompt_tokens,
        "completion_tokens": value.completion_tokens,
        "total_tokens": value.prompt_tokens + value.completion_tokens,
    }


def error(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _head(kind: Kind, model: str, *, streamed: bool) -> dict[str, Any]:
    if kind == "chat":
        prefix, name = "chatcmpl", "chat.completion.chunk" if streamed else "chat.completion"
    else:
        prefix, name = "cmpl", "text_completion"
    return {"id": f"{prefix}-{secrets.token_hex(12)}", "object": name, "created": int(time.time()), "model": model}


def _choice(kind: Kind, index: int, completion: Completion) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": index,
        "finish_reason": completion.finish,
        "logprobs": _logprobs(kind, completion.logprobs),
    }
    if kind == "chat":
        return choice | {"message": {"role": "assistant", "content": completion.text}}
    return choice | {"text": completion.text}


def _logprobs(kind: Kind, tokens: Sequence[TokenLogprob]) -> dict[str, Any] | None:
    if not tokens:
        return None
    if kind == "chat":
        return {
            "content": [_token(token) | {"top_logprobs": list(map(_token, token.alternatives))} for token in tokens]
        }
    return {
        "tokens": [token.token for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{other.token: other.logprob for other in token.alternatives} for token in tokens],
    }


def _token(token: TokenLogprob) -> dict[str, Any]:
    return {"token": token.token, "logprob": token.logprob, "bytes": list(token.token.encode())}
