from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.errors import InvalidInput
from services.shared.objects.keys import check_key, folder_prefix, split_uri


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "..",
        "../a",
        "a/../b",
        "a/..",
        ".",
        "./a",
        "a\\b",
        "a\0b",
        "a\nb",
        "x" * 1025,
        "\ud800",
    ],
)
def test_keys_that_could_leave_their_folder_are_refused(key: str) -> None:
    with pytest.raises(InvalidInput, match="must"):
        check_key(key)


@pytest.mark.parametrize("key", ["a", "a/b.txt", "..a/b..", "a b/한글.txt", "a/...", "x" * 1024])
def test_plain_keys_are_taken(key: str) -> None:
    assert check_key(key) == key


@given(st.text(alphabet="a./\\ \0", max_size=12) | st.text(max_size=30))
def test_a_key_that_is_taken_stays_below_its_folder(key: str) -> None:
    try:
        check_key(key)
    except InvalidInput:
        return
    parts = PurePosixPath("/folder", key).parts
    assert parts[:2] == ("/", "folder")
    assert ".." not in parts
    assert "/".join(parts[2:]) == key


@pytest.mark.parametrize("prefix", ["", "/", "..", "a/../b", "a//"])
def test_prefixes_that_name_no_folder_are_refused(prefix: str) -> None:
    with pytest.raises(InvalidInput):
        folder_prefix(prefix)


def test_a_folders_prefix_never_means_its_neighbour() -> None:
    assert folder_prefix("models/m") == folder_prefix("models/m/") == "models/m/"


@pytest.mark.parametrize("uri", ["", "bucket/key", "http://bucket/key", "s3://bucket/../key"])
def test_uris_of_other_kinds_are_refused(uri: str) -> None:
    with pytest.raises(InvalidInput):
        split_uri(uri)
