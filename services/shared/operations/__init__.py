"""Long-running operations: kept in the service's database, resumed after a restart, cancellable.

    operations = Operations(database, settings)
    operations.register("build_dataset", build)          # before the server starts

    async def build(context: OperationContext, request: BuildDatasetRequest) -> Dataset:
        await context.report(stage="near-duplicates", done=0, total=rows, unit="rows")
        ...                                               # must be idempotent: it runs again after a crash
        return dataset

    # in the servicer
    return await self.operations.start(
        "build_dataset", request, target="datasets/quickstart", request_id=request.request_id
    )

    await serve(settings, "curation", [service], operations=operations)

Several replicas may share the database: a lease, renewed while the handler runs, keeps each operation
with one of them. In threads use `context.raise_if_cancelled()` and `context.report_from_thread(...)`.
"""

from services.shared.operations.context import OperationContext
from services.shared.operations.runner import Handler, Operations

__all__ = ["Handler", "OperationContext", "Operations"]
