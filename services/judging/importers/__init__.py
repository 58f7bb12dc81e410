"""Verdicts and responses from the files of peers, and from our own.

    imported = read_verdicts("pandalm", stream, systems=())
    imported.entries       # what could be read
    imported.problems      # what could not, each with its place in the file

Every reader is bounded, needs no network, and refuses rather than guesses.
"""

from services.judging.importers.formats import (
    RESPONSE_FORMATS,
    VERDICT_FORMATS,
    read_response_file,
    read_verdicts,
)
from services.judging.importers.source import Entry, Imported

__all__ = ["RESPONSE_FORMATS", "VERDICT_FORMATS", "Entry", "Imported", "read_response_file", "read_verdicts"]
