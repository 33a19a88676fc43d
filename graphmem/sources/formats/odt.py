"""OpenDocument text: headings, paragraphs, lists and tables."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

from lxml import etree
from odfdo import Document, Element
from odfdo.security import SecurityError

from graphmem.errors import DataError
from graphmem.sources.formats.archive import check_markup, open_archive, read_member
from graphmem.sources.formats.content import Content, heading, join_blocks, one_line, table

_BROKEN = (
    *(etree.LxmlError, SecurityError, KeyError, ValueError, AttributeError, IndexError, TypeError),
    *(zipfile.BadZipFile, OSError, NotImplementedError, EOFError, RecursionError),
)
_DEEPEST = 50


def read(data: bytes) -> Iterator[Content]:
    """One document.

    Raises:
        DataError: It is damaged.
    """
    with open_archive(data) as archive:
        read_member(archive, "content.xml")
        check_markup(archive)
    try:
        document = Document(io.BytesIO(data))
        title = one_line(document.meta.title or "")
        blocks = list(_blocks(document.body, 0))
    except _BROKEN as error:
        raise DataError(f"a damaged OpenDocument file: {error}") from error
    yield Content(join_blocks(blocks), title)


def _blocks(parent: Element, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise DataError("elements are nested too deeply")
    for child in parent.children:
        if child.tag == "text:h":
            yield heading(int(child.get_attribute("text:outline-level") or 1), child.inner_text)
        elif child.tag == "text:p":
            yield child.inner_text
        elif child.tag == "text:list":
            yield "\n".join(_items(child, 0))
        elif child.tag == "table:table":
            rows = child.get_elements(".//table:table-row")
            yield table(
                [[c.inner_text for c in row.get_elements("table:table-cell")] for row in rows]
            )
        elif child.tag not in ("text:tracked-changes", "text:sequence-decls", "office:forms"):
            yield from _blocks(child, depth + 1)


def _items(parent: Element, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise DataError("lists are nested too deeply")
    for item in parent.children:
        for child in item.children:
            if child.tag == "text:list":
                yield from _items(child, depth + 1)
            elif text := one_line(child.inner_text):
                yield f"{'  ' * depth}- {text}"
