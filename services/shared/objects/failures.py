"""What goes wrong between us and an S3 server or a local disk, said so that a person can mend it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError

from services.shared.errors import (
    Conflict,
    DiskFull,
    FailedPrecondition,
    LimaError,
    NotFound,
    PermissionDenied,
    Unavailable,
)

BAD_CREDENTIALS = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "AuthorizationHeaderMalformed"}
)
ABSENT_OBJECT = frozenset({"NoSuchKey", "NoSuchObject", "ResourceNotFound"})
FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def told_plainly(endpoint: str, bucket: str, key: str = "") -> Iterator[None]:
    """Turn what the S3 client raises inside the block into a LimaError."""
    try:
        yield
    except (S3Error, ServerError, InvalidResponseError) as error:
        raise _from_response(error, endpoint, bucket, key) from error
    except (urllib3.exceptions.HTTPError, MinioException) as error:
        raise _unreachable(endpoint, error) from error


@contextmanager
def local_writes(path: Path) -> Iterator[None]:
    """Turn a full disk inside the block into DiskFull; other faults of the disk pass unchanged."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise DiskFull(str(path)) from error
        raise


def is_absent(error: S3Error) -> bool:
    return error.code in ABSENT_OBJECT


def _from_response(error: MinioException, endpoint: str, bucket: str, key: str) -> LimaError:
    code = error.code or "" if isinstance(error, S3Error) else ""
    if code in BAD_CREDENTIALS:
        return PermissionDenied(
            f"the object store at {endpoint} refused the credentials for bucket {bucket!r} ({code})",
            remedy="check LIMA_OBJECT_STORE_ACCESS_KEY, LIMA_OBJECT_STORE_SECRET_KEY and the policy of that user",
        )
    if code == "NoSuchBucket":
        return missing_bucket(endpoint, bucket)
    if code in ABSENT_OBJECT:
        return NotFound("object", f"s3://{bucket}/{key}")
    if code == "PreconditionFailed":
        return Conflict(f"object s3://{bucket}/{key} was replaced while it was read", remedy="read it again")
    if code in ("XMinioStorageFull", "QuotaExceeded", "InsufficientStorage"):
        return FailedPrecondition(f"the object store at {endpoint} is full", "free space there, then run this again")
    answer = f"{code}: {error.message}" if isinstance(error, S3Error) else str(error)
    return Unavailable(
        f"the object store at {endpoint} answered with an error: {answer}",
        remedy="check that LIMA_OBJECT_STORE_ENDPOINT is an S3 endpoint, and look at that server's log",
        retry_seconds=5,
    )


def missing_bucket(endpoint: str, bucket: str) -> LimaError:
    return FailedPrecondition(
        f"the object store at {endpoint} has no bucket {bucket!r}",
        remedy="create it, or set LIMA_OBJECT_STORE_CREATE_BUCKET=true to have it created",
    )


def not_s3(endpoint: str) -> LimaError:
    return FailedPrecondition(
        f"{endpoint} answers, but not as an S3 server does",
        remedy="set LIMA_OBJECT_STORE_ENDPOINT to the S3 endpoint itself, not to a console or a proxy's page",
    )


def _unreachable(endpoint: str, error: Exception) -> LimaError:
    reason = getattr(error, "reason", None) or error
    return Unavailable(
        f"the object store at {endpoint} cannot be reached: {type(reason).__name__}",
        remedy="start it (on one machine: lima up), or set LIMA_OBJECT_STORE_ENDPOINT",
        retry_seconds=5,
    )
