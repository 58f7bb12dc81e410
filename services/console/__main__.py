"""python -m services.console            serves the pages
python -m services.console invite NAME [ROLE]   prints a one-time invitation link
"""

from __future__ import annotations

import json
import os
import sys

import uvicorn

from services.console.config import ConsoleSettings
from services.console.invitations import InvitationSigner
from services.console.sessions import Role, valid_name
from services.console.wiring import SERVICE, console
from services.shared.errors import InvalidInput, LimaError
from services.shared.logs import configure


def main(arguments: list[str]) -> int:
    try:
        settings = ConsoleSettings()
        if arguments[:1] == ["invite"] and 2 <= len(arguments) <= 3:
            print(invitation_link(settings, *arguments[1:]))
            return 0
        if arguments:
            print(__doc__, file=sys.stderr)
            return 2
        serve(settings)
    except LimaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def invitation_link(settings: ConsoleSettings, name: str, role: str = Role.ANNOTATOR) -> str:
    """A link that lets `name` in once. Raises InvalidInput for a name or role that cannot be."""
    if not valid_name(name):
        raise InvalidInput("name", name, "must have 1 to 63 letters, digits, spaces or . @ _ -")
    if role not in set(Role):
        raise InvalidInput("role", role, f"must be one of {', '.join(Role)}")
    code = InvitationSigner(settings.secret()).issue(name, Role(role))
    return f"{settings.public_url}/invitation?code={code}"


def serve(settings: ConsoleSettings) -> None:
    """Serves until SIGTERM or SIGINT; open streams get the drain time to end."""
    configure(settings, SERVICE)
    config = uvicorn.Config(
        console(settings),
        host=settings.bind_host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(settings.shutdown_drain_seconds),
    )
    _Server(config, settings).run()


class _Server(uvicorn.Server):
    """Tells in LIMA_READY_FILE where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, settings: ConsoleSettings) -> None:
        super().__init__(config)
        self._settings = settings

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self._settings.ready_file is None or not self.servers:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        told = {"service": SERVICE, "pid": os.getpid(), "address": f"{host}:{port}", "port": port}
        draft = self._settings.ready_file.with_suffix(".draft")
        draft.write_text(json.dumps(told))
        draft.replace(self._settings.ready_file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
