from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.security import CONTENT_POLICY, safe_target


@given(st.text(max_size=80))
def test_a_redirect_never_leaves_the_console(target: str) -> None:
    led = urlsplit(urljoin("https://console.example/sign-in", safe_target(target)))
    assert (led.scheme, led.netloc) == ("https", "console.example")


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "",
        "evil",
        "\t//evil.example",
    ],
)
def test_foreign_targets_lead_home(target: str) -> None:
    assert safe_target(target) == "/"


@pytest.mark.parametrize("target", ["/", "/review/q/next?source=wikihow", "/datasets/a/b?query=x%20y"])
def test_own_targets_stay(target: str) -> None:
    assert safe_target(target) == target


def test_no_line_end_reaches_a_header() -> None:
    assert "\r" not in safe_target("/a\r\nset-cookie: x=y")
    assert "\n" not in safe_target("/a\r\nset-cookie: x=y")


def test_nothing_inline_and_nothing_foreign_may_run() -> None:
    assert "unsafe" not in CONTENT_POLICY
    assert "http" not in CONTENT_POLICY
    assert "default-src 'none'" in CONTENT_POLICY
    assert "frame-ancestors 'none'" in CONTENT_POLICY
