"""Posts.xml, Comments.xml and Users.xml of one site, in the format of the Stack Exchange data dump.

A dump begins with a byte-order mark and holds one row per line; bodies are HTML inside an XML attribute.
Dumps made before 2020 write tags as <a><b> and say nothing of the licence; newer ones write |a|b| and
put a ContentLicense on every row.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

Row = dict[str, str | int]

# When Stack Exchange changed the licence of new contributions.
LICENCES = (("2018-05-02", "CC BY-SA 4.0"), ("2011-04-08", "CC BY-SA 3.0"), ("", "CC BY-SA 2.5"))


def _render_fence(renderer: RendererHTML, tokens: list[Token], index: int, *_: object) -> str:
    """A fenced block as the site stores it: the language is a class of <pre>, not of <code>."""
    token = tokens[index]
    language = f' class="lang-{token.info} prettyprint-override"' if token.info else ""
    return f"<pre{language}><code>{_escape_text(token.content)}</code></pre>\n"


def _escape_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_MARKDOWN = MarkdownIt("commonmark")
_MARKDOWN.add_render_rule("fence", _render_fence)


def render_body(markdown: str) -> str:
    """The HTML of a post. The site separates block elements by an empty line."""
    return str(_MARKDOWN.render(markdown)).replace("</p>\n<", "</p>\n\n<")


def licence_on(date: str) -> str:
    return next(licence for since, licence in LICENCES if date >= since)


def site_files(site: dict[str, Any]) -> dict[str, str]:
    """The three files of a site, by name, from the parsed `written/stackexchange/<site>.yaml`."""
    return {
        "Posts.xml": _document("posts", _posts(site)),
        "Comments.xml": _document("comments", _comments(site)),
        "Users.xml": _document("users", _users(site)),
    }


def _document(root: str, rows: list[Row]) -> str:
    attributes = (" ".join(f'{name}="{_escape(value)}"' for name, value in row.items()) for row in rows)
    lines = [f"  <row {text} />" for text in attributes]
    return "\ufeff" + "\n".join(['<?xml version="1.0" encoding="utf-8"?>', f"<{root}>", *lines, f"</{root}>", ""])


def _escape(value: str | int) -> str:
    return _escape_text(str(value)).replace('"', "&quot;").replace("\n", "&#xA;")


def _posts(site: dict[str, Any]) -> list[Row]:
    rows = [row for question in site["questions"] for row in _question_rows(question, site["dump"])]
    rows += [_wiki_row(post) for post in site.get("wiki", [])]
    if site["dump"] == "new":
        rows = [row | {"ContentLicense": licence_on(str(row["CreationDate"]))} for row in rows]
    return sorted(rows, key=lambda row: int(row["Id"]))


def _question_rows(question: dict[str, Any], dump: str) -> Iterator[Row]:
    answers = question["answers"]
    accepted = next((answer["id"] for answer in answers if answer.get("accepted")), None)
    tags = question["tags"]
    yield (
        {"Id": question["id"], "PostTypeId": 1}
        | ({"AcceptedAnswerId": accepted} if accepted else {})
        | {"CreationDate": _time(question["date"]), "Score": question["score"], "ViewCount": question["views"]}
        | {"Body": render_body(question["body"]), "OwnerUserId": question["owner"]}
        | {"LastActivityDate": max(_time(post["date"]) for post in [question, *answers])}
        | {"Title": question["title"]}
        | {"Tags": f"|{'|'.join(tags)}|" if dump == "new" else "".join(f"<{tag}>" for tag in tags)}
        | {"AnswerCount": len(answers), "CommentCount": _comment_count(question, question["id"])}
    )
    for answer in answers:
        # The site drops the user id of a deleted account and keeps the name it had.
        owner: Row = (
            {"OwnerUserId": answer["owner"]} if "owner" in answer else {"OwnerDisplayName": answer["owner_name"]}
        )
        yield (
            {"Id": answer["id"], "PostTypeId": 2, "ParentId": question["id"]}
            | {"CreationDate": _time(answer["date"]), "Score": answer["score"], "Body": render_body(answer["body"])}
            | owner
            | {"LastActivityDate": _time(answer["date"]), "CommentCount": _comment_count(question, answer["id"])}
        )


def _wiki_row(post: dict[str, Any]) -> Row:
    """An excerpt (type 4) or a page (type 5) that explains a tag: no question and no answer."""
    return {
        "Id": post["id"],
        "PostTypeId": post["type"],
        "CreationDate": post["date"],
        "Score": 0,
        "Body": post["body"],
        "OwnerUserId": post["owner"],
        "LastActivityDate": post["date"],
        "CommentCount": 0,
    }


def _comments(site: dict[str, Any]) -> list[Row]:
    return [
        {"Id": comment["id"], "PostId": comment["post"], "Score": comment["score"], "Text": comment["text"]}
        | {"CreationDate": comment["date"], "UserId": comment["user"]}
        | ({"ContentLicense": licence_on(comment["date"])} if site["dump"] == "new" else {})
        for question in site["questions"]
        for comment in question.get("comments", [])
    ]


def _comment_count(question: dict[str, Any], post: int) -> int:
    return sum(comment["post"] == post for comment in question.get("comments", []))


def _users(site: dict[str, Any]) -> list[Row]:
    return [
        {"Id": number, "Reputation": 101, "CreationDate": f"{user['joined']}T00:00:00.000"}
        | {"DisplayName": user["name"], "Views": 0, "UpVotes": 0, "DownVotes": 0, "AccountId": 900_000 + number}
        for number, user in site["users"].items()
    ]


def _time(value: datetime) -> str:
    """Dumps give milliseconds and no time zone."""
    rounded = value + timedelta(microseconds=500)
    return rounded.isoformat(timespec="milliseconds")
