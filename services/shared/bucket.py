"""Create the bucket of the object store if it is absent: python -m services.shared.bucket [--wait SECONDS]

It waits for a store that does not answer yet.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from services.shared.objects import ObjectStore
from services.shared.program import run_program, until_available
from services.shared.settings import Settings


async def create(settings: Settings, wait_seconds: float) -> None:
    # A program that is asked to create the bucket may, whatever the others are allowed.
    store = ObjectStore.from_settings(settings.model_copy(update={"object_store_create_bucket": True}))
    await until_available(lambda: asyncio.to_thread(store.find_bucket), wait_seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wait", type=float, default=300, metavar="SECONDS", help="default: %(default)s")
    arguments = parser.parse_args()
    return run_program("bucket", lambda settings: create(settings, arguments.wait))


if __name__ == "__main__":
    sys.exit(main())
