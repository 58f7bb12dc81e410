"""What the benchmarks of judging run on: real servers as processes of their own, on loopback, in a temporary folder."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from services.shared.objects import ObjectStore
from services.shared.records import Response, Turn
from services.shared.settings import PREFIX, Settings

READY_SECONDS = 120.0


def program_environment(settings: Settings) -> dict[str, str]:
    """The settings as a program of its own reads them."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
    given = settings.model_dump(exclude_none=True, exclude_defaults=True)
    hidden = {
        "token": settings.token.get_secret_value() if settings.token else "",
        "object_store_secret_key": settings.object_store_secret_key.get_secret_value(),
    }
    return own | {f"{PREFIX}{name.upper()}": str(value) for name, value in {**given, **hidden}.items()}


@contextmanager
def running_program(command: Sequence[str], ready: Path, environment: dict[str, str]) -> Iterator[str]:
    """What a program wrote into its ready file, for as long as the block runs it."""
    ready.unlink(missing_ok=True)
    process = subprocess.Popen([sys.executable, "-m", *command], env=environment, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + READY_SECONDS
        while not ready.exists() or not ready.read_text():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{' '.join(command)} did not start (exit code {process.returncode})")
            time.sleep(0.05)
        yield ready.read_text()
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def running_service(name: str, settings: Settings) -> Iterator[str]:
    """The address of one of our services."""
    ready = settings.state_dir / f"{name}.ready.json"
    own = settings.model_copy(update={"ready_file": ready, "log_level": "warning"})
    with running_program([f"services.{name}"], ready, program_environment(own)) as text:
        yield str(json.loads(text)["address"])


def bench_settings(folder: Path, endpoint: str, access_key: str, secret_key: str, **more: object) -> Settings:
    values: dict[str, object] = {
        "state_dir": folder / "state",
        "object_store_endpoint": endpoint,
        "object_store_access_key": access_key,
        "object_store_secret_key": secret_key,
        "token": secrets.token_hex(16),
        **more,
    }
    (folder / "state").mkdir(parents=True, exist_ok=True)
    return Settings(**values)


def put_responses(store: ObjectStore, name: str, prompts: int, words: int) -> str:
    """A response set of made-up answers."""
    rows = (
        Response(
            prompt_id=f"p{number}",
            source="benchmark",
            messages=(Turn(role="user", content=f"What is to be known about subject {number}?"),),
            response=" ".join(f"{name}{number % 97}" for _ in range(words)),
            model=name,
            finish_reason="stop",
            prompt_tokens=10,
            completion_tokens=words,
        )
        for number in range(prompts)
    )
    key = f"responses/{name}.jsonl"
    store.put_bytes(key, "".join(row.model_dump_json() + "\n" for row in rows).encode())
    return store.uri(key)
