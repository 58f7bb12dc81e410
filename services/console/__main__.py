"""python -m services.console                    serves the pages
python -m services.console invite NAME [ROLE]     prints a one-time invitation link
"""

from __future__ import annotations

import json
import os
import socket
import sys

import uvicorn

from services.console.config import ConsoleSettings
from services.console.invitations import InvitationSigner
from services.console.sessions import Role, valid_name
from services.console.wiring import SERVICE, console
from services.shared.errors import InvalidInput
from services.shared.program import run_program


def main(arguments: list[str]) -> int:
    if not arguments:
        return run_program(SERVICE, serve, ConsoleSettings)
    if arguments[0] != "invite" or not 2 <= len(arguments) <= 3:
        print(__doc__, file=sys.stderr)
        return 2

    async def invite(settings: ConsoleSettings) -> None:
        print(invitation_link(settings, *arguments[1:]))

    return run_program(SERVICE, invite, ConsoleSettings)


def invitation_link(settings: ConsoleSettings, name: str, role: str = Role.ANNOTATOR) -> str:
    """A link that lets `name` in once. Raises InvalidInput for a name or role that cannot be."""
    if not valid_name(name):
        raise InvalidInput("name", name, "must have 1 to 63 letters, digits, spaces or . @ _ -")
    if role not in set(Role):
        raise InvalidInput("role", role, f"must be one of {', '.join(Role)}")
    code = InvitationSigner(settings.secret()).issue(name, Role(role))
    return f"{settings.public_url}/invitation?code={code}"


async def serve(settings: ConsoleSettings) -> None:
    """Serves until SIGTERM or SIGINT; open streams get the drain time to end."""
    config = uvicorn.Config(
        console(settings),
        host=settings.bind_host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        # A header that anybody can write counts only from where a proxy stands.
        proxy_headers=bool(settings.console_proxies),
        forwarded_allow_ips=settings.console_proxies,
        timeout_graceful_shutdown=int(settings.shutdown_drain_seconds),
    )
    await ToldServer(config, settings).serve()


class ToldServer(uvicorn.Server):
    """Tells in LIMA_READY_FILE where it listens, once it does."""

    def __init__(self, config: uvicorn.Config, settings: ConsoleSettings) -> None:
        super().__init__(config)
        self._settings = settings

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._settings.ready_file is None or not self.started:
            return
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        told = {"service": SERVICE, "pid": os.getpid(), "address": f"{host}:{port}", "port": port}
        draft = self._settings.ready_file.with_suffix(".draft")
        draft.write_text(json.dumps(told))
        draft.replace(self._settings.ready_file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
