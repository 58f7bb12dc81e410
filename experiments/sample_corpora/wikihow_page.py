"""An article page in the markup of wikiHow, with the noise a real page has around its text."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template
from typing import Any

_PAGE = Template((Path(__file__).parent / "wikihow_page.html").read_text("utf-8"))
_ADVERTISEMENT = (
    '<div class="wh_ad_inner" data-service="adsense" data-type="{kind}"><div id="{kind}_ad_{number}"></div>'
    '<div class="al_method">Advertisement</div></div>\n'
    "<script>WH.ads.addBodyAd('{kind}_ad_{number}')</script>"
)
_VOTES = (
    '<div class="wh_vote_container"><span class="wh_thumb_response wh_thumb_msg">Thanks!</span><div>'
    '<a href="#" class="vote_up wh_vote_box">Helpful <span class="tr_vote">0</span></a>'
    '<a href="#" class="vote_down wh_vote_box">Not Helpful <span class="tr_vote">0</span></a></div></div>'
)


def article_page(slug: str, article: dict[str, Any]) -> str:
    """The whole page.

    Args:
        slug: the name in the address, such as "Poach-an-Egg"; the title follows from it.
        article: a parsed `written/wikihow/<slug>.yaml`, with `parts` (or bare `steps`, for an article without parts).
    """
    parts = article.get("parts") or [{"name": "", "steps": article["steps"]}]
    return _PAGE.substitute(
        slug=slug,
        title=escape(f"How to {_title(slug)}"),
        updated=article["updated"],
        intro=_text(article["intro"]),
        breadcrumbs="\n".join(
            f'<li><a href="/Category:{_anchor(name)}">{_text(name)}</a></li>' for name in article["categories"]
        ),
        contents=_contents(parts),
        steps=_steps(parts, slug),
        extras="\n".join(_extras(article)),
        references="\n".join(_reference(number, url) for number, url in enumerate(article["references"], start=1)),
    )


def _title(slug: str) -> str:
    return slug.replace("-", " ")


def _text(text: str) -> str:
    return escape(text.strip(), quote=False)


def _anchor(name: str) -> str:
    return escape(name.replace(" ", "-"))


def _contents(parts: list[dict[str, Any]]) -> str:
    entries = [
        f'<div class="method_toc_item  toc_method "><a href="#{_anchor(part["name"])}"><span>{number}</span>'
        f"{_text(part['name'])}</a></div>"
        for number, part in enumerate(parts, start=1)
        if part["name"]
    ]
    head = '<span class="header_toc">Explore this Article</span>'
    items = f'<div id="method_toc_list">{"".join(entries)}</div>'
    return f'<div id="method_toc" class="en_toc"><div>{head}{items}</div></div>'


def _steps(parts: list[dict[str, Any]], slug: str) -> str:
    heading = '<h2 class="section-heading hidden"><span class="mw-headline" id="Steps">Steps</span></h2>'
    sections = "\n".join(_part(number, len(parts), part, slug) for number, part in enumerate(parts, start=1))
    return f'{heading}\n<div class="mf-section-1 collapsible-block" id="mf-section-1">\n{sections}\n</div>'


def _part(number: int, count: int, part: dict[str, Any], slug: str) -> str:
    first = "steps_first " if number == 1 else ""
    heading = f'<span class="mw-headline" id="{_anchor(part["name"])}">{_text(part["name"])}</span>'
    label = f'<div>Part <span>{number}</span><span class="method_of_count"> of {count}:</span>\n</div>'
    steps = "\n".join(_step(number, place, step, slug) for place, step in enumerate(part["steps"], start=1))
    return (
        f'<div class="section steps  {first}sticky">\n'
        + (f'<h3 class="in-block">\n<div class="altblock">{label}\n</div>\n{heading}\n</h3>\n' if part["name"] else "")
        + f'<div id="steps_{number}" class="section_text">\n<ol class="steps_list_2">\n{steps}\n</ol>\n'
        + '<div class="clearall"></div>\n</div>\n</div>'
    )


def _step(part: int, place: int, step: dict[str, Any], slug: str) -> str:
    image = f"{slug}-Step-{part}{place}.jpg"
    notes = "\n".join(f"<li>{_text(note)}</li>" for note in step.get("notes", []))
    return (
        f'<li id="step-id-{part - 1}{place - 1}">\n<a name="step_{part}_{place}" class="stepanchor"></a>'
        f'<div class="mwimg  largeimage  floatcenter " style="max-width:728px"><a href="#/Image:{image}" class="image">'
        f'<img alt="Image titled {_title(slug)} Step {place}" class="whcdn" data-src="/images/thumb/{image}"/>'
        f'</a><div class="image_details" style="display:none;"><span style="display:none;">'
        f'{{"smallUrl":"https:\\/\\/www.wikihow.com\\/images\\/thumb\\/{image}","licensing":""}}</span></div></div>\n'
        f'<div class="step_num">{place}</div><div class="step">\n<b class="whb">{_text(step["lead"])}</b> '
        f"{_text(step['text'])}{_footnote(step.get('source'))}"
        + (f"\n<ul>\n{notes}\n</ul>" if notes else "")
        + '\n</div>\n<div class="clearall"></div>'
        + ("\n" + _ADVERTISEMENT.format(kind="method", number=part) if place == 1 else "")
        + "\n</li>"
    )


def _footnote(number: int | None) -> str:
    if number is None:
        return ""
    return (
        f'<sup id="_ref-{number}" class="reference"><a href="#_note-{number}">[{number}]</a>'
        f'<span class="ts_popup " id="ts_popup_{number}"><span class="ts_close">X</span>'
        '<span class="ts_name">Research source</span><span class="ts_description"></span>'
        '<a href="#" class="ts_source" target="_blank"></a></span></sup>'
    )


def _extras(article: dict[str, Any]) -> list[str]:
    """The boxes after the steps; an article has those for which something was written."""
    boxes = (("Tips", "tips"), ("Warnings", "warnings"), ("Things You'll Need", "things"))
    return [_box(title, key, article[key]) for title, key in boxes if article.get(key)]


def _box(title: str, key: str, entries: list[str]) -> str:
    name = "thingsyoullneed" if key == "things" else key
    inside = '<div class="checkmark"></div>{}' if key == "things" else "<div>{}</div>" + _VOTES
    items = "\n".join(f"<li>{inside.format(_text(entry))}</li>" for entry in entries)
    headline = f'<span class="mw-headline" id="{_anchor(title).replace("&#x27;", ".27")}">{_text(title)}</span>'
    return (
        f'<div class="section {name} sticky">\n<h2 class="section-heading">\n<div class="altblock"></div>\n'
        f'<div class="mw-ui-icon mw-ui-icon-element indicator"></div>\n{headline}\n</h2>\n'
        f'<div id="{name}" class="section_text">\n<ul>\n{items}\n</ul>\n<div class="clearall"></div>\n</div>\n</div>'
    )


def _reference(number: int, url: str) -> str:
    return (
        f'<li id="_note-{number}"><a href="#_ref-{number}" target="_blank">↑</a> <span class="reference-text">'
        f'<a rel="nofollow" class="external free" href="{escape(url)}" target="_blank">{escape(url)}</a></span></li>'
    )
