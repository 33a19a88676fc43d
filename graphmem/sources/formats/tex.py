"""LaTeX: by pylatexenc to text, with sections as headings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pylatexenc.latex2text import LatexNodes2Text
from pylatexenc.latexwalker import LatexWalkerError

from graphmem.errors import DataError
from graphmem.sources.formats.content import Content, one_line

_ARGUMENT = r"\s*+(?:\[[^\[\]]*+\]\s*+)?\{((?:[^{}]++|\{[^{}]*+\})*+)\}"
_SECTION = re.compile(r"\\(part|chapter|section|subsection|subsubsection|paragraph)\*?" + _ARGUMENT)
_LEVELS = {"part": 1, "chapter": 1, "section": 2, "subsection": 3, "subsubsection": 4}
_TITLE = re.compile(r"\\title" + _ARGUMENT)
_BODY = re.compile(r"\\begin\s*\{document\}(.*?)(?:\\end\s*\{document\}|\Z)", re.DOTALL)
_CITATION = re.compile(
    r"~?\\(?:no)?(?:cite|ref|eqref|label|pageref)\w*\*?(?:\[[^\[\]]*+\])*+\{[^{}]*+\}"
)
_LONGEST = 100_000  # characters without a blank line: the parser takes the square of the time
_HEAD = re.compile(r"\x01(\d)")
_ITEM = re.compile(r"^\*\s+", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


def read(text: str) -> Iterator[Content]:
    """One document. Nothing that it includes is read from other files.

    A text with a very long paragraph stays as it stands.

    Raises:
        DataError: It cannot be read as LaTeX.
    """
    if max(map(len, text.split("\n\n"))) > _LONGEST:
        yield Content(text)
        return
    title = _TITLE.search(text)
    body = _BODY.search(text)
    source = body[1] if body else text
    source = _CITATION.sub("", source).replace("\\maketitle", "")
    source = _SECTION.sub(lambda m: f"\n\n\x01{_LEVELS.get(m[1], 5)}{m[2]}\n\n", source)
    try:
        made = _plain(source)
        name = one_line(_plain(title[1])) if title else ""
    except (LatexWalkerError, RecursionError, ValueError, IndexError, TypeError) as error:
        raise DataError(f"no LaTeX: {error}") from error
    lines = [
        f"\n{'#' * int(m[1])} {line[m.end() :].strip()}\n" if (m := _HEAD.match(line)) else line
        for line in (_ITEM.sub("- ", line.strip()) for line in made.split("\n"))
    ]
    yield Content(_BLANK_LINES.sub("\n\n", "\n".join(lines)).strip(), name)


def _plain(source: str) -> str:
    converter = LatexNodes2Text(keep_comments=False, strict_latex_spaces=False, math_mode="text")
    text: str = converter.latex_to_text(source, tolerant_parsing=True)
    return text.replace("\xa0", " ")
