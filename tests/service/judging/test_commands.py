"""`lima judge`, `studies`, `agree` and `report` as a person or a script calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import lima_command
from tests.service.judging.conftest import Judging

TEXTS = {f"p{number}": "word " * (number + 1) for number in range(6)}


async def lima(judging: Judging, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command."""
    return await lima_command.lima(judging.settings, {"judging": judging.address}, *arguments)


@pytest.fixture
def systems(judging: Judging) -> list[str]:
    """Options that name two systems, of which the first gives the longer answers."""
    longer = judging.put_responses("long", {prompt: text * 2 for prompt, text in TEXTS.items()})
    return ["--system", f"long={longer}", "--system", f"short={judging.put_responses('short', TEXTS)}"]


async def test_a_study_from_one_command_to_its_report(judging: Judging, systems: list[str], tmp_path: Path) -> None:
    code, out, err = await lima(judging, "judge", "by-command", *systems, "--judge", "fake")
    assert code == 0, err
    assert "long : short" in out
    assert "100.0%" in out
    assert "12 calls (0 from the cache)" in err
    assert "0.12 USD" in err
    assert "Only 6 prompts were judged" in err
    asked = len(judging.fake.asked)
    code, _, err = await lima(judging, "judge", "by-command", *systems, "--judge", "fake")
    assert (code, len(judging.fake.asked)) == (0, asked), err
    code, out, _ = await lima(judging, "studies", "verdicts", "by-command", "--limit", "3")
    assert (code, out.count("long wins")) == (0, 3)
    page = tmp_path / "page.html"
    code, _, err = await lima(judging, "report", "by-command", "--output", str(page))
    assert code == 0, err
    assert "<h2>Who wins</h2>" in page.read_text()


async def test_a_judge_by_log_probabilities(judging: Judging, systems: list[str]) -> None:
    arguments = ("judge", "by-tokens", *systems, "--judge", "fake", "--logprobs", "--json")
    code, out, err = await lima(judging, *arguments)
    assert code == 0, err
    (pair,) = json.loads(out)["pairs"]
    assert pair["wins"] == len(TEXTS)
    code, out, _ = await lima(judging, "studies", "verdicts", "by-tokens", "--json")
    verdicts: list[dict[str, Any]] = json.loads(out)
    assert all(verdict["reasoning"].startswith("log-probabilities: A ") for verdict in verdicts)


async def test_mistakes_have_their_exit_code_and_remedy(judging: Judging, systems: list[str]) -> None:
    other = judging.put_responses("other", {"elsewhere": "text"})
    code, _, err = await lima(judging, "judge", "wrong", *systems[:2], "--system", f"other={other}", "--judge", "fake")
    assert code == 2
    assert "elsewhere" in err
    assert "same prompts" in err
