"""The door by which the front tells Serve what to run, and has models converted. The front remembers; this acts."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, HTTPException
from ray import serve
from ray.serve.schema import ApplicationStatusOverview

from services.inference.openai_api.errors import install_errors
from services.inference.replica.api import install_guard
from services.inference.replica.conversions import Conversions, ConversionSpec, ConversionState
from services.inference.replica.spec import DeploymentSpec, DeploymentState

ANSWER_SECONDS = 20.0
ROUTE = "/admin"


def build_api(token: str) -> FastAPI:
    api = FastAPI(title="lima deployer", docs_url=None, redoc_url=None, openapi_url=None)
    install_guard(api, token)
    install_errors(api)

    conversions = Conversions()

    @api.get("/deployments")
    async def states() -> list[DeploymentState]:
        applications = (await asyncio.to_thread(serve.status)).applications
        return [_state(name, overview) for name, overview in sorted(applications.items()) if "--" in name]

    @api.put("/deployments/{model}/{version}", status_code=202)
    async def deploy(model: str, version: str, spec: DeploymentSpec) -> dict[str, Any]:
        if (spec.model, spec.version) != (model, version):
            raise HTTPException(400, "the path names another model than the body")
        if await _declared(spec.application) != spec:
            await asyncio.to_thread(_run, spec)
        return {"application": spec.application}

    @api.delete("/deployments/{model}/{version}", status_code=202)
    async def remove(model: str, version: str) -> dict[str, Any]:
        application = f"{model}--{version}"
        if application in (await asyncio.to_thread(serve.status)).applications:
            await asyncio.to_thread(serve.delete, application, _blocking=False)
        return {"application": application}

    add_conversions(api, conversions)
    return api


def add_conversions(api: FastAPI, conversions: Conversions) -> None:
    @api.post("/conversions", status_code=202)
    async def convert(spec: ConversionSpec) -> ConversionState:
        return await conversions.start(spec)

    @api.get("/conversions/{identifier}")
    async def conversion(identifier: str) -> ConversionState:
        state = conversions.get(identifier)
        if state is None:
            raise HTTPException(404, "there is no such conversion")
        return state

    @api.delete("/conversions/{identifier}", status_code=202)
    async def stop(identifier: str) -> dict[str, Any]:
        await conversions.stop(identifier)
        return {"id": identifier}


async def _declared(application: str) -> DeploymentSpec | None:
    """What a running application was started with: sending it again would restart its replicas for nothing."""
    running = (await asyncio.to_thread(serve.status)).applications.get(application)
    if running is None or running.status.value != "RUNNING":
        return None
    handle = serve.get_app_handle(application)
    async with asyncio.timeout(ANSWER_SECONDS):
        return DeploymentSpec.model_validate(await handle.declared.remote())


def _run(spec: DeploymentSpec) -> None:
    from services.inference.replica.app import build_model

    serve.run_many(
        [serve.RunTarget(build_model(spec), name=spec.application, route_prefix=spec.route)],
        wait_for_ingress_deployment_creation=False,
        wait_for_applications_running=False,
    )


def _state(name: str, overview: ApplicationStatusOverview) -> DeploymentState:
    model, _, version = name.partition("--")
    deployments = list(overview.deployments.values())
    messages = [overview.message, *(deployment.message for deployment in deployments)]
    return DeploymentState(
        application=name,
        route=f"/models/{model}/{version}",
        state=overview.status.value,
        message=next((message for message in messages if message), ""),
        replicas=sum(
            count
            for deployment in deployments
            for state, count in deployment.replica_states.items()
            if state == "RUNNING"
        ),
    )
