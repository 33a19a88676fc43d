"""PDF: the text of its pages, with words whole and without running heads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

import pypdfium2

from graphmem.base.counts import counted
from graphmem.errors import DataError
from graphmem.sources.formats.content import Content, join_pages, one_line

MOST_PAGES = 20_000
_HYPHEN_AT_END = re.compile(r"(?<=[^\W\d_])[-\xad\u2010\x02\ufffe][ ]*\n[ ]*(?=[^\W\d_])")
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b", re.IGNORECASE)
_EDGE_LINES = 2  # at the top and bottom of a page, among which running heads are looked for
_FEWEST_PAGES = 3  # on which the same line stands, for it to be a running head
_LEAST_LINES = 3  # a page of fewer has no heads
_PARAGRAPH_END = re.compile(r"[.!?:;…\"”’)\]]$")
_STARTS_ITEM = re.compile(r"(?:[-•*–▪◦]|\(?\d{1,3}[.)])\s")


def read(data: bytes) -> Iterator[Content]:
    """One document, with a place for each page that has text.

    Raises:
        DataError: It is damaged, encrypted, or holds pictures of pages alone.
    """
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise DataError("is encrypted", hint="save it without a password") from error
        raise DataError(f"a damaged PDF file: {error}") from error
    try:
        count = len(document)
        if count > MOST_PAGES:
            raise DataError(f"has {count} pages, more than {MOST_PAGES}", hint="split it")
        info = document.get_metadata_dict(skip_empty=True)
        pages = [_page_lines(document, number) for number in range(count)]
    finally:
        document.close()
    if not any(pages):
        raise DataError(
            f"has no text on its {counted(count, 'page')}, only pictures, as of a scan",
            hint="run a text recognition over it, for example ocrmypdf",
        )
    cleaned = [_paragraphs(lines) for lines in _without_heads(pages)]
    text, places = join_pages(({"page": n}, page) for n, page in enumerate(cleaned, 1))
    metadata = {"pages": count}
    if author := one_line(info.get("Author", "")):
        yield Content(text, _title(info), {**metadata, "author": author}, places)
    else:
        yield Content(text, _title(info), metadata, places)


def _title(info: dict[str, str]) -> str:
    """What the file says, unless it is what a program wrote in its place."""
    title = one_line(info.get("Title", ""))
    names = (".doc", ".docx", ".dvi", ".tex", ".indd", ".qxd", ".pdf", ".ppt", ".pptx")
    if title.lower().endswith(names) or title.lower() in ("untitled", "microsoft word"):
        return ""
    return title


def _page_lines(document: pypdfium2.PdfDocument, number: int) -> list[str]:
    try:
        page = document[number]
        try:
            text = page.get_textpage().get_text_range()
        finally:
            page.close()
    except pypdfium2.PdfiumError:
        return []  # one damaged page among good ones
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    return text.split("\n") if text.strip() else []


def _without_heads(pages: Sequence[list[str]]) -> list[list[str]]:
    """The pages without lines that stand at the edge of many, but for numbers in them."""
    seen: Counter[str] = Counter()
    for lines in pages:
        if sum(bool(line.strip()) for line in lines) > _LEAST_LINES:
            edges = (*_edge(lines, first=True), *_edge(lines, first=False))
            seen.update({_shape(lines[at]) for at in edges})
    least = max(_FEWEST_PAGES, sum(map(bool, pages)) // 4)
    heads = {shape for shape, count in seen.items() if count >= least}
    return [_without_edges(lines, heads) for lines in pages]


def _without_edges(lines: list[str], heads: set[str]) -> list[str]:
    dropped: set[int] = set()
    for first in (True, False):
        for at in _edge(lines, first=first):
            if _shape(lines[at]) not in heads and not _is_number(lines[at]):
                break
            dropped.add(at)
    return [line for at, line in enumerate(lines) if at not in dropped]


def _edge(lines: Sequence[str], *, first: bool) -> list[int]:
    """Rows of the first or last lines that are not blank, from the edge inwards."""
    full = [at for at, line in enumerate(lines) if line.strip()]
    count = min(_EDGE_LINES, max(1, len(full) // 5))
    return (full if first else full[::-1])[:count]


def _shape(line: str) -> str:
    return _NUMBER.sub("#", one_line(line).casefold())


def _is_number(line: str) -> bool:
    return _shape(line).strip("-–—[]() ") in ("#", "page #", "# / #", "# of #", "page # of #")


def _paragraphs(lines: Sequence[str]) -> str:
    """Lines of a page with words put together, and lines of one sentence as one."""
    text = _HYPHEN_AT_END.sub("", "\n".join(lines))
    lines = [line.strip() for line in text.replace("\x02", "").replace("\ufffe", "").split("\n")]
    longest = max(map(len, lines), default=0)
    out: list[str] = []
    for at, line in enumerate(lines):
        out.append(line)
        if at + 1 == len(lines):
            break
        following = lines[at + 1]
        full = len(line) > 0.6 * longest
        goes_on = full and following and not _STARTS_ITEM.match(following)
        ended = _PARAGRAPH_END.search(line) and len(line) < 0.8 * longest
        out.append(" " if goes_on and not ended else "\n")
    return "".join(out).strip()
