"""Extracts members of a 7z archive: python -m services.curation.extract ARCHIVE FOLDER MAX_BYTES SUFFIX...

A process of its own, with its memory limited, because an archive is foreign input to a decoder.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from services.curation.archives import safe_member

MEMORY_BYTES = 4 << 30


def main(arguments: list[str]) -> int:
    archive, folder, max_bytes, *wanted = arguments
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(max_bytes), int(max_bytes)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        members = _members(Path(archive), int(max_bytes), tuple(wanted))
        native = shutil.which("7zz") or shutil.which("7z")
        if native:
            # After "--" a member's name is a name, also one that begins as a switch or a list of names does.
            command = [native, "x", "-y", f"-o{folder}", "-spd", "--", archive, *members]
            return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        _extract(Path(archive), Path(folder), members)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _members(archive: Path, max_bytes: int, wanted: tuple[str, ...]) -> list[str]:
    import py7zr

    with py7zr.SevenZipFile(archive) as opened:
        chosen = [item for item in opened.list() if not item.is_directory and item.filename.lower().endswith(wanted)]
    unsafe = [item.filename for item in chosen if not safe_member(item.filename)]
    if unsafe:
        raise ValueError(f"member {unsafe[0]!r} would leave the folder")
    if not chosen:
        raise ValueError(f"no member ends with {' or '.join(wanted)}")
    total = sum(item.uncompressed or 0 for item in chosen)
    if total > max_bytes:
        raise ValueError(f"decodes to {total} bytes; at most {max_bytes} are allowed")
    return [item.filename for item in chosen]


def _extract(archive: Path, folder: Path, members: list[str]) -> None:
    import py7zr

    with py7zr.SevenZipFile(archive) as opened:
        options: dict[str, Any] = {"targets": members}
        opened.extract(path=folder, **options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
