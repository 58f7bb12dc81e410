"""Hands a run's selected checkpoint to the inference service, and records under which name it is served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.shared.errors import InvalidInput
from training_jobs.run_folder import RunFolder
from training_jobs.selection import Selection, record
from training_jobs.storage import FolderStorage

if TYPE_CHECKING:
    from services.shared.settings import Settings

WAIT_SECONDS = 60


def register(run: RunFolder, selection: Selection, model: str, settings: Settings) -> Selection:
    """Register the checkpoint as a version of `model`; returns the selection with that version's name, recorded.

    Raises:
        InvalidInput: the run lies in a local folder, where the service cannot read it, or `model` is no name.
        LimaError: what the service refused.
    """
    if isinstance(run.storage, FolderStorage):
        raise InvalidInput("run", run.run, "must lie in the object store, where the inference service can read it")
    from google.longrunning.operations_pb2 import WaitOperationRequest
    from google.longrunning.operations_pb2_grpc import OperationsStub

    from lima.inference.v1.model_pb2 import Model, RegisterModelRequest
    from lima.inference.v1.model_pb2_grpc import ModelServiceStub
    from services.shared.rpc.client import connect_blocking
    from services.shared.rpc.status import from_status

    token = settings.token.get_secret_value() if settings.token else None
    wanted = RegisterModelRequest(model_id=model, folder_uri=run.storage.uri(run.key(selection.checkpoint)))
    with connect_blocking(settings.inference_address, token, settings=settings) as channel:
        operation = ModelServiceStub(channel).RegisterModel(wanted, timeout=WAIT_SECONDS)
        waiting = WaitOperationRequest(name=operation.name)
        waiting.timeout.FromSeconds(WAIT_SECONDS // 2)
        while not operation.done:
            operation = OperationsStub(channel).WaitOperation(waiting, timeout=WAIT_SECONDS)
    if operation.HasField("error"):
        raise from_status(operation.error)
    registered = Model()
    operation.response.Unpack(registered)
    named = selection.model_copy(update={"model": registered.name})
    record(run, named)
    return named
