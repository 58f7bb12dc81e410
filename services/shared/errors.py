"""Errors that a person can act on. Domain code raises these and knows no status codes.

    raise InvalidInput("page_size", -3, "must be between 0 and 1000")
    raise NotFound("dataset", "datasets/quickstart/latest", remedy="build it: lima dataset build SPEC")
    raise FailedPrecondition("the corpus is empty", remedy="put files under corpora/<name>/ first")

The gRPC bootstrap turns each into a google.rpc.Status; `services.shared.rpc.status.to_error` turns
that back into the same class for clients. All of them can be pickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

SHOWN_VALUE_LENGTH = 200


@dataclass(frozen=True)
class FieldViolation:
    """Which field, what it was (as it is shown) and the rule it broke."""

    field: str
    value: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field} = {self.value}: {self.rule}" if self.value else f"{self.field}: {self.rule}"


def show(value: object) -> str:
    """How a refused value is quoted: bounded, because it may be a whole upload."""
    text = repr(value)
    return text if len(text) <= SHOWN_VALUE_LENGTH else f"{text[:SHOWN_VALUE_LENGTH]}… ({len(text)} characters)"


class LimaError(Exception):
    """The base of every error that is told to a person rather than shown as a traceback."""

    reason: ClassVar[str] = "FAILED"

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        violations: Sequence[FieldViolation] = (),
        retry_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.violations = tuple(violations)
        self.retry_seconds = retry_seconds
        self.metadata = dict(metadata or {})

    def __str__(self) -> str:
        return f"{self.message}\nremedy: {self.remedy}" if self.remedy else self.message

    @classmethod
    def rebuild(cls, message: str, **attributes: Any) -> Self:
        """An error of this class from its parts, whatever its own constructor asks for."""
        error = cls.__new__(cls)
        LimaError.__init__(error, message, **attributes)
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (type(self), self.message, dict(self.__dict__))


def _unpickle(cls: type[LimaError], message: str, attributes: dict[str, Any]) -> LimaError:
    error = cls.rebuild(message)
    error.__dict__.update(attributes)
    return error


class InvalidInput(LimaError):
    """A field holds something it must not."""

    reason = "INVALID_INPUT"

    def __init__(self, field: str, value: object, rule: str, remedy: str = "") -> None:
        violation = FieldViolation(field, show(value), rule)
        super().__init__(str(violation), remedy=remedy, violations=[violation])


class InvalidInputs(InvalidInput):
    """Several fields at once, so that a person mends them in one go."""

    def __init__(self, problems: Sequence[FieldViolation | InvalidInput], remedy: str = "") -> None:
        violations: list[FieldViolation] = []
        for problem in problems:
            violations.extend(problem.violations if isinstance(problem, InvalidInput) else [problem])
        message = "; ".join(map(str, violations))
        LimaError.__init__(self, message, remedy=remedy, violations=violations)


class _AboutResource(LimaError):
    template: ClassVar[str]

    def __init__(self, resource: str, name: str, remedy: str = "") -> None:
        message = self.template.format(resource=resource, name=show(name))
        super().__init__(message, remedy=remedy, metadata={"resource": resource, "name": name})


class NotFound(_AboutResource):
    reason = "NOT_FOUND"
    template = "there is no {resource} {name}"


class AlreadyExists(_AboutResource):
    reason = "ALREADY_EXISTS"
    template = "{resource} {name} exists already"


class _WithRemedy(LimaError):
    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)


class FailedPrecondition(_WithRemedy):
    """The request is well formed, but something else must happen first."""

    reason = "FAILED_PRECONDITION"


class Conflict(_WithRemedy):
    """Somebody else changed the thing in between (a stale etag): read it again, then retry."""

    reason = "CONFLICT"


class ResourceExhausted(LimaError):
    """A quota, a queue or a rate limit is full."""

    reason = "RESOURCE_EXHAUSTED"

    def __init__(self, message: str, retry_seconds: float | None = None, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy, retry_seconds=retry_seconds)


class DiskFull(ResourceExhausted):
    reason = "DISK_FULL"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"no space left while writing {path}", remedy="free some space, or point LIMA_STATE_DIR at another disk"
        )


class Unavailable(LimaError):
    """A part that is needed does not answer now; the same request may work later."""

    reason = "UNAVAILABLE"

    def __init__(self, message: str, remedy: str = "", retry_seconds: float | None = None) -> None:
        super().__init__(message, remedy=remedy, retry_seconds=retry_seconds)


class DeadlineExceeded(_WithRemedy):
    reason = "DEADLINE_EXCEEDED"


class Cancelled(_WithRemedy):
    reason = "CANCELLED"


class Unauthenticated(_WithRemedy):
    reason = "UNAUTHENTICATED"


class PermissionDenied(_WithRemedy):
    reason = "PERMISSION_DENIED"


class Unimplemented(_WithRemedy):
    reason = "UNIMPLEMENTED"


class DataCorrupt(_WithRemedy):
    """Stored bytes are not what was written: a checksum or a manifest does not hold."""

    reason = "DATA_CORRUPT"


class Internal(_WithRemedy):
    """A fault of the program. Clients meet it; domain code never raises it on purpose."""

    reason = "INTERNAL"
