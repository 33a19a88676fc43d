"""Word: by mammoth to HTML, and from there as a web page."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from xml.parsers.expat import ExpatError
from xml.sax import SAXException

import mammoth

from graphmem.errors import DataError
from graphmem.sources.formats.archive import check_markup, open_archive
from graphmem.sources.formats.content import Content
from graphmem.sources.formats.html import to_markdown
from graphmem.sources.formats.xml import core_properties

_BROKEN = (
    *(ExpatError, SAXException, KeyError, ValueError, AttributeError, IndexError, TypeError),
    *(zipfile.BadZipFile, OSError, RecursionError, NotImplementedError, EOFError),
)


def read(data: bytes) -> Iterator[Content]:
    """One document, with its headings, lists, tables and notes.

    Raises:
        DataError: It is damaged.
    """
    with open_archive(data) as archive:
        check_markup(archive)
        title, metadata = core_properties(archive)
    try:
        made = mammoth.convert_to_html(
            io.BytesIO(data), convert_image=mammoth.images.img_element(lambda _: {})
        )
    except _BROKEN as error:
        raise DataError(f"a damaged Word file: {error}") from error
    text = to_markdown(made.value)
    if not title and text.startswith("# "):
        head, _, rest = text.partition("\n")
        if rest.strip() and "\n# " not in rest:
            title, text = head[2:], rest.strip()
    yield Content(text, title, metadata)
