"""Corpora over gRPC: immutable, named by content, decoded once; damaged ones fail the build with the place named."""

from __future__ import annotations

import asyncio
from pathlib import Path

import py7zr
import pytest
from backports import zstd

from lima.curation.v1.curation_pb2 import Corpus, GetCorpusRequest, ImportCorpusRequest, ListCorporaRequest
from services.cli import pages
from services.cli.pages import every
from services.shared.errors import DataCorrupt, InvalidInput, NotFound
from tests.service.curation.conftest import SAMPLES, Client
from tests.service.curation.test_build import build, refusal
from tests.unit.curation.builders import HOST, answer, dump, question

SOURCE = {"name": "s", "corpus": "made", "stack_exchange": {}, "quota": {"train": 1}}


def folder_with(tmp_path: Path, name: str, data: bytes) -> Path:
    folder = tmp_path / f"folder-{len(list(tmp_path.iterdir()))}"
    path = folder / name
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return folder


async def test_the_same_files_are_the_same_corpus(client: Client) -> None:
    first = await client.import_folder("authored", SAMPLES / "authored")
    again = await client.import_folder("authored", SAMPLES / "authored")
    assert (first.digest, first.create_time) == (again.digest, again.create_time)
    listed = await client.curation.ListCorpora(ListCorporaRequest())
    assert [corpus.name for corpus in listed.corpora] == ["corpora/authored"]
    found = await client.curation.GetCorpus(GetCorpusRequest(name="corpora/authored"))
    assert (found.digest, found.file_count) == (first.digest, 2)
    assert isinstance(await refusal(client.curation.GetCorpus(GetCorpusRequest(name="corpora/none"))), NotFound)


async def test_a_list_is_read_page_after_page(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_ROWS", 2)
    for name in ("a", "b", "c", "d", "e"):
        await client.import_folder(name, SAMPLES / "dialogues")
    found = await every(client.curation.ListCorpora, ListCorporaRequest(), "corpora")
    assert [corpus.name for corpus in found] == [f"corpora/{name}" for name in "abcde"]
    assert len(await every(client.curation.ListCorpora, ListCorporaRequest(), "corpora", limit=3)) == 3


@pytest.mark.parametrize("uri", ["/etc", "file:///etc", "s3://another-bucket/x", "http://127.0.0.1:1/dumps/"])
async def test_only_the_store_and_allowed_folders_are_imported(client: Client, uri: str) -> None:
    operation = await client.curation.ImportCorpus(ImportCorpusRequest(corpus_id="x", source_uri=uri))
    with pytest.raises(InvalidInput):
        await client.finish(operation, Corpus())


async def test_an_import_needs_a_name_and_a_place(client: Client) -> None:
    for request in (ImportCorpusRequest(corpus_id="x"), ImportCorpusRequest(corpus_id="../x", source_uri="s3://a/b")):
        assert isinstance(await refusal(client.curation.ImportCorpus(request)), InvalidInput)


async def test_a_7z_archive_is_decoded_once_and_read(client: Client, tmp_path: Path) -> None:
    folder = tmp_path / "archives"
    folder.mkdir()
    with py7zr.SevenZipFile(folder / f"{HOST}.7z", "w") as archive:
        archive.writestr(dump([question(1), answer(2, 1)]), "Posts.xml")
    corpus = await client.import_folder("made", folder)
    keys = [info.key for info in client.store.list(client.store.key(corpus.uri))]
    assert any(key.endswith(f"{HOST}/Posts.xml.zst") for key in keys)
    dataset = await build(client, {"name": "of-archive", "sources": [SOURCE]})
    assert dataset.split_counts["train"] == 1


async def test_damaged_corpora_fail_the_build_and_say_where(client: Client, tmp_path: Path) -> None:
    cut = zstd.compress(dump([question(1), answer(2, 1)]))[:-20]
    await client.import_folder("made", folder_with(tmp_path, f"{HOST}/Posts.xml.zst", cut))
    with pytest.raises(DataCorrupt, match=r"Posts\.xml\.zst cannot be decoded"):
        await build(client, {"name": "cut", "sources": [SOURCE]})
    rows = ["  <row broken", question(1), answer(2, 1)]
    await client.import_folder("made", folder_with(tmp_path, f"{HOST}/Posts.xml", dump(rows)))
    with pytest.raises(DataCorrupt, match=r"more than 0 malformed records, the latest at byte \d+"):
        await build(client, {"name": "broken", "sources": [SOURCE], "max_malformed": 0})
    assert (await build(client, {"name": "tolerant", "sources": [SOURCE]})).split_counts["train"] == 1
    assert not list(client.store.list("datasets/broken"))


async def test_two_builds_at_once_make_the_set_once(client: Client, tmp_path: Path) -> None:
    await client.import_folder("made", folder_with(tmp_path, f"{HOST}/Posts.xml", dump([question(1), answer(2, 1)])))
    spec = {"name": "twice", "sources": [SOURCE]}
    one, two = await asyncio.gather(build(client, spec), build(client, spec))
    assert (one.name, one.create_time) == (two.name, two.create_time)
