"""Submissions and comments of one subreddit, as Pushshift's monthly dumps have them.

One JSON object a line, compressed by Zstandard with a window of 2 GiB ("--long=31"): a reader with default settings
refuses such a frame, so the samples carry it too.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

import zstandard

WINDOW_LOG = 31
_FIRST_POST = 1_551_000_000  # seconds since 1970: in February 2019
_HOUR = 3600
_SUBREDDIT_IDS = {"WritingPrompts": "t5_2s3nb", "AskReddit": "t5_2qh1i"}
_PLACEHOLDERS = {"deleted": "[deleted]", "removed": "[removed]"}


def submissions(subreddit: str, posts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines of an RS_ file: a post that is gone keeps its title and score and loses its text."""
    for number, post in enumerate(posts):
        permalink = f"/r/{subreddit}/comments/{post['id']}/{_slug(post['title'])}/"
        yield {
            "author": post["author"],
            "created_utc": _FIRST_POST + 11 * _HOUR * number,
            "domain": f"self.{subreddit}",
            "edited": False,
            "id": post["id"],
            "is_self": True,
            "link_flair_text": "Writing Prompt" if subreddit == "WritingPrompts" else None,
            "locked": False,
            "name": f"t3_{post['id']}",
            "num_comments": len(post.get("replies", [])),
            "over_18": False,
            "permalink": permalink,
            "removed_by_category": "moderator" if post.get("state") == "removed" else None,
            "retrieved_on": _FIRST_POST + 9_000 * _HOUR,
            "score": post["score"],
            "selftext": _PLACEHOLDERS.get(post.get("state", ""), post.get("body", "")),
            "stickied": False,
            "subreddit": subreddit,
            "subreddit_id": _SUBREDDIT_IDS[subreddit],
            "title": post["title"],
            "url": f"https://www.reddit.com{permalink}",
        }


def comments(subreddit: str, posts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The lines of an RC_ file: replies to the posts themselves."""
    for number, post in enumerate(posts):
        for place, reply in enumerate(post.get("replies", [])):
            yield {
                "author": reply["author"],
                "body": _PLACEHOLDERS.get(reply.get("state", ""), reply.get("text", "")).strip(),
                "controversiality": 0,
                "created_utc": _FIRST_POST + 11 * _HOUR * number + (place + 2) * _HOUR,
                "distinguished": "moderator" if reply["author"] == "AutoModerator" else None,
                "edited": False,
                "gilded": 0,
                "id": f"{post['id']}{place}",
                "link_id": f"t3_{post['id']}",
                "parent_id": f"t3_{post['id']}",
                "retrieved_on": _FIRST_POST + 9_000 * _HOUR,
                "score": reply["score"],
                "stickied": reply["author"] == "AutoModerator",
                "subreddit": subreddit,
                "subreddit_id": _SUBREDDIT_IDS[subreddit],
            }


def compress(records: Iterable[dict[str, Any]]) -> bytes:
    """NDJSON in one Zstandard frame. Written as a stream: a frame of known size would drop the long window."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=WINDOW_LOG)
    compressed = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(compressed, closefd=False) as stream:
        for record in records:
            stream.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
    return compressed.getvalue()


def decompress(frame: bytes) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << WINDOW_LOG)
    return decompressor.stream_reader(io.BytesIO(frame)).read()


def _slug(title: str) -> str:
    words = "".join(character if character.isalnum() else " " for character in title.lower()).split()
    return "_".join(words)[:50]
