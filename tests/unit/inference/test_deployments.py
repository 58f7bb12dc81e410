"""How often the front asks the replica side how things are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

from aiohttp import web

from services.inference.deployments import CALM, Deployments
from services.inference.registry import ModelVersion, Registry
from services.inference.replica_side import ReplicaSide

MODEL = ModelVersion("m", "v1", "replica", "s3://b/m", "0" * 64, wanted=True)


class FakeRegistry:
    async def wanted(self) -> list[ModelVersion]:
        return [MODEL]


class FakeDeployer:
    """Says of the one model what a test wants it to say."""

    def __init__(self) -> None:
        self.state = "DEPLOYING"
        self.declared = 0

    async def deployments(self, request: web.Request) -> web.Response:
        state = {"application": "m--v1", "route": "/models/m/v1", "state": self.state}
        return web.json_response([state | {"replicas": int(self.state == "RUNNING"), "message": "as it should"}])

    async def declare(self, request: web.Request) -> web.Response:
        self.declared += 1
        return web.json_response({})


@asynccontextmanager
async def deployed(deployer: FakeDeployer) -> AsyncIterator[tuple[Deployments, web.AppRunner]]:
    """Comparisons that go on against the fake, a hundred a second, and what serves the fake."""
    app = web.Application()
    app.router.add_get("/admin/deployments", deployer.deployments)
    app.router.add_put("/admin/deployments/m/v1", deployer.declare)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    side = ReplicaSide(f"http://127.0.0.1:{runner.addresses[0][1]}", "")
    deployments = Deployments(cast("Registry", FakeRegistry()), side, 0.01)
    task = asyncio.create_task(deployments.run())
    try:
        yield deployments, runner
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await side.close()
        await runner.cleanup()


async def becomes(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 (nothing tells when)
            await asyncio.sleep(0.01)


async def test_it_asks_less_often_while_all_that_is_wanted_runs() -> None:
    deployer = FakeDeployer()
    async with deployed(deployer) as (deployments, runner):
        await becomes(lambda: deployments.state(MODEL))
        assert deployments.pause == 0.01
        deployer.state = "RUNNING"
        await becomes(lambda: deployments.ready(MODEL))
        assert deployments.pause == 0.01 * CALM

        deployer.state = "UNHEALTHY"
        await becomes(lambda: not deployments.ready(MODEL))
        assert deployments.pause == 0.01

        deployer.state = "RUNNING"
        await becomes(lambda: deployments.ready(MODEL))
        await runner.cleanup()
        await becomes(lambda: not deployments.ready(MODEL))
        assert deployments.pause == 0.01
    assert deployer.declared == 1
