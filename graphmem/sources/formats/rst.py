"""reStructuredText: by docutils to HTML, and from there as a web page."""

from __future__ import annotations

from collections.abc import Iterator

from docutils.core import publish_parts
from docutils.utils import SystemMessage

from graphmem.errors import DataError
from graphmem.sources.formats.content import Content, one_line
from graphmem.sources.formats.html import to_markdown

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


def read(text: str) -> Iterator[Content]:
    """One document. Nothing that it includes is read from other files.

    A text with a very long paragraph stays as it stands.

    Raises:
        DataError: It is nested too deeply.
    """
    if max(map(len, text.split("\n\n"))) > _LONGEST:
        yield Content(text)
        return
    try:
        parts = publish_parts(text, writer="html5", settings_overrides=_SETTINGS)
    except (SystemMessage, RecursionError, ValueError, AttributeError, AssertionError) as error:
        raise DataError(f"no reStructuredText: {type(error).__name__}: {error}") from error
    body = to_markdown(parts["body"])
    title = one_line(to_markdown(parts["title"]))
    yield Content(body, title)
