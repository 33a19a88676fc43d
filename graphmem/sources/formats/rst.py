"""reStructuredText: by docutils to HTML, and from there as a web page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, ClassVar, Final

from docutils import nodes
from docutils.core import publish_parts
from docutils.parsers.rst import Directive, directives, languages
from docutils.readers.standalone import Reader
from docutils.transforms import Transform
from docutils.utils import Reporter, SystemMessage, new_document

from graphmem.errors import DataError
from graphmem.sources.formats.content import Content, one_line
from graphmem.sources.formats.html import to_markdown

DOCUTILS: Final = Lock()
"""Held by whoever parses with docutils."""

_LONGEST = 50_000  # characters without a blank line: docutils takes the square of the time
_SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "halt_level": 5,
    "report_level": 5,
    "input_encoding": "unicode",
    "_disable_config": True,
    "syntax_highlight": "none",
    "initial_header_level": 2,
    "doctitle_xform": True,
    "line_length_limit": 10_000_000,
    "math_output": "LaTeX",
    "embed_stylesheet": False,
    "stylesheet_path": "",
}
_DIRECTIVE = re.compile(r"^[ \t]*\.\.[ ]+([\w:.+-]+?)[ ]?::(?=\s|$)", re.MULTILINE)
_ROMAN = {1: "I", 5: "V", 10: "X", 50: "L", 100: "C", 500: "D", 1000: "M"}
_HEAD = re.compile(r"\s*\.\.[^\n]*::[^\n]*(?:\n[ \t]+:[\w-]+:[^\n]*)*")


def read(text: str) -> Iterator[Content]:
    r"""One document. Nothing that it includes is read from other files.

    What stands in directives that docutils does not know, as those of Sphinx, is text like other
    text. A text with a very long paragraph stays as it stands.

    Raises:
        DataError: It is nested too deeply.

    >>> next(read(".. versionadded:: 2.1\n   *By* Ada.\n")).text
    '2.1 By Ada.'
    """
    if max(map(len, text.split("\n\n"))) > _LONGEST:
        yield Content(text)
        return
    try:
        with _known_directives(text):
            parts = publish_parts(
                text, reader=_KeepingReader(), writer="html5", settings_overrides=_SETTINGS
            )
    except (SystemMessage, RecursionError, ValueError, AttributeError, AssertionError) as error:
        raise DataError(f"no reStructuredText: {type(error).__name__}: {error}") from error
    body = to_markdown(parts["body"])
    title = one_line(to_markdown(parts["title"]))
    yield Content(body, title)


@contextmanager
def _known_directives(text: str) -> Iterator[None]:
    """Let docutils know all directives of a text until it is parsed.

    What docutils knows it knows in the whole process: how another text is read must not depend on
    what was read before, or is being read in another thread.
    """
    silent = new_document("")
    silent.reporter = Reporter("", 5, 5)
    english: Any = languages.get_language("en")
    with DOCUTILS:
        unknown = [
            name
            for name in set(map(str.lower, _DIRECTIVE.findall(text)))
            if directives.directive(name, english, silent)[0] is None
        ]
        for name in unknown:
            directives.register_directive(name, _Unknown)
        try:
            yield
        finally:
            for name in unknown:
                del directives._directives[name]  # type: ignore[attr-defined]  # nothing public does


class _AnyOption(dict[str, Callable[[str], Any]]):
    """Options of any name."""

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, name: str) -> Callable[[str], Any]:
        return directives.unchanged


class _Unknown(Directive):
    """Its argument and its content, as text."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar[dict[str, Callable[[str], Any]]] = _AnyOption()

    def run(self) -> list[nodes.Node]:
        box = nodes.container()
        if self.arguments:
            said, _ = self.state.inline_text(self.arguments[0], self.lineno)
            box += nodes.paragraph("", "", *said)
        self.state.nested_parse(self.content, self.content_offset, box)
        return [box]


class _KeepFaulty(Transform):
    """Blocks that docutils leaves out, such as tables that are not whole, stay as they stand."""

    default_priority = 1

    def apply(self, **_: Any) -> None:
        for message in list(self.document.findall(nodes.system_message)):
            if message["level"] >= Reporter.ERROR_LEVEL:
                for block in message.findall(nodes.literal_block):
                    text = _HEAD.sub("", block.astext()).strip("\n")
                    message.parent.insert(
                        message.parent.index(message), nodes.literal_block(text, text)
                    )


class _KeepInitials(Transform):
    """A list of one item "C. Kaynak" is no list, but a name at the start of a line."""

    default_priority = 2

    def apply(self, **_: Any) -> None:
        for found in list(self.document.findall(nodes.enumerated_list)):
            first = next(iter(found.findall(nodes.paragraph)), None)
            mark = _initial(found["enumtype"], found.get("start", 1))
            if len(found) == 1 and first is not None and mark:
                first.insert(0, nodes.Text(f"{found['prefix']}{mark}{found['suffix']} "))
                found.replace_self(found[0].children)


def _initial(kind: str, number: int) -> str:
    """The letter that an item of a list is counted by, "" where it is no single one."""
    letter = _ROMAN.get(number, "") if "roman" in kind else chr(64 + number)
    return "" if kind == "arabic" else letter if kind.startswith("upper") else letter.lower()


class _KeepingReader(Reader):  # type: ignore[type-arg]
    def get_transforms(self) -> list[type[Transform]]:
        return [*super().get_transforms(), _KeepFaulty, _KeepInitials]
