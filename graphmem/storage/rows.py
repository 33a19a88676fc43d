"""Passages and extractions as rows of the store, checked before they are written."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from graphmem.base.text import content_hash
from graphmem.errors import DataError
from graphmem.types import Extraction, Passage, Triple

DIGEST = "digest(id, hash, document, CAST(position AS TEXT), metadata)"
"""SQL: what of a passage decides a snapshot."""
_DEEPEST = 100


def text_hash(passage: Passage) -> str:
    """Hash of all that extraction and embedding read of a passage."""
    return content_hash(passage.title, passage.text)


def row_key(passage_id: str) -> int:
    """63-bit hash of an id: passages are kept in this order, which says nothing about them.

    In the order of a file, or of ids, passages of one question often stand together, and ties
    would be broken in their favour.
    """
    return int(content_hash(passage_id)[:16], 16) >> 1


def checked_metadata(passage: Passage) -> str:
    """The metadata as JSON, of a passage that can be stored and read again as it is.

    Raises:
        DataError: It cannot; says in what.
    """
    place = passage.source or f"passage {passage.id!r}"
    for name in ("id", "text", "title", "document", "source"):
        value = getattr(passage, name)
        if not isinstance(value, str):
            raise DataError(f"{name!r} must be a string, it is {value!r}", place)
        if name in ("id", "text") and not value.strip():
            raise DataError(f"{name!r} must not be blank", place)
    if not isinstance(passage.position, int) or not 0 <= passage.position < 1 << 63:
        raise DataError(f"'position' must be an integer from 0, it is {passage.position!r}", place)
    if not isinstance(passage.metadata, Mapping):
        raise DataError(f"'metadata' must be a mapping, it is {passage.metadata!r}", place)
    for path, value in _no_json(passage.metadata, "metadata"):
        raise DataError(f"{path} must hold JSON values and strings as keys, not {value!r}", place)
    try:
        metadata = json.dumps(
            dict(passage.metadata), ensure_ascii=False, sort_keys=True, allow_nan=False
        )
        "".join([passage.id, passage.text, passage.title, passage.document, metadata]).encode()
    except UnicodeEncodeError as error:
        raise DataError("has a lone surrogate, which is no character", place) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"'metadata' must hold JSON values: {error}", place) from error
    return metadata


def _no_json(value: Any, path: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Where in a value something stands that JSON does not have."""
    if depth > _DEEPEST:
        return  # what is nested without end is told by the one who writes it
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                yield path, key
            else:
                yield from _no_json(inner, f"{path}[{key!r}]", depth + 1)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _no_json(inner, f"{path}[{number}]", depth + 1)
    elif not (value is None or isinstance(value, str | int | float)):
        yield path, value


def read_passage(row: Sequence[Any]) -> Passage:
    """The passage of a row: id, title, text, document, position, metadata, source."""
    identity, title, text, document, position, metadata, source = row
    return Passage(identity, text, title, document, position, json.loads(metadata), source)


def dump_extraction(extraction: Extraction) -> str:
    """An extraction as JSON."""
    triples = [[t.subject, t.predicate, t.object] for t in extraction.triples]
    data: dict[str, Any] = {"entities": extraction.entities}
    if triples:
        data["triples"] = triples
    return json.dumps(data, ensure_ascii=False)


def load_extraction(data: str) -> Extraction:
    """The extraction in what `dump_extraction` made."""
    found = json.loads(data)
    triples = tuple(Triple(*triple) for triple in found.get("triples", ()))
    return Extraction(tuple(found["entities"]), triples)


def text_name(passage: Passage) -> str:
    """Id of the text that a piece was cut from; of any other passage its own.

    >>> text_name(Passage("ada#2", "She wrote.", document="ada", position=2))
    'ada'
    """
    end = f"#{passage.position}"
    return passage.id.removesuffix(end) if passage.document else passage.id


def check_cutting(db: sqlite3.Connection, passage: Passage, table: str = "passages") -> None:
    """Refuse a whole text beside pieces of another text with the same id, and the reverse.

    Args:
        db: The store.
        passage: Comes in.
        table: Where the others stand.

    Raises:
        DataError: There are such.
    """
    is_piece = passage.id == f"{passage.document}#{passage.position}"
    if is_piece and passage.position:
        return  # the first piece has been looked at
    other = passage.document if is_piece else f"{passage.id}#0"
    found = db.execute(f"SELECT document, source FROM {table} WHERE id = ?", (other,)).fetchone()
    if found and (is_piece or found[0] == passage.id):
        raise named_twice(passage.document if is_piece else passage.id, passage.source, found[1])


def named_twice(name: str, here: str, there: str) -> DataError:
    """What to raise where two places give one id to different texts."""
    here, there = _from_here(here), _from_here(there)
    return DataError(
        f"passage id {name!r} comes twice with different text, or cut in another way: here and at "
        f"{there or 'an unnamed source'}; give one of them another id, or "
        "replace what is in an index, in Python by update",
        here,
    )


def _from_here(source: str) -> str:
    """A place as seen from the current folder, if it lies in there."""
    try:
        return source.removeprefix(os.path.join(os.getcwd(), ""))
    except FileNotFoundError:  # the folder was removed
        return source
