"""Settings of every program, from environment variables with the prefix LIMA_.

    settings = Settings()                       # from the environment
    settings = Settings(state_dir=tmp, port=0)  # in tests
    settings.database_url_for("curation")

A wrong value raises one InvalidInputs that names each variable, its value and the rule.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.shared.errors import FieldViolation, InvalidInputs, show

PREFIX = "LIMA_"
SHORTEST_TOKEN = 8
BUCKET = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
HTTP_URL = re.compile(rf"https?://({_LABEL}(\.{_LABEL})*|\[(?P<ipv6>[^\]]+)\])(:(?P<port>[0-9]{{1,5}}))?/?")


def _http_url(value: str) -> str:
    match = HTTP_URL.fullmatch(value)
    if match is None or not (1 <= int(match["port"] or 80) <= 65535) or not _is_ipv6(match["ipv6"] or "::1"):
        rule = "must be http:// or https:// with a host, perhaps a port, and nothing else, as in http://127.0.0.1:8333"
        raise ValueError(rule + ": credentials have variables of their own" if "@" in value else rule)
    return value.removesuffix("/")


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("must be host:port, as in 127.0.0.1:50051")
    return value


def _bucket(value: str) -> str:
    if not 3 <= len(value) <= 63 or not BUCKET.fullmatch(value) or value.replace(".", "").isdecimal():
        raise ValueError("must be 3 to 63 of a-z, 0-9, '-' and '.', each part beginning and ending with a-z or 0-9")
    return value


def _token(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < SHORTEST_TOKEN:
        raise ValueError(f"must have at least {SHORTEST_TOKEN} characters")
    return value


def _database_url(value: str) -> str:
    scheme = value.partition("://")[0]
    if value and scheme not in ("sqlite", "postgresql"):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    if scheme == "sqlite" and "{service}" not in value:
        raise ValueError("must hold {service}: each service keeps its own SQLite file")
    return value


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Address = Annotated[str, AfterValidator(_address)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]


class Settings(BaseSettings):
    """One program's settings. A service that needs more subclasses this with the same prefix."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    state_dir: Path = Path(".lima")
    # Real dumps for tests and `experiments/real_data.yaml`.
    real_data: Path | None = None

    object_store_endpoint: HttpUrl = "http://127.0.0.1:8333"
    object_store_access_key: str = "lima"
    object_store_secret_key: SecretStr = SecretStr("lima-secret")
    object_store_bucket: Annotated[str, AfterValidator(_bucket)] = "lima"
    object_store_region: str = "us-east-1"
    object_store_create_bucket: bool = True
    object_store_ca_file: Path | None = None
    object_store_connect_seconds: Seconds = 3
    object_store_read_seconds: Seconds = 60
    object_store_attempts: int = Field(4, ge=1, le=20)

    # Empty: one SQLite file per service in state_dir. `{service}` is replaced by the service's name.
    database_url: Annotated[str, AfterValidator(_database_url)] = ""

    bind_host: str = "127.0.0.1"
    # Where this program listens; 0 takes any free port and tells it in ready_file.
    port: Port = 0
    ready_file: Path | None = None
    # A second, plain port with grpc.health.v1 alone, for kubelet probes of a server that has TLS.
    health_port: Port | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: Port = 0

    # Where the services are, for their clients.
    curation_address: Address = "127.0.0.1:50051"
    inference_address: Address = "127.0.0.1:50052"
    judging_address: Address = "127.0.0.1:50053"
    replica_url: Annotated[str, Field(pattern=r"^https?://")] = "http://127.0.0.1:8000"

    # A single token with role operator: what a server accepts and what a client sends.
    token: Annotated[SecretStr, AfterValidator(_token)] | None = None
    # More tokens a server accepts: a YAML or JSON list of {name, role, sha256}.
    tokens_file: Path | None = None

    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    # Whom to trust: servers' certificates for a client, clients' for a server with mutual TLS.
    tls_ca_file: Path | None = None
    tls_require_client_certificate: bool = False

    rpc_default_seconds: Seconds = 30
    rpc_maximum_seconds: Seconds = 3600
    rpc_message_mebibytes: int = Field(16, ge=1, le=512)
    # After NOT_SERVING, before the server stops listening: the time load balancers need to notice.
    shutdown_notice_seconds: float = Field(0.2, ge=0, le=300)
    shutdown_drain_seconds: float = Field(20, ge=0, le=3600)

    operation_workers: int = Field(4, ge=1, le=256)
    operation_lease_seconds: Seconds = 30

    log_format: Literal["auto", "console", "json"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _explain(error, type(self), values) from None

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Settings:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            raise ValueError("LIMA_TLS_CERTIFICATE_FILE and LIMA_TLS_KEY_FILE must be set together")
        if self.tls_require_client_certificate and not (self.tls_certificate_file and self.tls_ca_file):
            raise ValueError("LIMA_TLS_REQUIRE_CLIENT_CERTIFICATE needs a certificate, a key and LIMA_TLS_CA_FILE")
        return self

    def database_url_for(self, service: str) -> str:
        """The URL of a service's database, `sqlite:///...` or `postgresql://...`."""
        if self.database_url:
            return self.database_url.replace("{service}", service)
        return f"sqlite:///{self.state_dir.absolute() / f'{service}.db'}"


def misspelt_variables(settings: type[Settings]) -> dict[str, str]:
    """Variables of the environment that are no setting but look like one, with the one they look like."""
    known = {PREFIX + name.upper() for name in settings.model_fields}
    found: dict[str, str] = {}
    for variable in sorted(os.environ.keys() - known):
        similar = difflib.get_close_matches(variable, known, n=1, cutoff=0.9) if variable.startswith(PREFIX) else []
        if similar:
            found[variable] = similar[0]
    return found


def _explain(error: ValidationError, settings: type[Settings], values: dict[str, Any]) -> InvalidInputs:
    violations: list[FieldViolation] = []
    for problem in error.errors(include_url=False, include_input=False):
        rule = problem["msg"].removeprefix("Value error, ")
        field = str(problem["loc"][0]) if problem["loc"] else ""
        if not field:
            violations.append(FieldViolation("settings", "", rule))
            continue
        variable = PREFIX + field.upper()
        value = show(values.get(field, os.environ.get(variable, "")))
        secret = "SecretStr" in str(settings.model_fields[field].annotation)
        violations.append(FieldViolation(variable, "(hidden)" if secret else value, rule))
    return InvalidInputs(violations, remedy="mend the variables named, or unset them for the defaults")
