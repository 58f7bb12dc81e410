"""Dumps from the web: one file, or every file that the index page of a folder links to.

Index pages of the Internet Archive and of ordinary web servers are understood. The server fetches only below the
addresses it was started with, so that nobody can make it read what only it can reach.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import httpx
from selectolax.lexbor import LexborHTMLParser

from services.curation.archives import SUFFIXES
from services.shared.errors import InvalidInput, NotFound, ResourceExhausted, Unavailable

MAX_INDEX_BYTES = 16 << 20
MAX_FILES = 10_000
MAX_REDIRECTS = 5
ATTEMPTS = 3
RETRY_SECONDS = 1.0
TIMEOUT = httpx.Timeout(60.0, connect=15.0)
_WANTED = (*SUFFIXES, ".xml", ".json", ".jsonl", ".ndjson", ".csv", ".parquet", ".html", ".htm")
_NAME = re.compile(r"[\w.()+,@ -]{1,200}")


def is_web(address: str) -> bool:
    return address.lower().startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class Web:
    """`allowed` are the addresses below which may be fetched; `max_bytes` bounds what one file may hold."""

    allowed: tuple[str, ...] = ()
    max_bytes: int = 1 << 40

    def fetch(self, address: str, folder: Path, report: Callable[[str, int, int], None]) -> list[Path]:
        """Fetch a file, or the files below an address that ends with "/", into an existing folder.

        Raises InvalidInput for an address that is not allowed, NotFound, ResourceExhausted, Unavailable.
        """
        self._check(address)
        fetched = []
        with httpx.Client(timeout=TIMEOUT, headers={"user-agent": "lima", "accept-encoding": "identity"}) as client:
            addresses = self._linked(client, address) if address.endswith("/") else [address]
            for place, one in enumerate(addresses):
                report("fetching", place, len(addresses))
                target = folder / file_name(one)
                self._download(client, one, target)
                fetched.append(target)
        return fetched

    def _check(self, address: str) -> None:
        parts = urlsplit(address)
        sound = parts.hostname and not (parts.username or parts.password or parts.fragment) and "/.." not in address
        if not sound or not any(address.startswith(prefix) for prefix in self.allowed):
            raise InvalidInput(
                "source_uri",
                address,
                f"must lie below an address that the server fetches from: {', '.join(self.allowed) or 'none is set'}",
                "Start the server with LIMA_CURATION_IMPORT_URLS, a JSON list of addresses that end with /.",
            )

    def _linked(self, client: httpx.Client, address: str) -> list[str]:
        """The files that an index page links to directly below its own address, in order."""
        with self._opened(client, address, 0) as response:
            page = bytearray()
            for chunk in response.iter_bytes():
                page += chunk
                if len(page) > MAX_INDEX_BYTES:
                    raise ResourceExhausted(f"the index page {address} is longer than {MAX_INDEX_BYTES} bytes")
        links = (node.attributes.get("href") or "" for node in LexborHTMLParser(bytes(page)).css("a[href]"))
        below = {urljoin(address, link).partition("#")[0] for link in links}
        found = sorted(link for link in below if link.startswith(address) and _is_dump(link.removeprefix(address)))
        if not found:
            raise NotFound(
                "link to a dump", address, remedy="Name the file itself, or a folder whose index lists files."
            )
        if len(found) > MAX_FILES:
            raise ResourceExhausted(f"{address} links to {len(found)} files; at most {MAX_FILES} are fetched at once")
        return found

    def _download(self, client: httpx.Client, address: str, target: Path) -> None:
        """Whole or absent; a broken connection goes on where it stopped, if the other side can."""
        partial = target.with_name(f".{target.name}.partial")
        try:
            for attempt in range(ATTEMPTS):
                try:
                    self._continue(client, address, partial)
                    partial.replace(target)
                    return
                except Unavailable:
                    if attempt + 1 == ATTEMPTS:
                        raise
                    time.sleep(RETRY_SECONDS * 2**attempt)
        finally:
            partial.unlink(missing_ok=True)

    def _continue(self, client: httpx.Client, address: str, partial: Path) -> None:
        have = partial.stat().st_size if partial.is_file() else 0
        with self._opened(client, address, have) as response, partial.open("ab") as out:
            if response.status_code != httpx.codes.PARTIAL_CONTENT:
                out.truncate(0)
            for chunk in response.iter_bytes():
                out.write(chunk)
                if out.tell() > self.max_bytes:
                    raise ResourceExhausted(
                        f"{address} holds more than {self.max_bytes} bytes",
                        remedy="If the file is sound, raise LIMA_CURATION_MAX_DECODED_BYTES.",
                    )

    @contextmanager
    def _opened(self, client: httpx.Client, address: str, offset: int) -> Iterator[httpx.Response]:
        """A good response to GET, after redirects that stay with the hosts allowed."""
        headers = {"range": f"bytes={offset}-"} if offset else {}
        try:
            for _ in range(MAX_REDIRECTS + 1):
                with client.stream("GET", address, headers=headers) as response:
                    if not response.has_redirect_location:
                        _raise_for(response, address)
                        yield response
                        return
                    address = urljoin(address, response.headers["location"])
                    self._check_redirect(address)
        except httpx.HTTPError as error:
            raise Unavailable(f"{address} cannot be fetched: {error or type(error).__name__}") from error
        raise Unavailable(f"more than {MAX_REDIRECTS} redirects, the last to {address}")

    def _check_redirect(self, address: str) -> None:
        """A redirect may lead to an allowed host or below one: archives send to the machine that holds the file."""
        target = urlsplit(address)
        for allowed in map(urlsplit, self.allowed):
            same_port = (target.port, target.scheme) == (allowed.port, allowed.scheme)
            host = target.hostname or ""
            if same_port and (host == allowed.hostname or host.endswith(f".{allowed.hostname}")):
                return
        raise InvalidInput("source_uri", address, "is where the address redirects to, on a host that is not allowed")


def file_name(address: str) -> str:
    """The name under which a file is kept. Raises InvalidInput for one that is no plain name."""
    name = unquote(urlsplit(address).path).rpartition("/")[2]
    if not _NAME.fullmatch(name) or name.startswith("."):
        raise InvalidInput("source_uri", address, "must end with a plain file name, or with / for a folder")
    return name


def _is_dump(link: str) -> bool:
    name = unquote(link)
    return "/" not in name and "?" not in name and (name.lower().endswith(_WANTED) or name.startswith(("RS_", "RC_")))


def _raise_for(response: httpx.Response, address: str) -> None:
    if response.status_code in (404, 410):
        raise NotFound("file", address)
    if response.status_code >= 500 or response.status_code == 429:
        raise Unavailable(f"{address} answers {response.status_code}")
    if not response.is_success:
        raise InvalidInput("source_uri", address, f"is refused by its server with {response.status_code}")
