"""Compressed dumps: Zstandard with long windows, gzip, bzip2, xz, 7z; decoded once, and only so much."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from services.shared.errors import DataCorrupt

CHUNK = 1 << 20
# Pushshift compresses with a window of 2 GiB.
MAX_WINDOW_LOG = 31
SUFFIXES = (".zst", ".gz", ".bz2", ".xz", ".7z")


class ArchiveDamaged(DataCorrupt):
    """An archive that cannot be decoded, or that decodes to more than it may."""


def is_compressed(name: str) -> bool:
    return name.lower().endswith(SUFFIXES[:-1])


def is_7z(name: str) -> bool:
    return name.lower().endswith(".7z")


def decoded_name(name: str) -> str:
    return name[: name.rindex(".")]


def decode_file(source: Path, name: str, target: Path, max_bytes: int) -> None:
    """Decode one compressed file. Raises ArchiveDamaged; leaves nothing then."""
    written = 0
    partial = target.with_name(f".{target.name}.partial")
    try:
        with source.open("rb") as raw, _opened(raw, name) as stream, partial.open("wb") as out:
            while chunk := stream.read(CHUNK):
                written += len(chunk)
                if written > max_bytes:
                    raise _too_large(name, max_bytes)
                out.write(chunk)
        partial.replace(target)
    except (zstd.ZstdError, OSError, EOFError, lzma.LZMAError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise _damaged(name, written, str(error)) from error
    finally:
        partial.unlink(missing_ok=True)


def _opened(raw: BinaryIO, name: str) -> BinaryIO:
    lower = name.lower()
    if lower.endswith(".zst"):
        return cast(BinaryIO, zstd.ZstdFile(raw, options={zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG}))
    if lower.endswith(".gz"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if lower.endswith(".bz2"):
        return cast(BinaryIO, bz2.BZ2File(raw))
    return cast(BinaryIO, lzma.LZMAFile(raw))


def extract_7z(
    source: Path, name: str, folder: Path, max_bytes: int, wanted: tuple[str, ...] = (".xml",)
) -> list[Path]:
    """Extract the wanted members of a 7z archive in a process of its own; memory and output are bounded there.

    The archive's native decoder runs outside this program: 7zz or 7z where it is installed, else liblzma through py7zr.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "services.curation.extract", str(source), str(folder), str(max_bytes), *wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        lines = done.stderr.strip().splitlines()
        raise _damaged(name, 0, lines[-1] if lines else f"the decoder ended with {done.returncode}")
    # A link in an archive may point at any file of this machine.
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def compress_zst(source: Path, target: Path) -> None:
    """Zstandard at level 6: about the size of 7z's fastest, decoded at a gigabyte a second."""
    with source.open("rb") as raw, zstd.open(target, "wb", level=6) as out:
        shutil.copyfileobj(raw, out, CHUNK)


def safe_member(name: str) -> bool:
    """Whether an archive member's name stays below the folder it is extracted to."""
    path = PurePosixPath(name.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts and bool(path.parts) and ":" not in path.parts[0]


def _too_large(name: str, max_bytes: int) -> ArchiveDamaged:
    return ArchiveDamaged(
        f"{name} decodes to more than {max_bytes} bytes",
        remedy="If the file is sound, raise LIMA_CURATION_MAX_DECODED_BYTES.",
    )


def _damaged(name: str, offset: int, reason: str) -> ArchiveDamaged:
    return ArchiveDamaged(
        f"{name} cannot be decoded after {offset} bytes: {reason}", remedy="Fetch the file again: it is cut or damaged."
    )
