"""ModelService: protobuf to the domain and back, nothing else."""

from __future__ import annotations

from typing import Any

from google.longrunning import operations_pb2

from lima.inference.v1 import model_pb2
from services.inference import translate
from services.inference.deployments import Deployments
from services.inference.names import check_model_id, parse_reference
from services.inference.registration import Registrar
from services.inference.registry import ModelVersion, Registry
from services.inference.replica.spec import DeploymentState
from services.shared.errors import FailedPrecondition, InvalidInput
from services.shared.operations import OperationContext, Operations
from services.shared.paging import decode_page_token, encode_page_token, page_size
from services.shared.rpc.principal import current

REGISTER, LOAD = "register_model", "load_model"
ENGINES = ("", "openvino", "torch", "transformers", "vllm")
MAX_REPLICAS = 256


class ModelServicer:
    def __init__(
        self,
        registry: Registry,
        registrar: Registrar,
        deployments: Deployments,
        operations: Operations,
        load_seconds: float,
    ) -> None:
        self._registry = registry
        self._registrar = registrar
        self._deployments = deployments
        self._operations = operations
        self._load_seconds = load_seconds
        operations.register(REGISTER, self._register)
        operations.register(LOAD, self._load)

    async def RegisterModel(self, request: model_pb2.RegisterModelRequest, context: Any) -> operations_pb2.Operation:
        wanted = translate.registration_from(request)
        return await self._operations.start(
            REGISTER, request, target=f"models/{wanted.model}", request_id=request.request_id
        )

    async def GetModel(self, request: model_pb2.GetModelRequest, context: Any) -> model_pb2.Model:
        return self._shown(await self._registry.get(parse_reference(request.name, "name")))

    async def ListModels(self, request: model_pb2.ListModelsRequest, context: Any) -> model_pb2.ListModelsResponse:
        size = page_size(request.page_size)
        after = decode_page_token(request.page_token)
        rows = await self._registry.page(tuple(after) if after else None, size + 1)
        last = rows[size - 1] if len(rows) > size else None
        token = encode_page_token([last.name, last.serial]) if last else ""
        return model_pb2.ListModelsResponse(models=map(self._shown, rows[:size]), next_page_token=token)

    async def LoadModel(self, request: model_pb2.LoadModelRequest, context: Any) -> operations_pb2.Operation:
        model = await self._own(request.name)
        _declaration(request)
        return await self._operations.start(LOAD, request, target=model.resource, request_id=request.request_id)

    async def UnloadModel(self, request: model_pb2.UnloadModelRequest, context: Any) -> model_pb2.Model:
        model = await self._registry.declare(await self._own(request.name), wanted=False)
        return self._shown(model)

    async def SetAlias(self, request: model_pb2.SetAliasRequest, context: Any) -> model_pb2.Alias:
        model = await self._registry.get(parse_reference(request.model))
        if model.wanted and not self._deployments.ready(model):
            raise FailedPrecondition(f"{model.resource} is not ready yet", remedy="wait for the operation of LoadModel")
        return translate.alias_to(await self._registry.set_alias(_alias(request.name), model, current().name))

    async def GetAlias(self, request: model_pb2.GetAliasRequest, context: Any) -> model_pb2.Alias:
        return translate.alias_to(await self._registry.get_alias(_alias(request.name)))

    async def RollbackAlias(self, request: model_pb2.RollbackAliasRequest, context: Any) -> model_pb2.Alias:
        return translate.alias_to(await self._registry.roll_back(_alias(request.name), current().name))

    async def _register(self, context: OperationContext, request: model_pb2.RegisterModelRequest) -> model_pb2.Model:
        async def report(stage: str, done: int, total: int, unit: str) -> None:
            await context.report(stage=stage, done=done, total=total, unit=unit)

        return self._shown(await self._registrar.register(translate.registration_from(request), report))

    async def _load(self, context: OperationContext, request: model_pb2.LoadModelRequest) -> model_pb2.Model:
        model = await self._registry.declare(await self._own(request.name), **_declaration(request), wanted=True)
        await context.report(stage="starting replicas", done=0, total=model.min_replicas, unit="replicas")
        self._deployments.forget(model)
        await self._deployments.reconcile_when_reachable()
        state = await self._deployments.wait_ready(model, self._load_seconds)
        return self._shown(model, state)

    async def _own(self, name: str) -> ModelVersion:
        model = await self._registry.get(parse_reference(name, "name"))
        if model.kind != "replica":
            raise FailedPrecondition(f"{model.resource} has no replica of ours: it answers already")
        return model

    def _shown(self, model: ModelVersion, state: DeploymentState | None = None) -> model_pb2.Model:
        known = model.kind == "replica" and model.wanted
        return translate.model_to(model, state or (self._deployments.state(model) if known else None))


def _alias(name: str) -> str:
    return check_model_id(name.removeprefix("aliases/"), "name")


def _declaration(request: model_pb2.LoadModelRequest) -> dict[str, Any]:
    least = request.min_replicas if request.HasField("min_replicas") else 1
    most = request.max_replicas if request.HasField("max_replicas") else max(least, 1)
    if not 1 <= least <= MAX_REPLICAS:
        raise InvalidInput("min_replicas", least, f"must be in [1, {MAX_REPLICAS}]")
    if not least <= most <= MAX_REPLICAS:
        raise InvalidInput("max_replicas", most, f"must be in [min_replicas, {MAX_REPLICAS}]")
    if request.engine not in ENGINES:
        raise InvalidInput(
            "engine", request.engine, "must be openvino, torch, transformers, vllm, or empty for the best"
        )
    return {"min_replicas": least, "max_replicas": most, "engine": request.engine}
