"""Local dumps on their way into the store: hashed, uploaded, and imported as a corpus."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from services.shared.digest import digest_file, digest_json
from services.shared.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from lima.curation.v1.curation_pb2 import Corpus
    from services.cli.client import Services
    from services.cli.output import Progress


# Told here before anything is uploaded; the server holds to the same rule.
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


def corpus_files(folder: Path) -> dict[str, Path]:
    """Relative name to path of every file of a corpus, which may also be a single file.

    Raises InvalidInput if there is none. Links are followed only inside the folder.
    """
    if folder.is_file():
        return {folder.name: folder}
    root = folder.resolve()
    files = {
        str(path.relative_to(folder)): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.resolve().is_relative_to(root)
    }
    if not files:
        raise InvalidInput("corpus folder", str(folder), "holds no file", remedy="put the dumps there first")
    return files


def folder_digest(folder: Path) -> str:
    """Of names and contents; where the folder lies and when its files changed does not matter."""
    return digest_json({name: digest_file(path) for name, path in corpus_files(folder).items()})


async def import_address(services: Services, name: str, address: str, progress: Progress) -> Corpus:
    """Import what the server can reach itself: a prefix of its store, or a web address that it may fetch from."""
    from lima.curation.v1.curation_pb2 import Corpus, ImportCorpusRequest

    operation = await services.curation.ImportCorpus(ImportCorpusRequest(corpus_id=name, source_uri=address))
    return await services.follow("curation", operation, Corpus(), progress)


async def import_folder(services: Services, name: str, folder: Path, progress: Progress) -> Corpus:
    """Upload a folder and import it as the corpus `name`. The same content gives the same corpus."""
    if not NAME.fullmatch(name):
        raise InvalidInput("NAME", name, "must be 1 to 63 of a-z, 0-9 and -, not starting or ending with -")
    files = corpus_files(folder)
    prefix = f"uploads/{name}/{await asyncio.to_thread(folder_digest, folder)}"
    try:
        for index, (relative, path) in enumerate(files.items()):
            progress.update("uploading", index, len(files), "files")
            await asyncio.to_thread(services.store.put_file, f"{prefix}/{relative}", path)
        return await import_address(services, name, services.store.uri(prefix), progress)
    finally:
        await asyncio.to_thread(services.store.delete_prefix, f"{prefix}/")
