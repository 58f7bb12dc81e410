"""How a failed command ends: one message, the remedy, and an exit code that scripts can use."""

from __future__ import annotations

import errno
import sys

BAD_INPUT = 2
NOT_FOUND = 3
UNREACHABLE = 4
NOT_NOW = 5
INTERRUPTED = 130


def report_failure(error: BaseException) -> int:
    """Print what went wrong and what to do on stderr; return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return INTERRUPTED
    from services.shared.errors import LimaError

    domain = as_domain_error(error)
    if isinstance(domain, LimaError):
        print(f"error: {domain.message}", file=sys.stderr)
        if domain.remedy:
            print(f"remedy: {domain.remedy}", file=sys.stderr)
        return exit_code(domain)
    print(f"error: {type(error).__name__}: {error}", file=sys.stderr)
    print("remedy: this is a defect; run the command again with --debug and report what it prints", file=sys.stderr)
    return 1


def as_domain_error(error: BaseException) -> BaseException:
    """What a remote failure or a full disk means to the person who gave the command."""
    from services.shared.errors import FailedPrecondition

    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return FailedPrecondition(
            f"no space left on the disk that holds {error.filename or 'the state directory'}",
            remedy="free some space, or set LIMA_STATE_DIR to another disk, and run the same command again",
        )
    if "grpc" in sys.modules:
        import grpc

        if isinstance(error, grpc.RpcError):
            from services.shared.rpc.status import to_error

            return to_error(error)
    return error


def exit_code(error: BaseException) -> int:
    from services.shared import errors

    codes: list[tuple[type[BaseException] | tuple[type[BaseException], ...], int]] = [
        ((errors.InvalidInput, errors.InvalidInputs), BAD_INPUT),
        (errors.NotFound, NOT_FOUND),
        (errors.Unavailable, UNREACHABLE),
        ((errors.FailedPrecondition, errors.AlreadyExists, errors.Conflict, errors.ResourceExhausted), NOT_NOW),
    ]
    return next((code for kinds, code in codes if isinstance(error, kinds)), 1)
