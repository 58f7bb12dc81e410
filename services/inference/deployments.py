"""Keeping what runs equal to what was declared: level-based, so that any crash on either side heals."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import structlog

from services.inference.registry import ModelVersion, Registry
from services.inference.replica.spec import DeploymentSpec, DeploymentState
from services.inference.replica_side import BROKEN, ReplicaSide
from services.shared.errors import FailedPrecondition, LimaError, Unavailable

logger = structlog.get_logger()

ADMIN_SECONDS = 60.0
FACTS_SECONDS = 5.0
FAILED = ("DEPLOY_FAILED",)
# So many times longer is the wait while all that is wanted runs: asking takes time from the replicas' processors.
CALM = 3


class Deployments:
    """`run` compares every `seconds`, and less often while all is well, until it is cancelled."""

    def __init__(self, registry: Registry, side: ReplicaSide, seconds: float) -> None:
        self._registry = registry
        self._side = side
        self._seconds = seconds
        self._states: dict[str, DeploymentState] = {}
        self._sent: dict[str, DeploymentSpec] = {}
        # What the first generation of a running application showed.
        self._verified: dict[str, str] = {}
        self._reachable = True
        self._settled = False
        self._lock = asyncio.Lock()

    async def run(self) -> None:
        while True:
            try:
                await self.reconcile()
                if not self._reachable:
                    logger.info("replica_side_reached")
                self._reachable = True
            except LimaError as error:
                if self._reachable:
                    logger.warning("replica_side_unreachable", error=error.message)
                self._reachable = self._settled = False
                self._states = {}
            except Exception:
                logger.exception("reconcile_failed")
            await asyncio.sleep(self.pause)

    @property
    def pause(self) -> float:
        """Seconds until the next comparison."""
        return self._seconds * (CALM if self._settled else 1)

    async def reconcile(self) -> None:
        """One comparison: starts what is missing or changed, removes what nobody wants."""
        async with self._lock:
            wanted = {spec.application: spec for spec in map(spec_of, await self._registry.wanted())}
            running = await self.fetch()
            for application, spec in wanted.items():
                # A spec that this process has not sent yet is sent again: for Serve an equal one changes nothing.
                if application not in running or self._sent.get(application) != spec:
                    await self._send("PUT", f"/admin/deployments/{spec.model}/{spec.version}", spec.model_dump())
                    self._sent[application] = spec
                    self._verified.pop(application, None)
            for application in running.keys() - wanted.keys():
                model, _, version = application.partition("--")
                if running[application].state != "DELETING":
                    await self._send("DELETE", f"/admin/deployments/{model}/{version}")
                self._sent.pop(application, None)
            self._states = running
            self._settled = running.keys() == wanted.keys() and all(map(_settled, running.values()))

    async def reconcile_when_reachable(self) -> None:
        """As `reconcile`; a replica side that is starting still is left to the comparison that comes next."""
        with contextlib.suppress(Unavailable):
            await self.reconcile()

    async def fetch(self) -> dict[str, DeploymentState]:
        found = [DeploymentState.model_validate(state) for state in await self._send("GET", "/admin/deployments")]
        states = {state.application: state for state in found}
        self._verified = {name: message for name, message in self._verified.items() if name in states}
        for state in found:
            if state.replicas and not state.message:
                state.message = await self._verification(state)
        return states

    async def _verification(self, state: DeploymentState) -> str:
        """What a replica says of its first generation; empty while it does not answer."""
        if state.application not in self._verified:
            with contextlib.suppress(Unavailable):
                facts = await self._send("GET", f"{state.route}/facts", seconds=FACTS_SECONDS)
                self._verified[state.application] = str(facts.get("verification", ""))
        return self._verified.get(state.application, "")

    def state(self, model: ModelVersion) -> DeploymentState | None:
        """What the last comparison saw; None while there is nothing."""
        return self._states.get(spec_of(model).application)

    def ready(self, model: ModelVersion) -> bool:
        state = self.state(model)
        return state is not None and state.replicas > 0

    async def wait_ready(self, model: ModelVersion, seconds: float) -> DeploymentState:
        """Until a replica has generated. Raises FailedPrecondition with Serve's own words if it cannot."""
        application = spec_of(model).application
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while True:
                    state = (await self._try_fetch()).get(application)
                    if state is not None and application in self._sent:
                        # Whoever was told the end of a load must see it in the model at once.
                        self._states[application] = state
                        if state.state == "RUNNING" and state.replicas:
                            return state
                        if state.state in FAILED:
                            raise FailedPrecondition(
                                f"{model.resource} could not be loaded: {plain_cause(state.message)}",
                                remedy="mend the cause, then load it again",
                            )
                    await asyncio.sleep(0.5)
        raise Unavailable(f"{model.resource} was not ready within {seconds:.0f} s", remedy="look at the replica's log")

    async def _try_fetch(self) -> dict[str, DeploymentState]:
        try:
            return await self.fetch()
        except Unavailable:
            return {}  # the replica side may be starting still

    def forget(self, model: ModelVersion) -> None:
        """The next comparison sends the declaration again, whatever was sent before."""
        self._sent.pop(spec_of(model).application, None)

    async def _send(self, method: str, path: str, body: Any = None, seconds: float = ADMIN_SECONDS) -> Any:
        try:
            async with self._side.open(method, path, body, seconds) as response:
                if response.status >= 400:
                    raise Unavailable(
                        f"the replica side answered {response.status} to {method} {path}", retry_seconds=2
                    )
                return await response.json()
        except BROKEN as error:
            raise Unavailable(
                f"the replica side at {self._side.url} does not answer ({type(error).__name__})",
                remedy="python -m services.inference.replica starts it; LIMA_REPLICA_URL tells where it is",
                retry_seconds=2,
            ) from error


def spec_of(model: ModelVersion) -> DeploymentSpec:
    return DeploymentSpec(
        model=model.name,
        version=model.version,
        prefix=f"models/{model.name}/{model.version}",
        digest=model.digest,
        engine=model.engine,
        min_replicas=model.min_replicas,
        max_replicas=model.max_replicas,
    )


def _settled(state: DeploymentState) -> bool:
    return state.state == "RUNNING" and state.replicas > 0


def plain_cause(message: str) -> str:
    """The last line of a traceback that Serve quotes, which is what a person needs.

    >>> plain_cause("Failed:\\n  File x\\nservices.shared.errors.DataCorrupt: it is cut short\\nremedy: again")
    'it is cut short'
    """
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    for line in reversed(lines):
        head, colon, rest = line.partition(": ")
        if colon and "." in head and " " not in head and rest:
            return rest
    return lines[-1] if lines else "no reason was given"
