"""Workbooks (.xlsx, .xls, .xlsb, .ods): every sheet as a table under its name."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import python_calamine

from graphmem.errors import DataError
from graphmem.sources.formats.archive import open_archive
from graphmem.sources.formats.content import Content, heading, join_blocks, join_pages, table

_MOST_CELLS = 10_000_000


def read(data: bytes) -> Iterator[Content]:
    """One document, with a place for each sheet.

    Raises:
        DataError: It is damaged or too large.
    """
    if data.startswith(b"PK"):
        open_archive(data).close()
    try:
        book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
        sheets = [({"sheet": name}, _sheet(book, name)) for name in book.sheet_names]
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise DataError(f"a damaged workbook: {error}") from error
    text, places = join_pages(sheets)
    yield Content(text, places=places)


def _sheet(book: python_calamine.CalamineWorkbook, name: str) -> str:
    sheet = book.get_sheet_by_name(name)
    if sheet.total_height * sheet.total_width > _MOST_CELLS:
        raise DataError(f"sheet {name!r} has more than {_MOST_CELLS:,} cells")
    rows = [[_cell(value) for value in row] for row in sheet.to_python()]
    body = table(rows)
    return join_blocks([heading(2, name), body]) if body else ""


def _cell(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
