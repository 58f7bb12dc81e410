"""python -m services.inference: the gRPC front."""

from __future__ import annotations

import asyncio

from services.inference.service import NAME, assembled
from services.inference.settings import InferenceSettings
from services.shared import logs
from services.shared.rpc.server import serve


async def run(settings: InferenceSettings) -> None:
    async with assembled(settings) as inference:
        await serve(settings, NAME, inference.services, operations=inference.operations)


def main() -> None:
    settings = InferenceSettings()
    logs.configure(settings, NAME)
    asyncio.run(run(settings))


if __name__ == "__main__":
    main()
