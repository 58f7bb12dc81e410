"""Folders in the object store: whole, or absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.shared.errors import (
    DataCorrupt,
    FailedPrecondition,
    InvalidInput,
    NotFound,
    Unavailable,
)
from services.shared.objects import MANIFEST, ObjectStore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "deep").mkdir(parents=True)
    (made / "weights.bin").write_bytes(b"weights")
    (made / "deep" / "한글 name.txt").write_text("text")
    (made / "empty").touch()
    return made


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_folders_are_whole(object_store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    manifest = object_store.put_folder("models/m/v1", folder, {"base": "smollm2"})
    assert [entry["path"] for entry in manifest["files"]] == ["deep/한글 name.txt", "empty", "weights.bin"]
    target = tmp_path / "got"
    assert object_store.get_folder("models/m/v1", target) == manifest
    assert contents(target) == contents(folder) | {MANIFEST: (target / MANIFEST).read_bytes()}
    assert object_store.get_manifest("models/m/v1/") == manifest
    # Fetched again it is left alone; put again from the copy it is the same.
    (target / "weights.bin").chmod(0o400)
    object_store.get_folder("models/m/v1", target)
    assert object_store.put_folder("models/m/v2", target) == manifest


def test_a_folder_that_is_put_again_holds_what_its_manifest_says(
    object_store: ObjectStore, folder: Path, tmp_path: Path
) -> None:
    object_store.put_folder("m", folder, {"round": 1})
    (folder / "weights.bin").rename(folder / "better.bin")
    object_store.put_folder("m", folder, {"round": 2})
    assert [info.key for info in object_store.list("m/")] == [
        "m/better.bin",
        "m/deep/한글 name.txt",
        "m/empty",
        f"m/{MANIFEST}",
    ]
    assert object_store.get_folder("m", tmp_path / "got")["round"] == 2


def test_a_folder_without_its_manifest_is_absent(object_store: ObjectStore, folder: Path, tmp_path: Path) -> None:
    object_store.put_folder("m", folder)
    object_store.delete(f"m/{MANIFEST}")
    assert object_store.get_manifest("m") is None
    with pytest.raises(NotFound, match="never finished"):
        object_store.get_folder("m", tmp_path / "got")
    assert object_store.delete_prefix("m") == 3
    assert list(object_store.list("m/")) == []


@pytest.mark.parametrize("damage", ["missing", "other bytes"])
def test_a_damaged_folder_is_noticed_and_nothing_is_left(
    object_store: ObjectStore, folder: Path, tmp_path: Path, damage: str
) -> None:
    object_store.put_folder("m", folder)
    if damage == "missing":
        object_store.delete("m/weights.bin")
    else:
        object_store.put_bytes("m/weights.bin", b"others!")
    with pytest.raises(DataCorrupt, match=r"weights\.bin"):
        object_store.get_folder("m", tmp_path / "got")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


@pytest.mark.parametrize(
    "manifest",
    [
        b"no json",
        b"[]",
        b"{}",
        b'{"files": 3}',
        b'{"files": [{"path": "../../evil", "size": 1, "sha256": "' + b"0" * 64 + b'"}]}',
        b'{"files": [{"path": "/etc/passwd", "size": 1, "sha256": "' + b"0" * 64 + b'"}]}',
    ],
)
def test_foreign_manifests_are_refused(object_store: ObjectStore, tmp_path: Path, manifest: bytes) -> None:
    object_store.put_bytes(f"m/{MANIFEST}", manifest)
    with pytest.raises(DataCorrupt):
        object_store.get_folder("m", tmp_path / "got")
    assert list(tmp_path.iterdir()) == []


def test_a_local_folder_with_other_files_is_not_overwritten(
    object_store: ObjectStore, folder: Path, tmp_path: Path
) -> None:
    object_store.put_folder("m", folder)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(FailedPrecondition, match="other files"):
        object_store.get_folder("m", mine)
    assert contents(mine) == {"thesis.txt": b"years of work"}


def test_links_out_of_a_folder_are_refused(object_store: ObjectStore, folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput, match="lead out"):
        object_store.put_folder("m", folder)


def test_an_upload_that_fails_leaves_no_manifest(
    object_store: ObjectStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file = object_store.put_file

    def fail_at_the_second(key: str, path: Path) -> Any:
        if key.endswith("empty"):
            raise Unavailable("gone")
        return put_file(key, path)

    monkeypatch.setattr(object_store, "put_file", fail_at_the_second)
    with pytest.raises(Unavailable):
        object_store.put_folder("m", folder)
    assert object_store.get_manifest("m") is None


def test_manifests_are_json_for_everybody(object_store: ObjectStore, folder: Path) -> None:
    object_store.put_folder("m", folder, {"name": "한글"})
    assert json.loads(object_store.get_bytes(f"m/{MANIFEST}"))["name"] == "한글"
