"""`lima models`, `chat`, `generate` and `score` as a person or a script calls them."""

from __future__ import annotations

import json
from typing import Any

from tests.fixtures import lima_command
from tests.service.inference.conftest import Stack


async def lima(stack: Stack, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    return await lima_command.lima(stack.settings, {"inference": stack.address}, *arguments)


async def answer(stack: Stack, *arguments: str) -> Any:
    """The JSON that a command prints."""
    code, out, err = await lima(stack, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


async def test_models_are_registered_loaded_and_listed(stack: Stack) -> None:
    made = await answer(stack, "models", "register", "tiny", "--folder", "tiny", "--version", "v1")
    assert made["name"] == "models/tiny/versions/v1"
    loaded = await answer(stack, "models", "load", "tiny")
    assert loaded["state"] == "STATE_READY"
    assert [model["name"] for model in await answer(stack, "models", "list")] == ["models/tiny/versions/v1"]
    alias = await answer(stack, "models", "alias", "best", "tiny")
    assert alias["model"] == "models/tiny/versions/v1"
    code, out, err = await lima(stack, "models", "list")
    assert code == 0
    assert "models/tiny/versions/v1" in out
    assert "lima chat MODEL" in err


async def test_chat_loads_the_model_and_streams(stack: Stack) -> None:
    await stack.register("tiny", folder_uri="tiny")
    code, out, err = await lima(stack, "chat", "tiny", "--once", "tea cup", "--max-tokens", "6", "--seed", "1")
    assert code == 0, err
    said = await answer(stack, "chat", "tiny", "--once", "tea cup", "--max-tokens", "6", "--seed", "1")
    assert out.rstrip("\n") == said[0]["answer"].rstrip("\n")


async def test_generate_one_text_and_a_set(ready: Stack) -> None:
    one = await answer(ready, "generate", "tiny", "--prompt", "tea", "--max-tokens", "4", "-n", "2")
    assert len(one["completions"]) == 2
    made = await answer(ready, "generate", "tiny", "--prompts", ready.put_prompts(3), "--max-tokens", "4")
    assert made["response_count"] == 3
    assert [item["name"] for item in await answer(ready, "generate", "--list")] == [made["name"]]


async def test_score_of_continuations(ready: Stack) -> None:
    reply = await answer(ready, "score", "tiny", "--prompt", "tea?", "--continuation", "Yes", "--continuation", "No")
    assert len(reply["scores"]) == 2


async def test_bad_input_has_its_exit_code_and_remedy(stack: Stack) -> None:
    code, _, err = await lima(stack, "models", "register", "tiny")
    assert code == 2
    assert "exactly one of --package" in err
    code, _, err = await lima(stack, "chat", "nobody", "--once", "hi")
    assert code == 3
    assert "lima models list" in err
    code, _, err = await lima(stack, "generate", "tiny", "--prompt", "a", "--prompts", "b")
    assert code == 2
