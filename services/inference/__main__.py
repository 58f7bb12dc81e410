"""python -m services.inference: the gRPC front, and its OpenAI-compatible endpoint."""

from __future__ import annotations

import sys

from services.inference.openai_front import serving
from services.inference.service import NAME, assembled
from services.inference.settings import InferenceSettings
from services.shared.program import run_program
from services.shared.rpc.server import serve


async def main(settings: InferenceSettings) -> None:
    async with (
        assembled(settings) as inference,
        serving(settings, inference.generation, inference.registry),
    ):
        await serve(settings, NAME, inference.services, operations=inference.operations)


if __name__ == "__main__":
    sys.exit(run_program(NAME, main, InferenceSettings))
