"""Who wrote a post, as its licence asks to be told."""

from __future__ import annotations

import re

from services.curation.funnel import Funnel, MalformedLimit
from services.curation.sources import rows
from services.curation.sources.offset_index import OffsetIndex
from services.curation.sources.rows import MalformedRow, RowFile
from services.curation.sources.source import CorpusFile
from services.shared.records import Attribution

_USER_HEAD = re.compile(rb'<row Id="(-?\d{1,12})"')


class Authors:
    """Display names from a site's Users.xml, read on demand. Without the file, "user <id>"."""

    def __init__(self, users: CorpusFile | None) -> None:
        self._users = users
        self._index = OffsetIndex()
        self._rows: RowFile | None = None

    def __enter__(self) -> Authors:
        if self._users is not None:
            self._read_index(self._users)
            self._rows = RowFile(self._users.path)
        return self

    def __exit__(self, *error: object) -> None:
        if self._rows is not None:
            self._rows.close()

    def _read_index(self, users: CorpusFile) -> None:
        # A user that cannot be read costs a name, not an example: nothing here is fatal.
        tolerant = MalformedLimit(Funnel(), users.name, 1 << 60)
        with users.path.open("rb", buffering=0) as file:
            for base, block, start, _ in rows.tags(file, tolerant):
                if head := _USER_HEAD.match(block, start):
                    self._index.ids.append(int(head[1]))
                    self._index.offsets.append(base + start)

    def name(self, values: dict[str, str]) -> str:
        """The author of a post row."""
        user = values.get("OwnerUserId", "")
        fallback = values.get("OwnerDisplayName") or (f"user {user}" if user else "an anonymous user")
        if self._rows is None or not re.fullmatch(r"-?\d{1,12}", user):
            return fallback
        offset = self._index.find(int(user))
        if offset is None:
            return fallback
        try:
            return rows.attributes(self._rows.row(offset)).get("DisplayName") or fallback
        except MalformedRow:
            return fallback


def post_attribution(
    host: str, question: dict[str, str], answer: dict[str, str], authors: Authors, licences: set[str]
) -> Attribution:
    """Attribution of an example made of a question and one of its answers, under the licences of all its parts."""
    asked, answered = authors.name(question), authors.name(answer)
    return Attribution(
        url=f"https://{host}/a/{answer.get('Id', '')}",
        author=answered if asked == answered else f"{answered} (answer), {asked} (question)",
        licence=" AND ".join(sorted(licences)),
        title=" ".join(question.get("Title", "").split()),
        created=answer["CreationDate"],
    )
