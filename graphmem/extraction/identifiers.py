"""Names that no language model is needed for: identifiers, and whole dates."""

from __future__ import annotations

from collections.abc import Iterable

import regex

from graphmem.base.dates import find_dates, whole_date
from graphmem.base.identifiers import LOG_HEAD, find_identifiers, quoted_identifiers, values
from graphmem.sources.markup import as_read
from graphmem.types import Passage

_PIECE = regex.compile(r"[12]\d{3}-\d\d-?")
_BRACKETS = regex.compile(r"\[[^\]\n]{0,80}\]")
VERSION = "3"
"""Of what is found here."""


def exact_names(passage: Passage) -> list[str]:
    """Days as ISO 8601 has them, identifiers and values as written, of a passage as written.

    >>> exact_names(Passage("1", "On 7 April 1993 `numpy` broke #48213."))
    ['1993-04-07', '48213', 'numpy']
    """
    names: list[str] = []
    read = as_read(passage)
    for text in (read.title, read.text):
        dates = find_dates(text)
        names += (day for _, _, days in dates for day in days)
        left_out = [(start, end) for start, end, _ in dates] + _speakers(text)
        for start, end in find_identifiers(text):
            if not any(start < last and first < end for first, last in left_out):
                names.append(text[start:end])
    names += values(read.text)
    return names + [passage.text[start:end] for start, end in quoted_identifiers(passage.text)]


def _speakers(text: str) -> list[tuple[int, int]]:
    """Heads of lines of a log but what stands in brackets: who speaks, hundreds of times."""
    spans = []
    for match in LOG_HEAD.finditer(text) if ":" in text else ():
        start = match.start()
        for inside in _BRACKETS.finditer(text, *match.span()):
            spans.append((start, inside.start()))
            start = inside.end()
        spans.append((start, match.end()))
    return spans


def dates_as_days(names: Iterable[str]) -> list[str]:
    """The names, with whole dates among them as ISO 8601 has them, without pieces of such.

    >>> dates_as_days(["Ada", "April 7, 1993", "1993-04"])
    ['Ada', '1993-04-07']
    """
    whole = (said for name in names for said in (whole_date(name) or (name,)))
    return [name for name in whole if not _PIECE.fullmatch(name)]
