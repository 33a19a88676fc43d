"""LaTeX: by pylatexenc to text, with sections as headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count

from pylatexenc.latex2text import LatexNodes2Text
from pylatexenc.latexwalker import LatexWalkerError

from graphmem.errors import DataError
from graphmem.sources.formats.content import Content, code, one_line

_ARGUMENT = r"\s*+(?:\[[^\[\]]*+\]\s*+)?\{((?:[^{}]++|\{[^{}]*+\})*+)\}"
_SECTION = re.compile(r"\\(part|chapter|section|subsection|subsubsection|paragraph)\*?" + _ARGUMENT)
_LEVELS = {"part": 1, "chapter": 1, "section": 2, "subsection": 3, "subsubsection": 4}
_TITLE = re.compile(r"\\title" + _ARGUMENT)
_BODY = re.compile(r"\\begin\s*\{document\}(.*?)(?:\\end\s*\{document\}|\Z)", re.DOTALL)
_CITATION = re.compile(
    r"~?\\(?:no)?(?:cite|ref|eqref|label|pageref|includegraphics)\w*\*?(?:\[[^\[\]]*+\])*+\{[^{}]*+\}"
)
_LINK = re.compile(r"\\href\s*+\{[^{}]*+\}\s*+(?=\{)")
_CODE = re.compile(
    r"\\begin\{(verbatim|Verbatim|lstlisting|minted|alltt)\*?\}(?:\[[^\[\]]*+\])?(?:\{\w*+\})?"
    r"(.*?)\\end\{\1\*?\}",
    re.DOTALL,
)
_CODE_HERE = re.compile(r"\x02(\d+)\x02")
_LONGEST = 100_000  # characters without a blank line: the parser takes the square of the time
_HEAD = re.compile(r"\x01(\d)")
_ITEM = re.compile(r"^\*\s+", re.MULTILINE)
_BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")


def read(text: str) -> Iterator[Content]:
    """One document. Nothing that it includes is read from other files.

    A text with a very long paragraph, or that the parser fails at, stays as it stands.

    Raises:
        DataError: It cannot be read as LaTeX.
    """
    if max(map(len, text.split("\n\n"))) > _LONGEST:
        yield Content(text)
        return
    text = text.replace("\x02", "")
    title = _TITLE.search(text)
    body = _BODY.search(text)
    source = body[1] if body else text
    codes = [code(found[2].strip("\n")) for found in _CODE.finditer(source)]
    numbers = count()
    source = _CODE.sub(lambda _: f"\n\n\x02{next(numbers)}\x02\n\n", source)
    source = _LINK.sub("", _CITATION.sub("", source)).replace("\\maketitle", "")
    source = _SECTION.sub(lambda m: f"\n\n\x01{_LEVELS.get(m[1], 5)}{m[2]}\n\n", source)
    try:
        made = _plain(source)
        name = one_line(_plain(title[1])) if title else ""
    except (LatexWalkerError, RecursionError) as error:
        raise DataError(f"no LaTeX: {error}") from error
    except (ValueError, IndexError, TypeError):  # a macro it has not expected
        yield Content(text)
        return
    lines = [
        f"\n{'#' * int(m[1])} {line[m.end() :].strip()}\n" if (m := _HEAD.match(line)) else line
        for line in (_ITEM.sub("- ", line.strip()) for line in made.split("\n"))
    ]
    said = _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()
    yield Content(_CODE_HERE.sub(lambda m: codes[int(m[1])], said), name)


def _plain(source: str) -> str:
    converter = LatexNodes2Text(keep_comments=False, strict_latex_spaces=False, math_mode="text")
    text: str = converter.latex_to_text(source, tolerant_parsing=True)
    return text.replace("\xa0", " ")
