"""Subtitles: what is said, with the time of each line as its place."""

from __future__ import annotations

from collections.abc import Iterator

import pysubs2

from graphmem.errors import DataError
from graphmem.sources.formats.content import Content, one_line

_GAP = 3000  # milliseconds of silence that begin a paragraph


def read(text: str) -> Iterator[Content]:
    """One document, with the time of each line.

    Raises:
        DataError: They are no subtitles.
    """
    try:
        found = pysubs2.SSAFile.from_string(text)
    except (pysubs2.Pysubs2Error, ValueError, IndexError, KeyError) as error:
        raise DataError(f"no subtitles: {error}") from error
    said = ""
    places = []
    last = None
    for event in found:
        line = one_line(event.plaintext)
        if event.is_comment or not line:
            continue
        if last is not None:
            said += "\n\n" if event.start - last > _GAP else "\n"
        seconds = event.start // 1000
        stamp = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        places.append((len(said), {"time": stamp}))
        said += line
        last = event.end
    yield Content(said, places=places)
