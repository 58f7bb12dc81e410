from __future__ import annotations

import pickle
from typing import Any

import pytest
from google.rpc import code_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.shared import errors
from services.shared.errors import FieldViolation, InvalidInput, InvalidInputs, LimaError
from services.shared.rpc.status import MAXIMUM_STATUS_BYTES, code_of, from_status, to_status

EXAMPLES: list[tuple[LimaError, int]] = [
    (InvalidInput("size", -1, "must not be negative", "give 1"), code_pb2.INVALID_ARGUMENT),
    (InvalidInputs([InvalidInput("a", 1, "x"), FieldViolation("b", "2", "y")]), code_pb2.INVALID_ARGUMENT),
    (errors.NotFound("dataset", "datasets/x", "build it"), code_pb2.NOT_FOUND),
    (errors.AlreadyExists("corpus", "corpora/x"), code_pb2.ALREADY_EXISTS),
    (errors.FailedPrecondition("empty", "fill it"), code_pb2.FAILED_PRECONDITION),
    (errors.Conflict("changed"), code_pb2.ABORTED),
    (errors.ResourceExhausted("busy", 1.5), code_pb2.RESOURCE_EXHAUSTED),
    (errors.DiskFull("/x"), code_pb2.RESOURCE_EXHAUSTED),
    (errors.Unavailable("away", "start it", 2), code_pb2.UNAVAILABLE),
    (errors.DeadlineExceeded("late"), code_pb2.DEADLINE_EXCEEDED),
    (errors.Cancelled("stopped"), code_pb2.CANCELLED),
    (errors.Unauthenticated("who?"), code_pb2.UNAUTHENTICATED),
    (errors.PermissionDenied("no"), code_pb2.PERMISSION_DENIED),
    (errors.Unimplemented("later"), code_pb2.UNIMPLEMENTED),
    (errors.DataCorrupt("differs"), code_pb2.DATA_LOSS),
    (errors.Internal("fault"), code_pb2.INTERNAL),
]


def parts(error: LimaError) -> tuple[Any, ...]:
    return (
        type(error) if not isinstance(error, InvalidInput) else InvalidInput,
        error.message,
        error.remedy,
        error.violations,
        error.retry_seconds,
        error.metadata,
    )


@pytest.mark.parametrize(("error", "code"), EXAMPLES, ids=lambda value: getattr(value, "reason", ""))
def test_an_error_survives_the_journey_as_a_status(error: LimaError, code: int) -> None:
    status = to_status(error)
    assert status.code == code
    assert parts(from_status(status)) == parts(error)


@pytest.mark.parametrize(("error", "code"), EXAMPLES, ids=lambda value: getattr(value, "reason", ""))
def test_an_error_survives_pickling(error: LimaError, code: int) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), parts(copy)) == (str(error), parts(error))


def test_a_services_own_error_takes_the_code_of_its_base() -> None:
    class StaleSpec(errors.FailedPrecondition):
        reason = "STALE_SPEC"

    assert code_of(StaleSpec("old")) == code_pb2.FAILED_PRECONDITION
    assert isinstance(from_status(to_status(StaleSpec("old"))), errors.FailedPrecondition)


def test_every_part_is_shown() -> None:
    error = InvalidInput("page_size", -3, "must not be negative", "give 0")
    assert str(error) == "page_size = -3: must not be negative\nremedy: give 0"


@given(
    st.lists(st.tuples(st.text(), st.text(max_size=5000), st.text(max_size=5000)), min_size=1, max_size=50),
    st.text(max_size=5000),
)
def test_a_status_always_fits_into_metadata(problems: list[tuple[str, str, str]], remedy: str) -> None:
    error = InvalidInputs([InvalidInput(field[:50], value, rule) for field, value, rule in problems], remedy)
    status = to_status(error)
    assert status.ByteSize() <= MAXIMUM_STATUS_BYTES
    assert isinstance(from_status(status), InvalidInput)
