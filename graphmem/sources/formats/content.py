"""What a reader of a format gives back, and the Markdown that all of them write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Places = Sequence[tuple[int, Mapping[str, Any]]]
"""Where in its file a text stands: from a character on, fields like {"page": 3}, in order."""
LONGEST_TITLE = 1000
"""Characters; more are a text, and would stand before every piece of it."""


@dataclass(frozen=True, slots=True)
class Content:
    """A document as text, with headings, tables, lists and code as in Markdown.

    Attributes:
        text: The text, "" where there is none.
        title: What the document says of itself, "" where nothing.
        metadata: Author, date and the like, JSON values.
        places: Pages and lines of the text.
        part: Which document of its file it is, where a file holds several, else "".
    """

    text: str
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    places: Places = ()
    part: str = ""


def one_line(text: str) -> str:
    r"""Blanks of any kind and length as one space.

    >>> one_line("  two\n words ")
    'two words'
    """
    return " ".join(text.split())


def heading(level: int, text: str) -> str:
    """A heading of level 1 to 6, "" where it has no text."""
    text = one_line(text)
    return f"{'#' * min(max(level, 1), 6)} {text}" if text else ""


def code(text: str, language: str = "") -> str:
    """A block of code, in a fence that its text does not hold."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text.rstrip()}\n{fence}" if text.strip() else ""


def table(rows: Iterable[Sequence[str]]) -> str:
    r"""A table whose first row is the header, without empty rows and columns.

    >>> print(table([["Town", "", "River"], ["York", "", "Ouse | Foss"], ["", "", ""]]))
    | Town | River |
    | --- | --- |
    | York | Ouse \| Foss |
    """
    lines = [[one_line(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = [line for line in lines if any(line)]
    if not lines:
        return ""
    width = max(map(len, lines))
    lines = [line + [""] * (width - len(line)) for line in lines]
    kept = [column for column in range(width) if any(line[column] for line in lines)]
    head, *body = [f"| {' | '.join(line[column] for column in kept)} |" for line in lines]
    return "\n".join([head, f"|{' --- |' * len(kept)}", *body])


def join_blocks(blocks: Iterable[str]) -> str:
    """Blocks with a blank line between, empty ones left out."""
    return "\n\n".join(block.strip("\n") for block in blocks if block.strip())


def join_pages(pages: Iterable[tuple[Mapping[str, Any], str]]) -> tuple[str, Places]:
    r"""Texts with a blank line between, and the places where each begins.

    >>> join_pages([({"page": 1}, "One."), ({"page": 2}, " "), ({"page": 3}, "Three.")])
    ('One.\n\nThree.', [(0, {'page': 1}), (6, {'page': 3})])
    """
    parts: list[str] = []
    places: list[tuple[int, Mapping[str, Any]]] = []
    at = 0
    for place, page in pages:
        page = page.strip()
        if page:
            places.append((at, place))
            parts.append(page)
            at += len(page) + 2
    return "\n\n".join(parts), places
