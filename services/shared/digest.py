"""SHA-256 digests, as lower-case hex: the names of everything immutable.

digest_json({"b": 1, "a": [2]}) == digest_json({"a": [2], "b": 1})
digest_bytes(b"text"); digest_file(path)
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> bytes:
    """The one spelling of a JSON value: sorted keys, no spaces, UTF-8.

    1 and 1.0 are spelled differently. Raises ValueError for NaN and infinities and TypeError for
    anything JSON does not know, keys that are not strings included: json.dumps would turn 1 into
    "1" and so give two values one digest.
    """
    _refuse_other_keys(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # A lone surrogate can stand in a JSON text; it must not stop the digest.
    return text.encode("utf-8", errors="surrogatepass")


def digest_json(value: Any) -> str:
    return digest_bytes(canonical_json(value))


def digest_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path | str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_other_keys(value: Any) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"a JSON object's keys are strings, not {key!r}")
            _refuse_other_keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _refuse_other_keys(inner)
