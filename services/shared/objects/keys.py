"""Object keys: relative paths that cannot leave the folder they are read into."""

from __future__ import annotations

from services.shared.errors import InvalidInput

MAXIMUM_KEY_BYTES = 1024
SCHEME = "s3://"


def check_key(key: str, field: str = "key") -> str:
    """Return `key` if it is a plain relative path; raise InvalidInput otherwise."""
    rule = _broken_rule(key)
    if rule:
        raise InvalidInput(field, key, rule)
    return key


def check_prefix(prefix: str) -> str:
    """A prefix is a key that may be empty or end with one slash."""
    if prefix:
        check_key(prefix.removesuffix("/"), "prefix")
    return prefix


def folder_prefix(prefix: str) -> str:
    """The prefix of the objects below a folder: "models/m" never means "models/m2"."""
    return check_key(prefix.removesuffix("/"), "prefix") + "/"


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of "s3://bucket/key"; the key may be empty."""
    if not uri.startswith(SCHEME):
        raise InvalidInput("uri", uri, "must begin with s3://")
    bucket, _, key = uri.removeprefix(SCHEME).partition("/")
    return bucket, check_prefix(key)


def _broken_rule(key: str) -> str:
    if not key:
        return "must not be empty"
    if any(ord(character) < 32 or ord(character) == 127 or character == "\\" for character in key):
        return "must not hold control characters or backslashes"
    if any(segment in ("", ".", "..") for segment in key.split("/")):
        return "must be a relative path without empty, '.' or '..' parts"
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        return "must be valid Unicode"
    return f"must be at most {MAXIMUM_KEY_BYTES} bytes of UTF-8" if length > MAXIMUM_KEY_BYTES else ""
