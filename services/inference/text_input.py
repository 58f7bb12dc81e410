"""Rules that every prompt obeys, whichever door it comes through."""

from __future__ import annotations

from collections.abc import Sequence

from services.shared.errors import InvalidInput
from services.shared.records import Turn

# Characters. Above what the longest context of a served model can hold, below what would hurt to tokenise.
MAX_PROMPT_CHARACTERS = 1_000_000
MAX_TURNS = 1000
ROLES = ("system", "user", "assistant")


def check_prompt(prompt: str, field: str = "prompt") -> str:
    if not prompt:
        raise InvalidInput(field, prompt, "must not be empty")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise InvalidInput(field, f"{len(prompt)} characters", f"must be at most {MAX_PROMPT_CHARACTERS} characters")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise InvalidInput(field, "a lone surrogate", "must be valid UTF-8") from None
    if "\0" in prompt:
        raise InvalidInput(field, "a NUL character", "must not hold NUL characters")
    return prompt


def check_turns(turns: Sequence[tuple[str, str]], field: str = "messages") -> tuple[Turn, ...]:
    """An optional system turn, then user and assistant in turn, ending with user."""
    if not turns:
        raise InvalidInput(field, [], "must hold at least one user turn")
    if len(turns) > MAX_TURNS:
        raise InvalidInput(field, f"{len(turns)} turns", f"must hold at most {MAX_TURNS} turns")
    for index, (role, content) in enumerate(turns):
        if role not in ROLES:
            raise InvalidInput(f"{field}[{index}].role", role, "must be system, user or assistant")
        check_prompt(content, f"{field}[{index}].content")
    total = sum(len(content) for _, content in turns)
    if total > MAX_PROMPT_CHARACTERS:
        raise InvalidInput(field, f"{total} characters", f"must be at most {MAX_PROMPT_CHARACTERS} characters together")
    talk = [role for role, _ in turns]
    offset = 1 if talk[0] == "system" else 0
    for index, role in enumerate(talk[offset:]):
        expected = "assistant" if index % 2 else "user"
        if role != expected:
            rule = f"must be {expected}: an optional system turn comes first, then user and assistant in turn"
            raise InvalidInput(f"{field}[{index + offset}].role", role, rule)
    if talk[-1] != "user":
        raise InvalidInput(f"{field}[{len(talk) - 1}].role", talk[-1], "must be user: the model answers the last turn")
    return tuple(Turn(role=role, content=content) for role, content in turns)
