"""Conversions at work: each in a process of its own, told of by its id, which is what it converts."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from services.shared.digest import digest_json

MAX_LINE_BYTES = 1 << 20
KEPT_LOG_CHARACTERS = 2000


class ConversionSpec(BaseModel):
    """`source` is a package's import name or a hub id; `version` empty derives it from the content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["package", "hub"]
    source: str
    model: str
    version: str = ""

    @property
    def identifier(self) -> str:
        return digest_json(self.model_dump())[:32]


class ConversionState(BaseModel):
    """`published` or `error` is set at the end."""

    id: str
    stage: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    published: dict[str, Any] | None = None
    error: dict[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self.published is not None or self.error is not None


class Conversions:
    """Asking for the same conversion again joins the one at work; after a failure it starts anew."""

    def __init__(self) -> None:
        self._states: dict[str, ConversionState] = {}
        self._processes: dict[str, Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, spec: ConversionSpec) -> ConversionState:
        state = self._states.get(spec.identifier)
        if state is not None and state.error is None:
            return state
        state = self._states[spec.identifier] = ConversionState(id=spec.identifier, stage="starting")
        command = [sys.executable, "-m", "services.inference.replica.convert", spec.kind, spec.source, spec.model]
        process = await asyncio.create_subprocess_exec(
            *command, f"--version={spec.version}", stdout=PIPE, stderr=PIPE, limit=MAX_LINE_BYTES
        )
        self._processes[state.id] = process
        task = asyncio.create_task(self._follow(process, state))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return state

    def get(self, identifier: str) -> ConversionState | None:
        return self._states.get(identifier)

    async def stop(self, identifier: str) -> None:
        process = self._processes.get(identifier)
        if process is not None and process.returncode is None:
            process.terminate()
            await process.wait()

    async def _follow(self, process: Process, state: ConversionState) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        log = asyncio.create_task(process.stderr.read())
        async for line in process.stdout:
            for field, value in json.loads(line).items():
                setattr(state, field, value)
        await process.wait()
        del self._processes[state.id]
        if not state.ended:
            tail = (await log).decode(errors="replace")[-KEPT_LOG_CHARACTERS:]
            message = f"the conversion ended with code {process.returncode}: {tail}"
            state.error = {"message": message, "remedy": "free some memory, then register the model again"}
