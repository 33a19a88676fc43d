"""Markdown: its title, its front matter and comments taken off, the rest as it stands."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, time
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from graphmem.sources.formats.content import LONGEST_TITLE, Content, one_line
from graphmem.sources.markup import head_fields

_FRONT_MATTER = re.compile(
    r"(?:[ \t]*\n)*(---|\+\+\+)[ \t]*\n(.*?\n)??(\1|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL
)
_KEPT = (str, int, float, bool)


@cache
def parser() -> MarkdownIt:
    """A parser of GitHub's Markdown that stops at blocks: lines, and not what is in them."""
    made = MarkdownIt("commonmark").enable("table")
    made.core.ruler.enableOnly(["block"])
    return made


def read(text: str) -> Iterator[Content]:
    r"""One document. Its title is that of the front matter, else the first heading.

    The line of that heading, the front matter and comments are no part of the text.

    >>> made = next(read("---\ntitle: Ada\nyear: 1843\n---\n<!-- draft -->\nShe *wrote*.\n"))
    >>> made.text, made.title, made.metadata, made.places
    ('She *wrote*.\n', 'Ada', {'year': 1843}, [(0, {'line': 6})])
    >>> next(read("    # no\n\nIntro\n\n[Ada](ada.html)\n==\n\nShe.")).title
    'Ada'
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ").removeprefix("\ufeff")
    front, start = _front_matter(text)
    title, metadata = "", {}
    for key, value in front.items():
        if key == "title" and isinstance(value, str | int | float):
            title = one_line(str(value))
        else:
            metadata[str(key)] = value
    body = text[start:]
    lines = body.split("\n")
    keep = [True] * len(lines)
    own = title  # a heading that says the same is taken off too
    tokens = parser().parse(body)
    seen = False
    for at, token in enumerate(tokens):
        if token.map is None:
            continue
        first, end = token.map
        if token.type == "html_block" and _is_comment(token.content):
            keep[first:end] = [False] * (end - first)
        elif token.type == "heading_open" and not seen:
            seen = True
            found = _plain(tokens[at + 1].content)
            if found and (not own or own == found):
                title = found
                keep[first:end] = [False] * (end - first)
    kept = "\n".join(line for line, good in zip(lines, keep, strict=True) if good)
    if not kept.strip():
        yield Content(title, title, metadata)
        return
    yield Content(kept, title, metadata, _line_places(lines, keep, text.count("\n", 0, start)))


def _front_matter(text: str) -> tuple[Mapping[str, Any], int]:
    """Fields of a head of YAML or TOML, and where the text begins after it."""
    match = _FRONT_MATTER.match(text)
    if not match or not match[2]:
        return {}, 0
    fields = head_fields(match[1], match[2])
    if fields is None:
        return {}, 0
    simple = {str(key): _json(value) for key, value in fields.items()}
    return {key: value for key, value in simple.items() if value is not None}, match.end()


def _json(value: Any) -> Any:
    """The value where it is a simple one of JSON, or a list of such; dates as text; else None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, _KEPT):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list) and len(value) <= 100:  # lists in it may hold it again
        return [_json(item) for item in value if isinstance(item, (*_KEPT, date))]
    return None


def _is_comment(block: str) -> bool:
    block = block.strip()
    return block.startswith("<!--") and block.find("-->") in (-1, len(block) - 3)


def _plain(inline: str) -> str:
    """Text of a heading without its marks; a long one, which may take for ever, as it stands."""
    if len(inline) > LONGEST_TITLE:
        return one_line(inline)
    return one_line("".join(map(_text, MarkdownIt("commonmark").parseInline(inline))))


def _text(token: Token) -> str:
    if token.children:
        return "".join(map(_text, token.children))
    if token.type in ("softbreak", "hardbreak"):
        return " "
    return token.content if token.type in ("text", "code_inline", "image", "text_special") else ""


def _line_places(
    lines: list[str], keep: list[bool], before: int
) -> list[tuple[int, dict[str, Any]]]:
    """Where runs of kept lines begin in what is kept, without the blank ones at its start."""
    places: list[tuple[int, dict[str, Any]]] = []
    at, blank, last = 0, True, -2
    for number, (line, good) in enumerate(zip(lines, keep, strict=True)):
        if not good or (blank and not line.strip()):
            continue
        blank = False
        if number != last + 1:
            places.append((at, {"line": before + number + 1}))
        last = number
        at += len(line) + 1
    return places
