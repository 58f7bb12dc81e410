"""Opaque page tokens and page sizes for List methods (AIP-158).

    size = page_size(request.page_size)
    after = decode_page_token(request.page_token, query={"parent": request.parent})   # None: first page
    rows = ... the `size` rows after `after` ...
    response.next_page_token = encode_page_token(rows[-1].id, query={"parent": request.parent})

A token holds the position and a digest of both it and the query, so a damaged token, or one carried
over to another query, is refused instead of giving a wrong page. It grants no access by itself.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from typing import Any

from services.shared.digest import canonical_json, digest_json
from services.shared.errors import InvalidInput

CHECK_LENGTH = 16
MAXIMUM_TOKEN_LENGTH = 2048
_RULE = "must be the next_page_token of the page before, for the same query"
_REMEDY = "ask for the first page again, with an empty page_token"


def page_size(requested: int, *, default: int = 50, maximum: int = 1000) -> int:
    """The number of rows to give: 0 asks for the default, more than the maximum gives the maximum."""
    if requested < 0:
        raise InvalidInput("page_size", requested, "must not be negative")
    return min(requested or default, maximum)


def encode_page_token(position: Any, *, query: Any = None) -> str:
    """`position` and `query` are JSON values; `position` is what the next page starts after."""
    check = _check(position, query)
    return base64.urlsafe_b64encode(check.encode() + canonical_json(position)).decode().rstrip("=")


def decode_page_token(token: str, *, query: Any = None) -> Any:
    """The position in a token, or None for an empty one (the first page). Raises InvalidInput."""
    if not token:
        return None
    refusal = InvalidInput("page_token", token, _RULE, _REMEDY)
    if len(token) > MAXIMUM_TOKEN_LENGTH:
        raise refusal
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        position = json.loads(raw[CHECK_LENGTH:])
        valid = hmac.compare_digest(raw[:CHECK_LENGTH], _check(position, query).encode())
    except (ValueError, binascii.Error, RecursionError):
        raise refusal from None
    if not valid:
        raise refusal
    return position


def _check(position: Any, query: Any) -> str:
    return digest_json([position, query])[:CHECK_LENGTH]
