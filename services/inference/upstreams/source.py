"""What is known of an outside model, and which are let in."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from urllib.parse import urlsplit

from services.shared.errors import FailedPrecondition, InvalidInput, InvalidInputs, PermissionDenied

SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_KEY_BYTES = 4096


@dataclass(frozen=True, slots=True)
class UpstreamSource:
    """See UpstreamSource in model.proto. `key_secret` names an environment variable or a file of secrets_dir."""

    base_url: str
    model: str
    key_secret: str = ""
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    usd_per_million_prompt_tokens: float = 0.0
    usd_per_million_completion_tokens: float = 0.0
    spend_cap_usd: float = 0.0

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars."""
        prompt = prompt_tokens * self.usd_per_million_prompt_tokens
        return (prompt + completion_tokens * self.usd_per_million_completion_tokens) / 1e6


def check_source(source: UpstreamSource, hosts: tuple[str, ...]) -> None:
    """Raises InvalidInputs for what is malformed and PermissionDenied for a host that is not allowed."""
    parts = urlsplit(source.base_url)
    faults = []
    local = parts.hostname in LOOPBACK
    if parts.scheme not in ("https", "http") or not parts.hostname:
        faults.append(InvalidInput("upstream.base_url", source.base_url, "must be an http or https URL"))
    elif parts.scheme == "http" and not local:
        faults.append(InvalidInput("upstream.base_url", source.base_url, "must be https, except on this machine"))
    if parts.username or parts.password or parts.query or parts.fragment:
        faults.append(InvalidInput("upstream.base_url", "(hidden)", "must hold no credentials, query or fragment"))
    if not source.model or len(source.model) > 256:
        faults.append(InvalidInput("upstream.model", source.model, "must be 1 to 256 characters"))
    if source.key_secret and not SECRET_NAME.fullmatch(source.key_secret):
        # A key pasted here must not be echoed into logs.
        faults.append(InvalidInput("upstream.key_secret", "(hidden)", "must be the name of a secret, not the key"))
    for field in ("usd_per_million_prompt_tokens", "usd_per_million_completion_tokens", "spend_cap_usd"):
        value = getattr(source, field)
        if not 0 <= value < 1e9:
            faults.append(InvalidInput(f"upstream.{field}", value, "must be at least 0"))
    if source.spend_cap_usd and not source.cost(1, 1):
        rule = "needs a price of prompt or completion tokens: without one nothing would ever be spent"
        faults.append(InvalidInput("upstream.spend_cap_usd", source.spend_cap_usd, rule))
    if faults:
        raise InvalidInputs(faults)
    host = parts.hostname or ""
    if not local and not any(fnmatch(host, pattern) for pattern in hosts):
        raise PermissionDenied(
            f"host {host!r} is not among those allowed ({', '.join(hosts) or 'none'})",
            remedy="add it to LIMA_UPSTREAM_HOSTS where the inference service is started",
        )


def read_key(name: str, secrets_dir: Path | None) -> str:
    """The key that a secret's name stands for: a file of `secrets_dir`, else an environment variable; never logged."""
    if not name:
        return ""
    if not SECRET_NAME.fullmatch(name):
        raise InvalidInput("upstream.key_secret", "(hidden)", "must be the name of a secret, not the key")
    path = secrets_dir / name if secrets_dir else None
    if path is not None and path.is_file():
        key = path.read_bytes()[:MAX_KEY_BYTES].decode().strip()
    else:
        key = os.environ.get(name, "").strip()
    if not key:
        raise FailedPrecondition(
            f"secret {name!r} is empty or not there", remedy=f"set {name} where the inference service is started"
        )
    return key
