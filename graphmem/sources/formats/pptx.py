"""PowerPoint: titles, texts, tables and notes of the slides."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from pptx import Presentation
from pptx.exc import PythonPptxError

from graphmem.errors import DataError
from graphmem.sources.formats.archive import open_archive
from graphmem.sources.formats.content import Content, heading, join_blocks, join_pages, table
from graphmem.sources.formats.xml import core_properties

_BROKEN = (
    *(PythonPptxError, KeyError, ValueError, AttributeError, IndexError, TypeError, SyntaxError),
    *(zipfile.BadZipFile, OSError, NotImplementedError, EOFError, RecursionError),
)


def read(data: bytes) -> Iterator[Content]:
    """One document, with a place for each slide.

    Raises:
        DataError: It is damaged.
    """
    with open_archive(data) as archive:
        title, metadata = core_properties(archive)
    if title == "PowerPoint Presentation":
        title = ""
    try:
        slides = [
            ({"slide": number}, _slide(slide))
            for number, slide in enumerate(Presentation(io.BytesIO(data)).slides, 1)
        ]
    except _BROKEN as error:
        raise DataError(f"a damaged PowerPoint file: {error}") from error
    text, places = join_pages(slides)
    yield Content(text, title, {**metadata, "slides": len(slides)}, places)


def _slide(slide: Any) -> str:
    title = slide.shapes.title
    blocks = [heading(2, title.text_frame.text)] if title is not None else []
    blocks += _shapes(slide.shapes, title)
    if slide.has_notes_slide and (frame := slide.notes_slide.notes_text_frame) is not None:
        blocks.append(frame.text)
    return join_blocks(blocks)


def _shapes(shapes: Iterable[Any], title: Any) -> Iterator[str]:
    for shape in shapes:
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes, None)
        elif getattr(shape, "has_table", False):
            yield table([[cell.text for cell in row.cells] for row in shape.table.rows])
        elif shape.has_text_frame:
            lines = [p.text.replace("\v", " ").strip() for p in shape.text_frame.paragraphs]
            lines = [line for line in lines if line]
            yield "\n".join(f"- {line}" for line in lines) if len(lines) > 1 else "".join(lines)
