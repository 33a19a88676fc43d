"""Notebooks: texts, code and what was printed, in their order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from graphmem.errors import DataError
from graphmem.sources.formats.content import Content, code, join_pages
from graphmem.sources.formats.markdown import read as read_markdown

_LONGEST_OUTPUT = 4000


def read(text: str) -> Iterator[Content]:
    """One document, with a place for each cell.

    Raises:
        DataError: It is no notebook.
    """
    try:
        book = json.loads(text)
        language = str(book["metadata"].get("kernelspec", {}).get("language", ""))
        cells = book["cells"] if "cells" in book else book["worksheets"][0]["cells"]
        pages = [({"cell": number}, _cell(cell, language)) for number, cell in enumerate(cells, 1)]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise DataError(f"no notebook: {error}") from error
    title = ""
    for at, (place, page) in enumerate(pages):
        if cells[at].get("cell_type") == "markdown":
            (first,) = read_markdown(page)
            if first.title:
                title = first.title
                pages[at] = (place, first.text if first.text != title else "")
                break
    whole, places = join_pages(pages)
    yield Content(whole, title, {}, places)


def _cell(cell: dict[str, Any], language: str) -> str:
    source = _joined(cell.get("source", cell.get("input", "")))
    if cell.get("cell_type") != "code":
        return source
    printed = [_output(output) for output in cell.get("outputs", ())]
    return "\n\n".join(filter(None, [code(source, language), *printed]))


def _output(output: dict[str, Any]) -> str:
    """What an output says in text; pictures and pages say nothing."""
    text = _joined(output.get("text", ""))
    data = output.get("data", {})
    if not text and isinstance(data, dict) and "text/html" not in data:
        text = _joined(data.get("text/plain", ""))
    return code(text[:_LONGEST_OUTPUT], "output")


def _joined(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)
