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
    lines = _Lines()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = lines.start, lines.end
    parser.CharacterDataHandler = lines.say
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError) as error:
        raise DataError(f"not well-formed XML: {error}") from error
    yield Content("\n".join(lines.lines), lines.title)


class _Lines:
    """Gathers the lines of a document while it is parsed."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.title = ""
        self._path: list[str] = []
        self._inline: list[bool] = []  # for each open element: whether it stands amid text
        self._words: list[str] = []
        self._leaf = ("", 0)  # text of the element that ended last, and the depth of its parent

    def start(self, name: str, attributes: dict[str, str]) -> None:
        amid = any(word.strip() for word in self._words)
        self._leaf = ("", 0)
        self._path.append(name)
        self._inline.append(amid)
        if len(self._path) > _DEEPEST:
            raise DataError("elements are nested too deeply")
        if amid:
            return
        self._words.clear()
        said = [
            f"{key} {one_line(value)}"
            for key, value in attributes.items()
            if value.strip() and not key.startswith("xmlns")
        ]
        if said:
            self.lines.append(f"{name.rpartition(':')[2]}: {', '.join(said)}")

    def end(self, _: str) -> None:
        if not self._inline.pop():
            text = one_line("".join(self._words))
            self._words.clear()
            if text:
                self._add(self._path[-1].rpartition(":")[2], text)
            self._leaf = (text, len(self._path) - 1)
        self._path.pop()

    def _add(self, name: str, text: str) -> None:
        if name.lower() == "title":
            self.title = self.title or text
        self.lines.append(f"{name}: {text}")

    def say(self, text: str) -> None:
        if text.strip():
            last, depth = self._leaf
            if last and depth and depth == len(self._path):
                self.lines.pop()  # text goes on after an element: what that said belongs to it
                self._words.append(last)
            self._leaf = ("", 0)
        self._words.append(text)


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
