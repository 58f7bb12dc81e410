"""Response sets in the object store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from services.shared.errors import InvalidInput, NotFound, show
from services.shared.objects import ObjectStore
from services.shared.records import Response

MAX_LINE_BYTES = 8 << 20


def read_responses(store: ObjectStore, uri: str, field: str) -> Iterator[Response]:
    """The responses of a set, one line at a time. Raises InvalidInput that names the line."""
    try:
        with store.open(store.key(uri)) as stream:
            number = 0
            while line := stream.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise InvalidInput(
                        field, f"{uri} line {number}", f"a line must have at most {MAX_LINE_BYTES} bytes"
                    )
                if line.strip():
                    yield _parse(line, uri, number, field)
    except NotFound:
        raise InvalidInput(
            field, uri, "must be a response set in the store", remedy="see what there is: lima responses list"
        ) from None


def _parse(line: bytes, uri: str, number: int, field: str) -> Response:
    try:
        response = Response.model_validate_json(line)
        # A model may say anything, but neither another model's prompt nor PostgreSQL's text holds NUL.
        return response.model_copy(update={"response": response.response.replace("\0", "\N{REPLACEMENT CHARACTER}")})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"])) or "line"
        raise InvalidInput(
            field, f"{uri} line {number}", f"{where}: {problem['msg']}, got {show(problem['input'])}"
        ) from None


def read_manifest(store: ObjectStore, uri: str) -> dict[str, Any]:
    """What made a response set (model, prompts, sampling); empty where nothing was written beside it."""
    key = store.key(uri).removesuffix(".jsonl") + ".manifest.json"
    try:
        manifest = json.loads(store.get_bytes(key, max_bytes=1 << 20))
    except (NotFound, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}
