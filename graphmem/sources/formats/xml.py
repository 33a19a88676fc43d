"""XML: the text of its elements, a line for each that has its own."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from xml.parsers import expat

from graphmem.errors import DataError
from graphmem.sources.formats import ZIP_ERRORS
from graphmem.sources.formats.content import Content, one_line

_ENTITY = re.compile(rb"<!ENTITY|<\x00!\x00E\x00N\x00T\x00I\x00T\x00Y|\x00<\x00!\x00E\x00N\x00T")
_DEEPEST = 5000
_TITLES = ("title", "dc:title")


def reject_entities(data: bytes) -> None:
    """Refuse XML that declares entities, which may grow without end or point out of the file.

    Raises:
        DataError: It does.
    """
    if _ENTITY.search(data):
        raise DataError("declares entities of its own, which are not expanded")


def read(data: bytes) -> Iterator[Content]:
    """One document: what each element says, with its name before it, and its attributes.

    Raises:
        DataError: It is not well-formed, declares entities or is nested too deeply.
    """
    reject_entities(data)
    lines: list[str] = []
    path: list[str] = []
    words: list[str] = []
    found: dict[str, str] = {}

    def flush() -> None:
        text = one_line("".join(words))
        words.clear()
        if text:
            name = path[-1].rpartition(":")[2] if path else ""
            if name.lower() in _TITLES and "title" not in found:
                found["title"] = text
            lines.append(f"{name}: {text}" if name else text)

    def start(name: str, attributes: dict[str, str]) -> None:
        flush()
        path.append(name)
        if len(path) > _DEEPEST:
            raise DataError("elements are nested too deeply")
        said = [
            f"{key} {one_line(value)}"
            for key, value in attributes.items()
            if value.strip() and not key.startswith("xmlns")
        ]
        if said:
            lines.append(f"{name.rpartition(':')[2]}: {', '.join(said)}")

    def end(_: str) -> None:
        flush()
        path.pop()

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = words.append
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError) as error:
        raise DataError(f"not well-formed XML: {error}") from error
    yield Content("\n".join(lines), found.get("title", ""))


def core_properties(archive: zipfile.ZipFile) -> tuple[str, dict[str, str]]:
    """Title, and author and date, that an Office file says of itself."""
    try:
        data = archive.read("docProps/core.xml")
    except ZIP_ERRORS:
        return "", {}
    found: dict[str, str] = {}
    name: list[str] = []
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(tag: str, _: dict[str, str]) -> None:
        name.append(tag)

    def end(_: str) -> None:
        name.pop()

    def said(text: str) -> None:
        if name and text.strip():
            found[name[-1]] = text.strip()

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = said
    try:
        reject_entities(data)
        parser.Parse(data, True)
    except (expat.ExpatError, DataError):
        return "", {}
    kept = {"author": found.get("dc:creator", ""), "date": found.get("dcterms:modified", "")}
    return found.get("dc:title", ""), {key: value for key, value in kept.items() if value}
