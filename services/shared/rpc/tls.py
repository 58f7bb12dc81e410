"""TLS by setting, for servers and clients; mutual TLS when the server asks for client certificates."""

from __future__ import annotations

from pathlib import Path

import grpc

from services.shared.errors import InvalidInput
from services.shared.settings import Settings


def server_credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """None when no certificate is set: the server then speaks plain text."""
    if settings.tls_certificate_file is None or settings.tls_key_file is None:
        return None
    pair = (_read(settings.tls_key_file, "KEY"), _read(settings.tls_certificate_file, "CERTIFICATE"))
    mutual = settings.tls_require_client_certificate
    authority = _read(settings.tls_ca_file, "CA") if mutual and settings.tls_ca_file else None
    return grpc.ssl_server_credentials([pair], authority, require_client_auth=mutual)


def channel_credentials(settings: Settings) -> grpc.ChannelCredentials | None:
    """None when no authority is set: the client then speaks plain text."""
    if settings.tls_ca_file is None:
        return None
    certificate = _read(settings.tls_certificate_file, "CERTIFICATE") if settings.tls_certificate_file else None
    key = _read(settings.tls_key_file, "KEY") if settings.tls_key_file else None
    return grpc.ssl_channel_credentials(_read(settings.tls_ca_file, "CA"), key, certificate)


def _read(path: Path, kind: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        rule = f"must be a PEM file that can be read ({error.strerror})"
        raise InvalidInput(f"LIMA_TLS_{kind}_FILE", str(path), rule) from error
