"""Electronic books: their chapters in the order of reading."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from urllib.parse import unquote
from zipfile import ZipFile

from selectolax.lexbor import LexborHTMLParser

from graphmem.errors import DataError
from graphmem.sources.formats.archive import open_archive, read_member
from graphmem.sources.formats.content import Content, join_pages, one_line
from graphmem.sources.formats.html import read as read_html

_ROOT_FILE = re.compile(r"""full-path\s*=\s*["']([^"']+)["']""")
_TAG = re.compile(r"<(?:opf:)?(item|itemref)\b([^<>]*)>")
_ATTRIBUTE = re.compile(r"""(?<![\w:-])([\w:-]++)\s*=\s*["']([^"']*)["']""")
_META = re.compile(r"<dc:(title|creator|language)\b[^<>]*>([^<]*)<")


def read(data: bytes) -> Iterator[Content]:
    """One document, with a place for each chapter.

    Raises:
        DataError: It is damaged.
    """
    with open_archive(data) as archive:
        container = read_member(archive, "META-INF/container.xml").decode("utf-8", "replace")
        found = _ROOT_FILE.search(container)
        if not found:
            raise DataError("a damaged book: it does not say where its contents are")
        package = read_member(archive, found[1]).decode("utf-8", "replace")
        said = {key: one_line(_unescaped(value)) for key, value in reversed(_META.findall(package))}
        chapters = [
            ({"chapter": number}, _chapter(archive, name))
            for number, name in enumerate(_spine(package, posixpath.dirname(found[1])), 1)
        ]
    text, places = join_pages(chapters)
    kept = {"author": said.get("creator", ""), "language": said.get("language", "")}
    metadata = {key: value for key, value in kept.items() if value}
    yield Content(text, said.get("title", ""), metadata, places)


def _spine(package: str, folder: str) -> list[str]:
    """Names of the chapters' members, in order."""
    files: dict[str, str] = {}
    order: list[str] = []
    for tag, rest in _TAG.findall(package):
        attributes = dict(_ATTRIBUTE.findall(rest))
        if tag == "item" and "html" in attributes.get("media-type", ""):
            if "nav" not in attributes.get("properties", "").split():
                files[attributes.get("id", "")] = attributes.get("href", "")
        elif tag == "itemref":
            order.append(attributes.get("idref", ""))
    names = [unquote(files[key]) for key in order if key in files]
    return [posixpath.normpath(posixpath.join(folder, name)) for name in names]


def _chapter(archive: ZipFile, name: str) -> str:
    (content,) = read_html(read_member(archive, name).decode("utf-8", "replace"))
    said = "" if content.title == content.text else content.title
    return f"# {said}\n\n{content.text}" if said else content.text


def _unescaped(text: str) -> str:
    body = LexborHTMLParser(text).body
    return body.text(deep=True) if body is not None else text
