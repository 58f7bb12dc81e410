from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.digest import canonical_json, digest_bytes, digest_file, digest_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_a_digest_depends_on_the_value_alone(value: Any) -> None:
    reordered = json.loads(json.dumps(value), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert digest_json(reordered) == digest_json(value)
    assert json.loads(canonical_json(value)) == value


@given(JSON, JSON)
def test_different_values_have_different_digests(one: Any, other: Any) -> None:
    assert (digest_json(one) == digest_json(other)) == (canonical_json(one) == canonical_json(other))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_numbers_that_json_does_not_know_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        digest_json(value)


@pytest.mark.parametrize("value", [{1: "a"}, [{"a": {None: 1}}], {"a": {1, 2}}, b"bytes"])
def test_values_that_json_does_not_know_are_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        digest_json(value)


def test_digests_are_sha256_as_other_tools_spell_it(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"lima" * 1000)
    told = subprocess.run(["sha256sum", tmp_path / "f"], capture_output=True, text=True, check=True).stdout.split()[0]
    assert digest_file(tmp_path / "f") == digest_bytes(b"lima" * 1000) == told


def test_a_digest_never_changes() -> None:
    # Written down once: every artefact in every store is named by this.
    value = {"name": "한글 😀", "list": [1, 2.5, None, True], "nested": {"b": "", "a": "\n"}}
    assert digest_json(value) == "e56054a8059a8cb70f29919049776d97b4e1cded462a5a046bbbfe6d290002c3"
