"""Corpora from web addresses: an index of files, a single file, a connection that breaks, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from services.curation import web
from services.curation.corpora import Corpora
from services.curation.settings import CurationSettings
from services.curation.web import Web
from services.shared.errors import InvalidInput, InvalidInputs, LimaError, NotFound, ResourceExhausted, Unavailable
from services.shared.objects import ObjectStore

INDEX = b"""<a href="../">up</a> <a href="coffee.stackexchange.com.7z.torrent">t</a> <a href="/dumps/two.jsonl">two</a>
<a href="one%20.jsonl#x">one</a> <a href="deeper/three.jsonl">three</a> <a href="http://127.0.0.2:1/dumps/four.jsonl">4</a>"""


@dataclass
class Site:
    """What a web server answers, by path; a file in `broken` is cut off once, after as many bytes."""

    files: dict[str, bytes]
    redirects: dict[str, str] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    ranges: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def site() -> Iterator[Site]:
    served = Site({"/dumps/": INDEX, "/dumps/one%20.jsonl": b'{"prompt": "a"}\n', "/dumps/two.jsonl": b"x" * 4000})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path in served.redirects:
                self.send_response(302)
                self.send_header("Location", served.redirects[self.path])
                self.end_headers()
                return
            if self.path not in served.files:
                self.send_error(404 if self.path != "/dumps/down.xml" else 503)
                return
            wanted = self.headers.get("Range", "")
            start = int(wanted.removeprefix("bytes=").rstrip("-") or 0)
            data = served.files[self.path][start:]
            served.ranges.append(wanted)
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: served.broken.pop(self.path, len(data))])

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}/dumps/"
    yield served
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "RETRY_SECONDS", 0.01)


def silent(stage: str, done: int, total: int) -> None:
    """Nobody hears."""


def test_a_folder_of_the_web_becomes_a_corpus(site: Site, object_store: ObjectStore, tmp_path: Path) -> None:
    site.broken["/dumps/two.jsonl"] = 1500
    corpora = Corpora(object_store, tmp_path, web=Web((site.url,)))
    info = corpora.add("fetched", site.url, silent)
    local = corpora.fetch("fetched", info.digest)
    assert {file.name: file.path.read_bytes() for file in local.files} == {
        "one .jsonl": b'{"prompt": "a"}\n',
        "two.jsonl": b"x" * 4000,
    }
    assert "bytes=1500-" in site.ranges
    assert corpora.add("fetched", f"{site.url}two.jsonl", silent).file_count == 1


REFUSED: list[tuple[str, type[LimaError]]] = [
    ("http://127.0.0.1:1/dumps/", InvalidInput),
    ("{site}../secret.xml", InvalidInput),
    ("{site}none.xml", NotFound),
    ("{site}down.xml", Unavailable),
    ("{site}away.xml", InvalidInput),
    ("{site}loop.xml", Unavailable),
    ("{site}large.xml", ResourceExhausted),
    ("{site}empty/", NotFound),
    ("{site}.hidden", InvalidInput),
]


@pytest.mark.parametrize(("address", "error"), REFUSED)
def test_what_is_not_there_or_not_allowed(site: Site, tmp_path: Path, address: str, error: type[LimaError]) -> None:
    site.redirects = {"/dumps/away.xml": "http://127.0.0.9/dumps/one.xml", "/dumps/loop.xml": "/dumps/loop.xml"}
    site.files |= {"/dumps/large.xml": b"x" * 6000, "/dumps/empty/": b"<p>nothing</p>"}
    with pytest.raises(error):
        Web((site.url,), max_bytes=5000).fetch(address.replace("{site}", site.url), tmp_path, silent)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["https://archive.org/download", "ftp://x/", "http://me:secret@x/"])
def test_allowed_addresses_are_checked(value: str) -> None:
    with pytest.raises(InvalidInputs, match="IMPORT_URLS"):
        CurationSettings(curation_import_urls=(value,))
