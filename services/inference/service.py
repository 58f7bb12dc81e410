"""The inference service put together: used by `__main__` and by tests alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from lima.inference.v1 import inference_pb2, inference_pb2_grpc, model_pb2, model_pb2_grpc
from services.inference.admission import Admission
from services.inference.backends.base import Backend
from services.inference.backends.replica import ReplicaBackend
from services.inference.deployments import Deployments, spec_of
from services.inference.generation import Generation
from services.inference.model_servicer import ModelServicer
from services.inference.registration import Registrar
from services.inference.registry import ModelVersion, Registry
from services.inference.replica_side import ReplicaSide
from services.inference.responses import ResponseSets
from services.inference.routing import Open, Router
from services.inference.servicer import InferenceServicer
from services.inference.settings import InferenceSettings
from services.inference.upstreams.client import UpstreamBackend
from services.inference.upstreams.ledger import AnswerCache, Ledger
from services.inference.upstreams.recorded import RecordedBackend, read_recording
from services.inference.upstreams.source import UpstreamSource, read_key
from services.shared.database import Database
from services.shared.objects import ObjectStore
from services.shared.operations import Operations
from services.shared.rpc.principal import Role
from services.shared.rpc.server import Service

NAME = "inference"
MIGRATIONS = Path(__file__).parent / "migrations"

INFERENCE_ROLES = {
    "Generate": Role.ANNOTATOR,
    "StreamGenerate": Role.ANNOTATOR,
    "Chat": Role.ANNOTATOR,
    "StreamChat": Role.ANNOTATOR,
    "Score": Role.ANNOTATOR,
    "GetResponseSet": Role.VIEWER,
    "ListResponseSets": Role.VIEWER,
}
MODEL_ROLES = {"GetModel": Role.VIEWER, "ListModels": Role.VIEWER, "GetAlias": Role.VIEWER}


@dataclass(frozen=True)
class Inference:
    """The parts that a server is made of."""

    services: list[Service]
    operations: Operations
    generation: Generation
    registry: Registry
    deployments: Deployments
    router: Router


@asynccontextmanager
async def assembled(settings: InferenceSettings) -> AsyncIterator[Inference]:
    """Everything but the gRPC server itself, with the comparison of deployments running."""
    database = Database.open(settings, NAME, MIGRATIONS)
    await database.migrate()
    token = settings.token.get_secret_value() if settings.token else ""
    side = ReplicaSide(settings.replica_url, token)
    store = ObjectStore.from_settings(settings)
    registry = Registry(database)
    deployments = Deployments(registry, side, settings.reconcile_seconds)
    # Redirects are not followed: they could lead a key to a host that is not allowed.
    outside = httpx.AsyncClient(timeout=httpx.Timeout(settings.upstream_seconds, connect=10), follow_redirects=False)
    router = Router(registry, deployments, _openers(settings, database, store, side, outside))
    operations = Operations(database, settings)
    generation = Generation(
        router,
        Admission(settings.admitted_tokens, settings.admitted_tokens_per_caller, settings.waiting_requests),
    )
    registrar = Registrar(registry, store, side, model_root=settings.model_root, upstream_hosts=settings.upstream_hosts)
    sets = ResponseSets(database, store, settings.response_concurrency)
    inference = InferenceServicer(generation, sets, router, operations)
    models = ModelServicer(registry, registrar, deployments, operations, settings.load_seconds)
    comparing = asyncio.create_task(deployments.run(), name="deployments")
    try:
        yield Inference(_services(inference, models), operations, generation, registry, deployments, router)
    finally:
        comparing.cancel()
        with suppress(asyncio.CancelledError):
            await comparing
        await side.close()
        await outside.aclose()
        await database.close()


def _services(inference: InferenceServicer, models: ModelServicer) -> list[Service]:
    return [
        Service(
            inference_pb2.DESCRIPTOR.services_by_name["InferenceService"],
            inference_pb2_grpc.add_InferenceServiceServicer_to_server,
            inference,
            roles=INFERENCE_ROLES,
        ),
        Service(
            model_pb2.DESCRIPTOR.services_by_name["ModelService"],
            model_pb2_grpc.add_ModelServiceServicer_to_server,
            models,
            roles=MODEL_ROLES,
        ),
    ]


def _openers(
    settings: InferenceSettings,
    database: Database,
    store: ObjectStore,
    side: ReplicaSide,
    outside: httpx.AsyncClient,
) -> dict[str, Open]:
    def replica(model: ModelVersion) -> Backend:
        return ReplicaBackend(side, model.resource, spec_of(model).route)

    def recorded(model: ModelVersion) -> Backend:
        return RecordedBackend(model.resource, read_recording(store, model.uri))

    def upstream(model: ModelVersion) -> Backend:
        source = UpstreamSource(**json.loads(model.source))
        return UpstreamBackend(
            model.resource,
            source,
            outside,
            Ledger(database),
            AnswerCache(database),
            key=lambda: read_key(source.key_secret, settings.secrets_dir),
            attempts=settings.upstream_attempts,
        )

    return {"replica": replica, "recorded": recorded, "upstream": upstream}
