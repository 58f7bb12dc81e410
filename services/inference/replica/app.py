"""The Ray Serve applications: the deployer, always there, and one per model version, started by it.

For a RayService the import path is `services.inference.replica.app:build_deployer`.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI
from ray import serve
from ray.serve import Application, Deployment

import lima.inference
import services.shared
from services.inference.replica.spec import DeploymentSpec

logger = structlog.get_logger()

# Serve keeps this many requests at a replica; the engine's own queue orders them.
MAX_ONGOING = 1024


class ModelReplica:
    """One replica of one model version. It exists for Serve only once it has really generated."""

    # Serve awaits it: the engine's first generation needs the event loop.
    async def __init__(self, spec: dict[str, Any]) -> None:  # type: ignore[misc]
        from services.inference.replica.engines.choice import EngineOptions
        from services.inference.replica.model import ServedModel
        from services.inference.replica.settings import ReplicaSettings
        from services.inference.replica.weights import fetch_weights
        from services.shared.objects import ObjectStore

        settings = ReplicaSettings()
        wanted = DeploymentSpec.model_validate(spec)
        store = ObjectStore.from_settings(settings)
        folder = await asyncio.to_thread(fetch_weights, store, settings.weights_folder, wanted)
        options = EngineOptions(
            wanted.engine, settings.replica_slots, settings.replica_context, settings.replica_threads
        )
        self._model = await asyncio.to_thread(ServedModel, wanted.resource, folder, options)
        self._verification = await self._model.verify()
        self._spec = spec
        self._token = settings.token.get_secret_value() if settings.token else ""
        logger.info("replica_ready", model=wanted.resource, pid=os.getpid(), verification=self._verification.message)

    def __serve_build_asgi_app__(self) -> FastAPI:
        from services.inference.replica.api import build_api

        return build_api(self._model, self._verification, self._token)

    def declared(self) -> dict[str, Any]:
        """What this replica was started with, for the deployer."""
        return self._spec

    def check_health(self) -> None:
        """Serve replaces the replica when this raises."""
        self._model.engine.check()


class Deployer:
    """Turns declared deployments into Serve applications; it keeps no state of its own."""

    def __serve_build_asgi_app__(self) -> FastAPI:
        from services.inference.replica.deployer import build_api
        from services.inference.replica.settings import ReplicaSettings

        settings = ReplicaSettings()
        return build_api(settings.token.get_secret_value() if settings.token else "")


MODEL: Deployment = serve.deployment(name="model")(serve.ingress()(ModelReplica))
DEPLOYER: Deployment = serve.deployment(name="deployer", ray_actor_options={"num_cpus": 0})(serve.ingress()(Deployer))


def build_model(spec: DeploymentSpec) -> Application:
    """The application of one model version."""
    from services.inference.replica.settings import ReplicaSettings

    settings = ReplicaSettings()
    return MODEL.options(
        autoscaling_config={
            "min_replicas": spec.min_replicas,
            "max_replicas": spec.max_replicas,
            "initial_replicas": spec.min_replicas,
            "target_ongoing_requests": settings.replica_target_requests,
            "upscale_delay_s": settings.replica_upscale_seconds,
            "downscale_delay_s": settings.replica_downscale_seconds,
            # The load is the mean over this time: no longer than the wait that follows from it.
            "look_back_period_s": max(1.0, min(30.0, settings.replica_upscale_seconds)),
        },
        max_ongoing_requests=MAX_ONGOING,
        # A replacement answers before the replica that it replaces stops; without this a lone replica leaves a gap.
        max_surge_percent=100,
        graceful_shutdown_timeout_s=settings.replica_drain_seconds,
        health_check_period_s=5,
        health_check_timeout_s=60,
        max_constructor_retry_count=2,
        ray_actor_options={
            "num_cpus": settings.replica_cpus,
            "num_gpus": settings.replica_gpus,
            "runtime_env": _environment(spec, settings.replica_vllm_python),
        },
    ).bind(spec.model_dump())


def _environment(spec: DeploymentSpec, vllm_python: Path | None) -> dict[str, Any]:
    """Where a replica's process runs: in vLLM's own environment if it is a vLLM one and there is such a one."""
    if spec.engine != "vllm" or vllm_python is None:
        return {}
    # That environment holds what our code needs, but not our code.
    ours = (services.shared.__path__[0], lima.inference.__path__[0])
    roots = [str(Path(folder).parents[1]) for folder in ours]
    return {"py_executable": str(vllm_python), "env_vars": {"PYTHONPATH": os.pathsep.join(roots)}}


def build_deployer(arguments: dict[str, str] | None = None) -> Application:
    """The application that a RayService (or `python -m services.inference.replica`) starts."""
    return DEPLOYER.bind()
