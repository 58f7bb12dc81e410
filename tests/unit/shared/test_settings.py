from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.errors import InvalidInputs
from services.shared.objects import ObjectStore
from services.shared.settings import PREFIX, Settings


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("LIMA_PORT", "65536", "less than or equal to 65535"),
        ("LIMA_PORT", "http", "valid integer"),
        ("LIMA_OBJECT_STORE_ENDPOINT", "localhost:9000", "must be http:// or https://"),
        ("LIMA_OBJECT_STORE_ENDPOINT", "http://a:b@host", "credentials"),
        ("LIMA_OBJECT_STORE_ENDPOINT", "http://host:port", "must be http:// or https://"),
        ("LIMA_OBJECT_STORE_BUCKET", "Upper_Case", "must be 3 to 63"),
        ("LIMA_OBJECT_STORE_BUCKET", "a..b", "must be 3 to 63"),
        ("LIMA_OBJECT_STORE_BUCKET", "192.168.0.1", "must be 3 to 63"),
        ("LIMA_OBJECT_STORE_ATTEMPTS", "0", "greater than or equal to 1"),
        ("LIMA_DATABASE_URL", "mysql://x", "sqlite:/// or postgresql://"),
        ("LIMA_DATABASE_URL", "sqlite:////tmp/one.db", "{service}"),
        ("LIMA_CURATION_ADDRESS", "50051", "host:port"),
        ("LIMA_CURATION_ADDRESS", "host:0", "host:port"),
        ("LIMA_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("LIMA_RPC_DEFAULT_SECONDS", "-1", "greater than 0"),
    ],
)
def test_a_wrong_value_is_told_with_variable_value_and_rule(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, rule: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidInputs) as failure:
        Settings()
    [violation] = failure.value.violations
    assert (violation.field, violation.value) == (variable, repr(value))
    assert rule in violation.rule
    assert failure.value.remedy


def test_several_wrong_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMA_PORT", "x")
    monkeypatch.setenv("LIMA_LOG_LEVEL", "x")
    with pytest.raises(InvalidInputs) as failure:
        Settings()
    assert {violation.field for violation in failure.value.violations} == {"LIMA_PORT", "LIMA_LOG_LEVEL"}


def test_a_wrong_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMA_TOKEN", "hunter2")
    with pytest.raises(InvalidInputs, match="at least 8 characters") as failure:
        Settings()
    assert "hunter2" not in str(failure.value)


@pytest.mark.parametrize(
    "values",
    [
        {"tls_certificate_file": "c.pem"},
        {"tls_key_file": "k.pem"},
        {"tls_require_client_certificate": True, "tls_certificate_file": "c.pem", "tls_key_file": "k.pem"},
    ],
)
def test_half_a_tls_setting_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputs, match="LIMA_TLS"):
        Settings(**values)


def test_each_service_has_a_database_of_its_own(tmp_path: Path) -> None:
    default = Settings(state_dir=tmp_path)
    assert default.database_url_for("curation") == f"sqlite:///{tmp_path}/curation.db"
    named = Settings(database_url="postgresql://host/{service}")
    assert named.database_url_for("judging") == "postgresql://host/judging"


def test_secrets_do_not_show_in_settings() -> None:
    settings = Settings(token="a-secret-token", object_store_secret_key="another-secret")
    assert "a-secret-token" not in repr(settings)
    assert "another-secret" not in repr(settings)


@given(st.text(max_size=40))
def test_any_address_is_taken_or_refused_with_its_name(text: str) -> None:
    try:
        address = Settings(curation_address=text).curation_address
    except InvalidInputs as error:
        address = None
        refused = error.violations[0].field
    if address is None:
        assert refused == "LIMA_CURATION_ADDRESS"
    else:
        host, _, port = address.rpartition(":")
        assert host
        assert 0 < int(port) < 65536


@given(st.text(max_size=40) | st.text(alphabet="a.-:[]@/0123456789", max_size=30).map(lambda text: f"http://{text}"))
def test_an_endpoint_that_is_taken_is_one_that_the_client_takes(text: str) -> None:
    try:
        settings = Settings(object_store_endpoint=text)
    except InvalidInputs:
        return
    ObjectStore.from_settings(settings)


def test_every_setting_is_documented(pytestconfig: pytest.Config) -> None:
    page = (pytestconfig.rootpath / "docs" / "shared.md").read_text()
    variables = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert variables == set(re.findall(r"`(LIMA_[A-Z_]+)`", page.partition("\n## Settings\n")[2]))
