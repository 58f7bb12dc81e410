from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.shared.errors import InvalidInput, PermissionDenied, Unauthenticated
from services.shared.rpc.principal import ANONYMOUS, Principal, Role, Tokens, acting_person, set_current
from services.shared.settings import Settings

ANN = hashlib.sha256(b"token-of-ann").hexdigest()


@pytest.fixture(autouse=True)
def _no_caller_stays() -> Iterator[None]:
    yield
    set_current(ANONYMOUS)


def tokens(tmp_path: Path, content: str, **values: str) -> Tokens:
    path = tmp_path / "tokens.yaml"
    path.write_text(content)
    return Tokens.from_settings(Settings(state_dir=tmp_path, tokens_file=path, **values))


def test_a_tokens_file_and_the_single_token_both_count(tmp_path: Path) -> None:
    known = tokens(tmp_path, f"- {{name: ann, role: annotator, sha256: {ANN}}}", token="the-operator")
    assert known.authenticate("Bearer token-of-ann") == Principal("ann", Role.ANNOTATOR)
    assert known.authenticate("bearer the-operator") == Principal("operator", Role.OPERATOR)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic token-of-ann", "token-of-ann", f"Bearer {ANN}"])
def test_anything_else_is_refused(tmp_path: Path, header: str) -> None:
    known = tokens(tmp_path, f"- {{name: ann, role: annotator, sha256: {ANN}}}")
    with pytest.raises(Unauthenticated) as failure:
        known.authenticate(header)
    assert "Bearer TOKEN" in failure.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        "just text",
        "[1]",
        "- {name: ann}",
        f"- {{name: ann, role: king, sha256: {ANN}}}",
        f"- {{name: ann, role: 3, sha256: {ANN}}}",
        "- {name: ann, role: viewer, sha256: plain-token}",
        f"- {{name: 'a b', role: viewer, sha256: {ANN}}}",
        f"- {{name: ann, role: viewer, sha256: {ANN}, more: 1}}",
        "- {name: [",
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_a_bad_tokens_file_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InvalidInput, match="LIMA_TOKENS_FILE") as failure:
        tokens(tmp_path, content)
    assert "plain-token" not in str(failure.value)


def test_an_absent_tokens_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="No such file"):
        Tokens.from_settings(Settings(state_dir=tmp_path, tokens_file=tmp_path / "none"))


def test_a_role_may_do_what_lower_roles_may() -> None:
    ann = Principal("ann", Role.ANNOTATOR)
    ann.require(Role.VIEWER, "look")
    ann.require(Role.ANNOTATOR, "judge")
    with pytest.raises(PermissionDenied, match="takes role operator"):
        ann.require(Role.OPERATOR, "delete")


@pytest.mark.parametrize(("requested", "person"), [("", "ann"), ("ann", "ann")])
def test_people_act_for_themselves(requested: str, person: str) -> None:
    set_current(Principal("ann", Role.ANNOTATOR))
    assert acting_person(requested) == person


def test_nobody_acts_as_somebody_else() -> None:
    set_current(Principal("ann", Role.ANNOTATOR))
    with pytest.raises(PermissionDenied, match="ann cannot act as bob"):
        acting_person("bob")


def test_operators_act_for_whom_they_name() -> None:
    set_current(Principal("console", Role.OPERATOR))
    assert acting_person("밥 Bob") == "밥 Bob"
    for name in ("a\nb", "x" * 129):
        with pytest.raises(InvalidInput, match="annotator"):
            acting_person(name)
