"""Where an experiment's work is done: on this machine's stack, or on a platform in a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from services.cli.experiment.training import follow_run
from services.cli.stack.space import while_there_is_space

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from services.cli.experiment.document import Run
    from services.cli.output import Progress
    from services.cli.stack.stack import Stack
    from services.shared.objects import ObjectStore
    from services.shared.records import RunStatus
    from services.shared.settings import Settings


T = TypeVar("T")


class Site(Protocol):
    def settings(self) -> Settings:
        """Settings that reach the services and the store."""

    def start(self, *components: str) -> object:
        """Start what a step needs, where this site starts things."""

    async def watched(self, work: Awaitable[T]) -> T:
        """What `work` returns, unless this site runs out of what it needs."""

    async def train(self, run: Run, spec: Any, store: ObjectStore, progress: Progress) -> RunStatus:
        """Train `spec`, the TrainingSpec of `run`, to its end, or find it trained. The status names the run's folder.

        Raises FailedPrecondition with the run's own message if it fails.
        """


@dataclass(frozen=True)
class LocalSite:
    """The stack of this machine."""

    stack: Stack

    def settings(self) -> Settings:
        return self.stack.settings()

    def start(self, *components: str) -> object:
        return self.stack.start(*components)

    async def watched(self, work: Awaitable[T]) -> T:
        return await while_there_is_space(self.stack.layout, work)

    async def train(self, run: Run, spec: Any, store: ObjectStore, progress: Progress) -> RunStatus:
        return await follow_run(self.stack, store, spec, progress)
