"""The services behind the pages: one channel to each, and how long a page waits for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from google.longrunning import operations_pb2_grpc

from lima.curation.v1 import authoring_pb2_grpc, curation_pb2_grpc, review_pb2_grpc
from lima.inference.v1 import inference_pb2_grpc, model_pb2_grpc
from lima.judging.v1 import judging_pb2_grpc
from services.shared.objects import ObjectStore

# A page that has to wait longer than this shows an error with a way to try again.
PAGE_SECONDS = 10.0
# What people wrote is worth waiting for.
WRITE_SECONDS = 20.0
STREAM_SECONDS = 600.0


@dataclass(frozen=True)
class Backends:
    """Generated stubs (they carry no types) and the object store."""

    curation: Any
    review: Any
    authoring: Any
    inference: Any
    models: Any
    judging: Any
    annotation: Any
    # Operations of each service, by the service's name.
    operations: dict[str, Any]
    store: ObjectStore

    @classmethod
    def over(
        cls, curation: grpc.aio.Channel, inference: grpc.aio.Channel, judging: grpc.aio.Channel, store: ObjectStore
    ) -> Backends:
        """Stubs over channels that the caller opens and closes."""
        channels = {"curation": curation, "inference": inference, "judging": judging}
        return cls(
            curation=curation_pb2_grpc.CurationServiceStub(curation),
            review=review_pb2_grpc.ReviewServiceStub(curation),
            authoring=authoring_pb2_grpc.AuthoringServiceStub(curation),
            inference=inference_pb2_grpc.InferenceServiceStub(inference),
            models=model_pb2_grpc.ModelServiceStub(inference),
            judging=judging_pb2_grpc.JudgingServiceStub(judging),
            annotation=judging_pb2_grpc.AnnotationServiceStub(judging),
            operations={name: operations_pb2_grpc.OperationsStub(channel) for name, channel in channels.items()},
            store=store,
        )
