"""A large Posts.xml out of a small one: its rows repeated, with ids and parents renumbered in each copy."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

SAMPLE = Path(__file__).parent.parent / "experiments" / "sample_corpora" / "stackexchange"
_REFERENCE = re.compile(rb' (Id|ParentId|AcceptedAnswerId)="(\d+)"')


def write_dump(source: Path, target: Path, size: int) -> int:
    """Write at least `size` bytes of whole copies of the rows of `source`; return how many copies."""
    rows = [line for line in source.read_bytes().splitlines() if line.lstrip().startswith(b"<row ")]
    pieces = [_REFERENCE.split(row) for row in rows]
    step = 1 + max(int(piece[2]) for piece in pieces)
    written = copies = 0
    with target.open("wb") as out:
        out.write(b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>\n<posts>\n')
        while written < size:
            block = b"\n".join(_renumbered(piece, copies * step) for piece in pieces) + b"\n"
            out.write(block)
            written += len(block)
            copies += 1
        out.write(b"</posts>\n")
    return copies


def _renumbered(pieces: list[bytes], shift: int) -> bytes:
    """`pieces` are a row split at its references: text, name, number, text, name, number, ..."""
    parts = [pieces[0]]
    for name, number, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        parts.append(b' %s="%d"%s' % (name, int(number) + shift, text))
    return b"".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--mebibytes", type=int, default=200)
    arguments = parser.parse_args()
    copies = write_dump(arguments.source, arguments.target, arguments.mebibytes << 20)
    print(f"{copies} copies, {arguments.target.stat().st_size >> 20} MiB")


if __name__ == "__main__":
    main()
