"""Conversations as people write them down, checked into turns.

Understood are {"messages": [...]} with role and content, GAIR/lima's {"conversations": ["...", "..."]}, ShareGPT's
{"conversations": [{"from", "value"}]}, Alpaca's {"instruction", "input", "output"}, {"prompt", "response"} and the
questions of FastChat's benchmarks, {"question_id", "text"} or {"question_id", "turns"}. Replies may be missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from services.shared.records import Role, Turn

Format = Literal["messages", "lima", "sharegpt", "alpaca", "prompt", "question"]
MAX_TURN_CHARACTERS = 400_000
MAX_TURNS = 400
_ROLES: dict[str, Role] = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "bing": "assistant",
    "system": "system",
}


class NotAConversation(ValueError):
    """A record that holds no conversation; the message says why."""


def format_of(record: dict[str, Any]) -> Format:
    """Which format a record is in. Raises NotAConversation."""
    if "messages" in record:
        return "messages"
    if "conversations" in record:
        first = next(iter(record["conversations"] or []), None) if isinstance(record["conversations"], list) else None
        return "sharegpt" if isinstance(first, dict) else "lima"
    if "instruction" in record:
        return "alpaca"
    if "prompt" in record:
        return "prompt"
    judged = {"answer_id", "review_id"} & record.keys()
    if "question_id" in record and ("text" in record or "turns" in record) and not judged:
        return "question"
    raise NotAConversation("none of the fields messages, conversations, instruction, prompt, question_id with text")


def turns_of(record: dict[str, Any], form: Format | None = None) -> tuple[Turn, ...]:
    """The turns of a record: an optional system turn, then user and assistant in turn. Raises NotAConversation."""
    turns = _READERS[form or format_of(record)](record)
    check_turns(turns)
    return tuple(turns)


def check_turns(turns: list[Turn] | tuple[Turn, ...]) -> None:
    """Raises NotAConversation unless turns alternate, begin with the user and hold text."""
    spoken = turns[1:] if turns and turns[0].role == "system" else turns
    if not spoken:
        raise NotAConversation("no turn")
    if len(spoken) > MAX_TURNS:
        raise NotAConversation(f"{len(spoken)} turns; at most {MAX_TURNS} are read")
    for place, turn in enumerate(spoken):
        wanted = "assistant" if place % 2 else "user"
        if turn.role != wanted:
            raise NotAConversation(f"turn {place} is the {turn.role}'s, where the {wanted}'s is due")
        if not turn.content.strip():
            raise NotAConversation(f"turn {place} is empty")
        if len(turn.content) > MAX_TURN_CHARACTERS:
            raise NotAConversation(
                f"turn {place} has {len(turn.content)} characters; at most {MAX_TURN_CHARACTERS} are read"
            )


def _turn(role: object, content: object) -> Turn:
    known = _ROLES.get(role.lower()) if isinstance(role, str) else None
    if known is None:
        raise NotAConversation(f"a turn of {str(role)[:40]!r}; known are {', '.join(sorted(_ROLES))}")
    if not isinstance(content, str):
        raise NotAConversation(f"a turn whose content is a {type(content).__name__}, not a text")
    return Turn(role=known, content=content.replace("\x00", "").strip())


def _list(record: dict[str, Any], field: str) -> list[Any]:
    value = record.get(field)
    if not isinstance(value, list):
        raise NotAConversation(f"{field} is a {type(value).__name__}, not a list")
    return value


def _dicts(field: str, role: str, content: str) -> Callable[[dict[str, Any]], list[Turn]]:
    def read(record: dict[str, Any]) -> list[Turn]:
        turns = []
        for entry in _list(record, field):
            if not isinstance(entry, dict):
                raise NotAConversation(f"{field} holds a {type(entry).__name__}, not an object")
            turns.append(_turn(entry.get(role), entry.get(content)))
        return turns

    return read


def _lima(record: dict[str, Any]) -> list[Turn]:
    return [
        _turn("assistant" if place % 2 else "user", text) for place, text in enumerate(_list(record, "conversations"))
    ]


def _alpaca(record: dict[str, Any]) -> list[Turn]:
    parts = [str(record.get(field) or "").strip() for field in ("instruction", "input")]
    return _answered("\n\n".join(part for part in parts if part), record.get("output"))


def _prompt(record: dict[str, Any]) -> list[Turn]:
    return _answered(record.get("prompt"), record.get("response"))


def _question(record: dict[str, Any]) -> list[Turn]:
    """The first question; those that follow in a chain stand on replies that are not here."""
    return [_turn("user", _list(record, "turns")[0] if record.get("turns") else record.get("text"))]


def _answered(prompt: object, response: object) -> list[Turn]:
    turns = [_turn("user", prompt)]
    return turns if response is None else [*turns, _turn("assistant", response)]


_READERS: dict[Format, Callable[[dict[str, Any]], list[Turn]]] = {
    "messages": _dicts("messages", "role", "content"),
    "lima": _lima,
    "sharegpt": _dicts("conversations", "from", "value"),
    "alpaca": _alpaca,
    "prompt": _prompt,
    "question": _question,
}
