"""google.longrunning.Operations over gRPC."""

from __future__ import annotations

import re
from typing import Any

from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2

from services.shared.errors import InvalidInput
from services.shared.operations.runner import PREFIX, Operations
from services.shared.operations.table import table
from services.shared.paging import decode_page_token, encode_page_token, page_size
from services.shared.rpc.principal import Role
from services.shared.rpc.server import Service

DEFAULT_WAIT_SECONDS = 20.0
LONGEST_WAIT_SECONDS = 600.0
CONDITION = re.compile(r'(done)=(true|false)|(target|kind)="([^"]*)"')


class OperationsServicer(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]
    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def GetOperation(self, request: operations_pb2.GetOperationRequest, context: Any) -> operations_pb2.Operation:
        return await self._operations.get(request.name)

    async def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context: Any
    ) -> operations_pb2.ListOperationsResponse:
        size = page_size(request.page_size)
        query = {"name": request.name, "filter": request.filter}
        before = decode_page_token(request.page_token, query=query)
        found = await self._operations.list(parse_filter(request.filter), before, size + 1)
        more = len(found) > size
        token = encode_page_token(found[size - 1].name.removeprefix(PREFIX), query=query) if more else ""
        return operations_pb2.ListOperationsResponse(operations=found[:size], next_page_token=token)

    async def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: Any
    ) -> operations_pb2.Operation:
        seconds = DEFAULT_WAIT_SECONDS
        if request.HasField("timeout"):
            seconds = max(request.timeout.ToMilliseconds() / 1000, 0)
        remaining = context.time_remaining()
        if remaining is not None:
            # Answer before the caller stops listening.
            seconds = min(seconds, remaining * 0.9)
        seconds = min(seconds, LONGEST_WAIT_SECONDS)
        return await self._operations.wait(request.name, seconds)

    async def CancelOperation(self, request: operations_pb2.CancelOperationRequest, context: Any) -> empty_pb2.Empty:
        await self._operations.cancel(request.name)
        return empty_pb2.Empty()

    async def DeleteOperation(self, request: operations_pb2.DeleteOperationRequest, context: Any) -> empty_pb2.Empty:
        await self._operations.delete(request.name)
        return empty_pb2.Empty()


def parse_filter(text: str) -> list[Any]:
    """Conditions joined by AND: `done=true`, `target="datasets/quickstart"`, `kind="build_dataset"`."""
    conditions: list[Any] = []
    for part in text.split(" AND ") if text.strip() else []:
        match = CONDITION.fullmatch(part.strip())
        if match is None:
            rule = 'must be conditions joined by AND: done=true, done=false, target="..." or kind="..."'
            raise InvalidInput("filter", text, rule)
        done, truth, column, value = match.groups()
        conditions.append(table.c.done.is_(truth == "true") if done else table.c[column] == value)
    return conditions


def operations_service(operations: Operations) -> Service:
    return Service(
        operations_pb2.DESCRIPTOR.services_by_name["Operations"],
        operations_pb2_grpc.add_OperationsServicer_to_server,
        OperationsServicer(operations),
        roles={"GetOperation": Role.VIEWER, "ListOperations": Role.VIEWER, "WaitOperation": Role.VIEWER},
    )
