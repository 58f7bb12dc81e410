"""Settings of the inference front."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from services.shared.settings import Port, Seconds, Settings


class InferenceSettings(Settings):
    """What the front needs beyond what every program does."""

    # Folders below this one may be registered by path; without it only folders in the store may.
    model_root: Path | None = None
    # The OpenAI-compatible endpoint; None leaves it off, 0 takes any free port.
    openai_port: Port | None = 0
    # How often declared deployments are compared with those that run.
    reconcile_seconds: Seconds = 2
    load_seconds: Seconds = 1800
    # Admission: tokens (prompt and output that may follow) in flight, in all and per caller; requests waiting.
    admitted_tokens: int = Field(200_000, ge=1)
    admitted_tokens_per_caller: int = Field(150_000, ge=1)
    waiting_requests: int = Field(512, ge=0)
    # Requests that one GenerateResponses keeps in flight.
    response_concurrency: int = Field(32, ge=1, le=1024)
    # Hosts that outside models may be reached at: exact names, or "*.example.org".
    upstream_hosts: tuple[str, ...] = ("api.openai.com", "api.anthropic.com", "generativelanguage.googleapis.com")
    # Folder of files, each holding one key and named as key_secret names it.
    secrets_dir: Path | None = None
    upstream_seconds: Seconds = 300
    upstream_attempts: int = Field(6, ge=1, le=20)
