"""How every program starts and fails: settings, logs, an event loop, and one clear message.

# services/curation/__main__.py
async def main(settings: Settings) -> None: ...

if __name__ == "__main__":
    sys.exit(run_program("curation", main))
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import structlog

from services.shared import logs
from services.shared.errors import LimaError, Unavailable
from services.shared.settings import Settings, misspelt_variables

FAILED = 1
INTERRUPTED = 130
PAUSE_SECONDS = 2.0

S = TypeVar("S", bound=Settings)
T = TypeVar("T")
log = structlog.get_logger()


def run_program(
    name: str,
    main: Callable[[S], Coroutine[Any, Any, None]],
    settings_class: type[S] = Settings,  # type: ignore[assignment]
) -> int:
    """The exit code of `main`. What a person can mend is told without a traceback."""
    try:
        settings = settings_class()
        logs.configure(settings, name)
        for variable, similar in misspelt_variables(settings_class).items():
            log.warning("no such setting", variable=variable, did_you_mean=similar)
        asyncio.run(main(settings))
    except LimaError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


async def until_available(action: Callable[[], Awaitable[T]], seconds: float) -> T:
    """What `action` gives, tried again for up to `seconds` while what it needs is Unavailable."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        try:
            return await action()
        except Unavailable as error:
            if asyncio.get_running_loop().time() + PAUSE_SECONDS > end:
                raise
            log.info("waiting", reason=error.message)
        await asyncio.sleep(PAUSE_SECONDS)
