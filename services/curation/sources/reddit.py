"""Pushshift Reddit dumps: prompts of r/AskReddit, premises and best replies of r/WritingPrompts.

Submissions (RS_*) and comments (RC_*) are NDJSON, decoded from their long-window Zstandard when they were imported.
The top-voted are only candidates: the paper chose by hand, so these sources belong in the review queue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from services.curation.candidates import Candidate, Origin
from services.curation.funnel import MalformedLimit
from services.curation.sources.records import json_lines, text_field, whole_field
from services.curation.sources.source import CorpusFile, Draw, Part, Reading
from services.shared.records import Attribution, Turn

SCORE, DELETED, SELF_CONTAINED, REPLY, ADULT = (
    "score",
    "deleted or removed",
    "title alone",
    "best reply",
    "adult content",
)
GONE = frozenset({"[deleted]", "[removed]", "[deleted by user]", ""})
LICENCE = "LicenseRef-Reddit-User-Content"
_TAG = re.compile(
    r"^\s*[\[(](?:WP|SP|EU|CW|PM|TT|FF|OT|PI|RF|CC|MP|IP|PROMPT|WRITING PROMPT)[\])]\s*:?\s*", re.IGNORECASE
)
# Tags of the subreddit for posts that are no premise: discussion, image and media prompts, and the like.
_NO_PREMISE = re.compile(r"^\s*[\[(](?:OT|MODPOST|MOD|META|IP|MP|PI|RF|CC|OFF TOPIC)[\])]", re.IGNORECASE)
_LINK = re.compile(r"!?\[([^\]\n]{0,300})\]\((?:[^()\s]|\([^()\s]*\))*\)|<?https?://\S+")
_EDIT_NOTE = re.compile(r"(?im)^\s*[*_~]*\s*(?:edit|eta|update)\s*\d*\s*[:\-\u2013].*(?:\n(?!\n).*)*")


@dataclass(frozen=True, slots=True)
class Reddit:
    subreddit: Literal["AskReddit", "WritingPrompts"]
    min_score: int = 100
    min_characters: int = 400
    max_characters: int = 8192
    prompts_only: bool = False

    @property
    def draw(self) -> Draw:
        return Draw("none", "score")

    def parts(self, files: Sequence[CorpusFile]) -> list[Part]:
        """One part: a reply may stand in another month's file than its premise."""
        named = sorted((file for file in files if _is_dump(file.name)), key=lambda file: file.name)
        return [Part(f"r/{self.subreddit}", {file.name: file for file in named})] if named else []

    def read(self, part: Part, reading: Reading) -> Iterator[Candidate]:
        funnel = reading.funnel
        wants_reply = self.subreddit == "WritingPrompts" and not self.prompts_only
        funnel.declare(SCORE, DELETED, ADULT, SELF_CONTAINED, *([REPLY] if wants_reply else []))
        submissions: dict[str, _Submission] = {}
        for file in part.files.values():
            if not _is_comments(file.name):
                self._submissions(file, reading, submissions)
        replies = self._best_replies(part, reading, submissions) if wants_reply else {}
        for submission in submissions.values():
            reply = replies.get(submission.id)
            if wants_reply and reply is None:
                funnel.remove(
                    REPLY, submission.id, submission.prompt, "no reply of the wanted length that still stands"
                )
                continue
            yield self._candidate(submission, reply)

    def _submissions(self, file: CorpusFile, reading: Reading, kept: dict[str, _Submission]) -> None:
        malformed = MalformedLimit(reading.funnel, file.name, reading.max_malformed)
        wanted = self.subreddit.lower()
        with file.path.open("rb") as lines:
            for offset, record in json_lines(lines, malformed):
                if text_field(record, "subreddit").lower() != wanted:
                    continue
                score, name = whole_field(record, "score"), text_field(record, "id")
                if score is None or not re.fullmatch(r"[0-9a-z]{1,12}", name):
                    malformed.add(offset, f"submission {name[:20]!r} without a sound id and score")
                    continue
                if name in kept:
                    malformed.add(offset, f"a second submission with the id {name}")
                    continue
                reading.funnel.enter()
                submission = self._submission(
                    record, name, score, Origin(reading.corpus, file.name, offset, name), reading
                )
                if submission is not None:
                    kept[name] = submission

    def _submission(
        self, record: dict[str, Any], name: str, score: int, origin: Origin, reading: Reading
    ) -> _Submission | None:
        title, body = " ".join(text_field(record, "title").split()), text_field(record, "selftext")
        funnel = reading.funnel
        if score < self.min_score:
            funnel.remove(SCORE, name, title, f"score {score}; at least {self.min_score} is wanted")
        elif body in GONE - {""} or title in GONE or record.get("removed_by_category"):
            funnel.remove(DELETED, name, title, "deleted by its author or removed by moderators")
        elif record.get("over_18") is True:
            funnel.remove(ADULT, name, title, "marked as not for minors")
        elif problem := self._title_problem(record, title, body):
            funnel.remove(SELF_CONTAINED, name, title, problem)
        else:
            prompt = _TAG.sub("", title)
            return _Submission(name, prompt, score, origin, _attribution(record, title, f"/comments/{name}/"))
        return None

    def _title_problem(self, record: dict[str, Any], title: str, body: str) -> str | None:
        """Why the title alone is no prompt, or None."""
        if record.get("is_self") is False:
            return "a link, not a text"
        if self.subreddit == "AskReddit":
            if body:
                return "has a body: the title alone does not complete it"
            return None if title.endswith("?") or "?" in title else "asks nothing: no question mark"
        if _NO_PREMISE.match(title):
            return "a discussion or a picture prompt, no premise"
        if _LINK.search(title) or _LINK.search(body):
            return "leans on a link"
        return None if len(_TAG.sub("", title)) >= 20 else "too short to be a premise"

    def _best_replies(self, part: Part, reading: Reading, submissions: dict[str, _Submission]) -> dict[str, _Reply]:
        """The best top-level reply of the wanted length to each submission: highest score, then earliest."""
        best: dict[str, _Reply] = {}
        for file in part.files.values():
            if not _is_comments(file.name):
                continue
            malformed = MalformedLimit(reading.funnel, file.name, reading.max_malformed)
            with file.path.open("rb") as lines:
                for offset, record in json_lines(lines, malformed):
                    parent = text_field(record, "parent_id").removeprefix("t3_")
                    if parent not in submissions:
                        continue
                    reply = self._reply(record, Origin(reading.corpus, file.name, offset, text_field(record, "id")))
                    if reply and (parent not in best or reply.rank() > best[parent].rank()):
                        best[parent] = reply
        return best

    def _reply(self, record: dict[str, Any], origin: Origin) -> _Reply | None:
        score, body = whole_field(record, "score"), text_field(record, "body")
        if score is None or body in GONE or text_field(record, "author") in {"[deleted]", "AutoModerator"}:
            return None
        text = clean_reply(body)
        if not self.min_characters <= len(text) <= self.max_characters:
            return None
        created = whole_field(record, "created_utc", 1 << 40) or 0
        return _Reply(text, score, created, origin, text_field(record, "author"))

    def _candidate(self, submission: _Submission, reply: _Reply | None) -> Candidate:
        messages = [Turn(role="user", content=submission.prompt)]
        steps = [f"submission {submission.id} of r/{self.subreddit}, score {submission.score}"]
        attribution, origin, score = submission.attribution, submission.origin, submission.score
        if reply is not None:
            messages.append(Turn(role="assistant", content=reply.text))
            steps.append(f"best reply {reply.origin.row_id}, score {reply.score}; links and edit notes removed")
            author = f"{reply.author} (reply), {attribution.author} (premise)"
            attribution, origin = attribution.model_copy(update={"author": author}), reply.origin
        name = f"{self.subreddit.lower()}-{submission.id}"
        return Candidate(name, self.subreddit, score, tuple(messages), origin, attribution, steps=tuple(steps))


@dataclass(frozen=True, slots=True)
class _Submission:
    id: str
    prompt: str
    score: int
    origin: Origin
    attribution: Attribution


@dataclass(frozen=True, slots=True)
class _Reply:
    text: str
    score: int
    created: int
    origin: Origin
    author: str

    def rank(self) -> tuple[int, int, str]:
        return self.score, -self.created, self.origin.row_id


def clean_reply(body: str) -> str:
    """A reply as a text of its own: entities decoded, links to their text, notes on later edits left out."""
    text = body.replace("&gt;", ">").replace("&lt;", "<").replace("&amp;", "&").replace("\r\n", "\n")
    text = _EDIT_NOTE.sub("", _LINK.sub(lambda match: match[1] or "", text))
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _attribution(record: dict[str, Any], title: str, path: str) -> Attribution:
    created = whole_field(record, "created_utc", 1 << 40)
    link = text_field(record, "permalink")
    safe = link if re.fullmatch(r"/r/[\w/.-]{1,300}", link) else path
    return Attribution(
        url=f"https://www.reddit.com{safe}",
        author=text_field(record, "author") or "unknown",
        licence=LICENCE,
        title=title,
        created=datetime.fromtimestamp(created, UTC).isoformat() if created and 0 < created < 1 << 33 else "",
    )


def _is_dump(name: str) -> bool:
    base = name.rpartition("/")[2]
    return base.startswith(("RS_", "RC_")) or base.endswith(("_submissions", "_comments", ".ndjson"))


def _is_comments(name: str) -> bool:
    base = name.rpartition("/")[2]
    return base.startswith("RC_") or "_comments" in base
