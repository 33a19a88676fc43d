"""Rich text: its text."""

from __future__ import annotations

from collections.abc import Iterator

from striprtf.striprtf import rtf_to_text

from graphmem.errors import DataError
from graphmem.sources.formats.content import Content


def read(data: bytes) -> Iterator[Content]:
    """One document.

    Raises:
        DataError: It is damaged.
    """
    try:
        text = rtf_to_text(data.decode("latin-1"), errors="replace")  # type: ignore[no-untyped-call]
    except (ValueError, LookupError, IndexError, TypeError, AttributeError) as error:
        raise DataError(f"a damaged RTF file: {error}") from error
    yield Content(text.replace("|\n", "\n"))
