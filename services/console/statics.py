"""Styles and scripts: shipped with the package, cached by browsers for ever under their digest."""

from __future__ import annotations

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from services.console.views import FOLDER


class CachedFiles(StaticFiles):
    def __init__(self) -> None:
        super().__init__(directory=FOLDER / "static")

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if response.status_code == 200:
            # A script imports its neighbours without a digest: those are asked for again each time (304).
            versioned = b"v=" in scope["query_string"]
            response.headers["cache-control"] = "public, max-age=31536000, immutable" if versioned else "no-cache"
        return response
