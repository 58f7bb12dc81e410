"""What the console is started with: the common settings and a few of its own."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pydantic import Field, SecretStr

from services.shared.settings import HttpUrl, Port, Settings

DEFAULT_PORT = 7860
MINIMUM_SECRET_LENGTH = 32


class ConsoleSettings(Settings):
    port: Port = DEFAULT_PORT
    # Where browsers find the console; https makes cookies Secure. Empty: this machine's loopback.
    console_url: HttpUrl | str = ""
    # Signs cookies and invitation links. Empty: a key made once in the state directory.
    console_secret: SecretStr | None = Field(None, min_length=MINIMUM_SECRET_LENGTH)
    console_session_hours: int = Field(12, ge=1, le=24 * 30)
    # Addresses and networks of reverse proxies, with commas between, whose X-Forwarded-For names the visitor.
    console_proxies: str = ""

    @property
    def public_url(self) -> str:
        return self.console_url or f"http://127.0.0.1:{self.port}"

    @property
    def secure_cookies(self) -> bool:
        return self.public_url.startswith("https://")

    def secret(self) -> bytes:
        """The signing key: the one set, else the state directory's, which is made when first needed."""
        if self.console_secret is not None:
            return self.console_secret.get_secret_value().encode()
        return _kept_secret(self.state_dir / "console.key")


def _kept_secret(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
        # A link fails if the key is there, so that two programs that start together share one.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
    return path.read_text().strip().encode()
