"""Where a text may be cut, and what each part of it stands under: headings and table headers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import regex

from graphmem.base.text import sentence_spans
from graphmem.sources.formats.markdown import parser

Kind = Literal["text", "line", "item", "code", "head", "row"]

# What structured text has somewhere: a heading, a fence, the line under a table's header.
_SIGNS = regex.compile(
    r"^[ ]{0,3}(?:#{1,6}[ \t]+\S|```|~~~"
    r"|(?=[^\n]*\|)\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*+\|?[ \t]*$"
    r"|[-*+][ \t]+\S|\d{1,9}[.)][ \t]+\S)",
    regex.MULTILINE,
)
_LONGEST_HEADING = 200
_LARGEST = 4_000_000  # characters; a longer text is cut as prose


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a text that is not cut where it fits.

    Attributes:
        start: Its first character.
        end: The character after its last.
        kind: Of what it is a part; "head" must not be the last of a piece.
        headings: The headings over it, as they stand in the text, the outermost first.
        header: The header of its table and the line under it, "" elsewhere.
    """

    start: int
    end: int
    kind: Kind
    headings: tuple[str, ...] = ()
    header: str = ""


def line_units(text: str) -> list[Unit]:
    r"""The lines that are not blank.

    >>> [unit.start for unit in line_units("one\n\n  two\n")]
    [0, 7]
    """
    return [Unit(*match.span(), "line") for match in regex.finditer(r"\S(?:[^\n]*\S)?", text)]


def markdown_units(text: str) -> list[Unit]:
    r"""The sentences, list items, code blocks and table rows of a text; [] where it is prose.

    >>> text = "# A\n\nOne. Two.\n\n| x |\n| - |\n| 1 |\n"
    >>> for unit in markdown_units(text):
    ...     print(unit.kind, repr(text[unit.start : unit.end]), unit.headings, repr(unit.header))
    head '# A' () ''
    text 'One.' ('# A',) ''
    text 'Two.' ('# A',) ''
    head '| x |\n| - |' ('# A',) ''
    row '| 1 |' ('# A',) '| x |\n| - |'
    """
    if len(text) > _LARGEST or not _SIGNS.search(text):
        return []
    starts = [0]
    for match in regex.finditer("\n", text):
        starts.append(match.end())
    starts.append(len(text) + 1)
    units: list[Unit] = []
    headings: list[tuple[int, str]] = []
    covered = 0  # lines
    for kind, first, end, header_end, level in _blocks(text):
        if first < covered:
            continue
        path = tuple(line for _, line in headings)
        units += _sentences(text, starts[covered], starts[first], path)
        covered = end
        begin, stop = starts[first], starts[end] - 1
        if kind == "heading" and stop - begin <= _LONGEST_HEADING:
            line = text[begin:stop].strip()
            headings = [(n, said) for n, said in headings if n < level]
            units += _trimmed(text, begin, stop, "head", tuple(said for _, said in headings))
            headings.append((level, line))
        elif kind == "table":
            middle = starts[header_end] - 1
            header = text[begin:middle].strip("\n")
            units += _trimmed(text, begin, middle, "head", path)
            for row in range(header_end, end):
                units += _trimmed(text, starts[row], starts[row + 1] - 1, "row", path, header)
        elif kind in ("code", "item"):
            units += _trimmed(text, begin, stop, "code" if kind == "code" else "item", path)
        else:
            units += _sentences(text, begin, stop, path)
    path = tuple(line for _, line in headings)
    units += _sentences(text, starts[min(covered, len(starts) - 1)], len(text), path)
    return units


def _blocks(text: str) -> Iterator[tuple[str, int, int, int, int]]:
    """Kind, first line, line after the last, line after a table's header, level of a heading."""
    depth = 0
    for token in parser().parse(text):
        if token.map:
            first, end = token.map
            if depth == 1 and token.type == "list_item_open":
                yield "item", first, end, 0, 0
            elif depth == 0 and token.type == "heading_open":
                yield "heading", first, end, 0, int(token.tag[1])
            elif depth == 0 and token.type in ("fence", "code_block"):
                yield "code", first, end, 0, 0
            elif depth == 0 and token.type == "table_open":
                yield "table", first, end, first + 2, 0
            elif depth == 0 and token.type not in ("bullet_list_open", "ordered_list_open"):
                yield "text", first, end, 0, 0
        depth += token.nesting


def _trimmed(
    text: str,
    start: int,
    end: int,
    kind: Kind,
    headings: tuple[str, ...],
    header: str = "",
) -> Sequence[Unit]:
    part = text[start:end]
    body = part.strip()
    if not body:
        return ()
    if kind != "code":  # the blanks before code belong to it
        start += len(part) - len(part.lstrip())
    return (Unit(start, start + len(text[start:end].rstrip()), kind, headings, header),)


def _sentences(text: str, start: int, end: int, headings: tuple[str, ...]) -> list[Unit]:
    if end <= start:
        return []
    spans = sentence_spans(text[start:end])
    return [Unit(start + a, start + b, "text", headings) for a, b in spans]
