"""Who wrote a post and under which licence, as the licence asks to be told."""

from __future__ import annotations

import re

from services.curation.funnel import Funnel, MalformedLimit
from services.curation.sources import rows
from services.curation.sources.offset_index import OffsetIndex
from services.curation.sources.rows import MalformedRow, RowFile
from services.curation.sources.source import CorpusFile
from services.shared.records import Attribution

# First day of each later licence of the network (stackoverflow.com/help/licensing).
_LICENCES = (("2018-05-02", "CC-BY-SA-4.0"), ("2011-04-08", "CC-BY-SA-3.0"), ("0000", "CC-BY-SA-2.5"))
_DATE = re.compile(r"(?:200[89]|20[1-9]\d)-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T")
_USER_HEAD = re.compile(rb'<row Id="(-?\d{1,12})"')


def licence_of(values: dict[str, str]) -> str:
    """The licence a row states, or the one in force when it was written. Raises MalformedRow for an absurd date."""
    created = values.get("CreationDate", "")
    if not _DATE.match(created):
        raise MalformedRow(f"CreationDate is {created[:40]!r}, not a date of the network's life")
    stated = values.get("ContentLicense", "")
    if stated:
        return re.sub(r"\s+", "-", stated.strip())[:40]
    return next(licence for first_day, licence in _LICENCES if created[:10] >= first_day)


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
    host: str, title: str, question: dict[str, str], answer: dict[str, str], authors: Authors
) -> Attribution:
    """Attribution of an example made of a question and one of its answers."""
    asked, answered = authors.name(question), authors.name(answer)
    licences = {licence_of(question), licence_of(answer)}
    return Attribution(
        url=f"https://{host}/a/{answer.get('Id', '')}",
        author=answered if asked == answered else f"{answered} (answer), {asked} (question)",
        licence=" AND ".join(sorted(licences)),
        title=title,
        created=answer["CreationDate"],
    )
