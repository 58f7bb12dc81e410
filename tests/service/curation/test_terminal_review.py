"""`lima review start` as a person uses it: in a real terminal, with an editor, against a real server."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lima.curation.v1.review_pb2 import GetReviewProgressRequest, ListCandidatesRequest
from tests.conftest import TOKEN
from tests.service.curation.conftest import Client
from tests.service.curation.test_review import QUEUE, fill

PROMPT = "[q]uit > "
SECONDS = 60


class Terminal:
    """A program in a pseudo-terminal: what it printed since the last look, and lines typed to it."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)

    def read_until(self, text: str) -> str:
        seen, end = "", time.monotonic() + SECONDS
        while text not in seen:
            if not select.select([self._ours], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"{text!r} did not come within {SECONDS} s; the screen holds: {seen[-2000:]}")
            try:
                seen += os.read(self._ours, 65536).decode("utf-8", "replace")
            except OSError:  # the program closed the terminal
                raise AssertionError(f"ended without {text!r}; the screen holds: {seen[-2000:]}") from None
        return seen

    def type(self, line: str) -> None:
        os.write(self._ours, f"{line}\n".encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._ours)


@contextmanager
def reviewing(client: Client, tmp_path: Path) -> Iterator[Terminal]:
    editor = tmp_path / "editor.sh"
    editor.write_text('#!/bin/sh\nprintf "<<<<< user\\nEdited?\\n<<<<< assistant\\nEdited, yes.\\n" > "$1"\n')
    editor.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIMA_")}
    environment |= {"LIMA_CURATION_ADDRESS": client.address, "LIMA_TOKEN": TOKEN, "EDITOR": str(editor)}
    environment |= {"TERM": "xterm", "COLUMNS": "100", "LIMA_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "services.cli.main", "review", "start", "reviewed", "--reviewer", "ann"]
    terminal = Terminal(command, environment)
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.mark.timeout(180)
async def test_accept_reject_edit_skip_and_undo_in_a_terminal(client: Client, tmp_path: Path) -> None:
    await fill(client)
    with reviewing(client, tmp_path) as terminal:

        def review() -> list[str]:
            screens = [terminal.read_until(PROMPT)]
            for line in ("a", "r", "too long", "e", "u", "what?", "s"):
                terminal.type(line)
                screens.append(terminal.read_until("why" if line == "r" else PROMPT))
            terminal.type("q")
            screens.append(terminal.read_until("pending"))
            return screens

        screens = await asyncio.to_thread(review)
    assert "USER" in screens[0]
    assert "ASSISTANT" in screens[0]
    assert "score" in screens[0]
    heads = [next((line for line in screen.splitlines() if line.startswith("── ")), "") for screen in screens]
    assert len({heads[0], heads[1], heads[3], heads[4]}) == 4, "each decision brings another candidate"
    assert heads[5] == heads[3], "what was undone comes again"
    assert heads[7] == heads[4], "after it, the one that was left for it"
    assert screens[6].count("[a]ccept") == 2, "a key that means nothing says which do"
    assert "1 accepted, 1 rejected, 0 in conflict" in screens[-1]
    progress = await client.review.GetReviewProgress(GetReviewProgressRequest(parent=QUEUE))
    assert (progress.accepted, progress.rejected, progress.pending) == (1, 1, 4)
    rejected = await client.review.ListCandidates(ListCandidatesRequest(parent=QUEUE, state="rejected"))
    assert [review.reason for review in rejected.candidates[0].reviews] == ["too long"]


@pytest.mark.timeout(180)
async def test_an_edit_is_saved_and_a_queue_ends(client: Client, tmp_path: Path) -> None:
    await fill(client)
    with reviewing(client, tmp_path) as terminal:

        def review() -> str:
            for _ in range(6):
                terminal.read_until(PROMPT)
                terminal.type("e")
            return terminal.read_until("pending")

        last = await asyncio.to_thread(review)
    assert "candidate left to review" in last
    accepted = await client.review.ListCandidates(ListCandidatesRequest(parent=QUEUE, state="accepted"))
    assert len(accepted.candidates) == 6
    assert [turn.content for turn in accepted.candidates[0].reviews[0].messages] == ["Edited?", "Edited, yes."]
