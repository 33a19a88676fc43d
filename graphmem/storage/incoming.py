"""Passages that come into the store: which may, and what takes whose place."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from graphmem.errors import DataError
from graphmem.storage.changes import ChangeRule, Changes, file_of
from graphmem.storage.rows import (
    DIGEST,
    check_cutting,
    checked_metadata,
    named_twice,
    row_key,
    text_hash,
    text_name,
)
from graphmem.types import Passage

_CAME = """
CREATE TEMP TABLE came (
  id TEXT PRIMARY KEY, document TEXT NOT NULL, source TEXT NOT NULL, name TEXT) WITHOUT ROWID"""
_STALE = """
WITH texts AS (SELECT name, min(source) AS source FROM came WHERE name NOT NULL GROUP BY name)
SELECT p.id, t.source, p.source FROM texts t JOIN passages p ON p.id = t.name
  WHERE p.id NOT IN (SELECT id FROM came)
UNION SELECT p.id, t.source, p.source FROM texts t
  JOIN passages p ON p.id > t.name || '#' AND p.id < t.name || '$'
  WHERE p.document <> '' AND p.id = t.name || '#' || p.position
    AND p.id NOT IN (SELECT id FROM came)"""
"""Of every text that came in whole: the whole and the pieces that are there and did not come."""
_PUT_BACK = "UPDATE passages SET document = ?, position = ?, metadata = ?, source = ? WHERE id = ?"

Refused = Callable[[DataError], None]
"""Told of a text that comes in under the id of another one that did."""
Incoming = Iterator[tuple[Passage, str, bool]]
"""Passages that come in, their metadata as JSON, and whether the same came in before."""


def take_in(
    db: sqlite3.Connection,
    passages: Iterable[Passage],
    rule: ChangeRule,
    refused: Refused | None,
) -> Changes:
    """Add passages, in a transaction of the caller; see `graphmem.storage.store.Store.add`."""
    db.execute(_CAME)  # where this fails, it goes with the transaction
    incoming = _incoming(db, passages, rule, refused)
    changes = _replace(db, incoming, rule) if rule.replaces else _add(db, incoming)
    db.execute("DROP TABLE came")
    return changes


def delete_rows(db: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Delete passages, those that are there."""
    for name in ids:
        _note(db, name)
    db.executemany("DELETE FROM passages WHERE id = ?", ((name,) for name in ids))


def _incoming(
    db: sqlite3.Connection,
    passages: Iterable[Passage],
    rule: ChangeRule,
    refused: Refused | None,
) -> Incoming:
    """What comes in, written to the table of what came, without texts of an id that is taken.

    Raises:
        DataError: There is such a text, and `refused` is None.
    """
    left_out = "", ""  # the document and source of a text of which a piece was refused
    for passage in passages:
        if passage.document and (passage.document, passage.source) == left_out:
            continue
        metadata = checked_metadata(passage)
        try:
            again = _came(db, passage)
        except DataError as error:
            if refused is None:
                raise
            refused(error)
            left_out = passage.document, passage.source
            continue
        if not again:
            name = text_name(passage)
            whole = name if rule.is_whole(name) else None
            row = (passage.id, passage.document, passage.source, whole)
            db.execute("INSERT INTO came VALUES (?, ?, ?, ?)", row)
        yield passage, metadata, again


def _came(db: sqlite3.Connection, passage: Passage) -> bool:
    """Whether a passage with this id and text came in before.

    Raises:
        DataError: The other has another text, or was cut in another way.
    """
    found = db.execute(
        "SELECT p.hash, p.source FROM came JOIN passages p ON p.id = came.id WHERE came.id = ?",
        (passage.id,),
    ).fetchone()
    if found is None:
        check_cutting(db, passage, "came")
    elif found[0] != text_hash(passage):
        raise named_twice(passage.id, passage.source, found[1])
    return found is not None


def _add(db: sqlite3.Connection, incoming: Incoming) -> Changes:
    """Add what is new.

    Raises:
        DataError: An id is there with another text.
    """
    added = 0
    for passage, metadata, _ in incoming:
        fields = (passage.document, passage.position, metadata)
        known = _known(db, passage)
        if known is None:
            check_cutting(db, passage)
            _insert(db, passage, metadata)
            added += 1
        elif known[0] != text_hash(passage):
            raise named_twice(passage.id, passage.source, known[4])
        elif fields < known[1:4]:
            _insert(db, replace(passage, source=known[4]), metadata)
    return Changes(added)


def _replace(db: sqlite3.Connection, incoming: Incoming, rule: ChangeRule) -> Changes:
    """Put what comes in into the place of what is there, and delete what the rule says.

    Raises:
        DataError: It would take the place of another text of a file that is still there.
    """
    added, replaced = 0, 0
    taken: list[tuple[str, str, str]] = []  # id, new source, old source
    same: list[tuple[str, bool, tuple[Any, ...]]] = []  # new source, is it another row, old row
    for passage, metadata, again in incoming:
        status, old = _put(db, passage, metadata, again)
        added += status == "new"
        replaced += status == "other"
        if old is None or file_of(old[4]) == file_of(passage.source):
            continue
        if old[0] == text_hash(passage):
            same.append((passage.source, status == "other", (*old[1:], passage.id)))
        else:
            taken.append((passage.id, passage.source, old[4]))
    stale = db.execute(_STALE).fetchall()
    for name, here, there in (*taken, *stale):
        if not rule.may_replace(there, here):
            raise named_twice(name, here, there)
    for here, is_other, row in same:
        if not rule.may_replace(row[3], here):  # the one that is there stays, as in `_add`
            db.execute(_PUT_BACK, row)
            replaced -= is_other
    gone = [name for name, _, _ in stale]
    if rule.drops:
        others = db.execute("SELECT id, source FROM passages WHERE id NOT IN (SELECT id FROM came)")
        gone += [name for name, source in others if rule.drops_source(source)]
    gone = list(dict.fromkeys(gone))
    delete_rows(db, gone)
    return Changes(added, replaced, len(gone))


def _put(
    db: sqlite3.Connection, passage: Passage, metadata: str, again: bool
) -> tuple[str, tuple[Any, ...] | None]:
    """Put a passage in the place of one with its id, unless that came in now too (`again`).

    Returns:
        "new", "other" (than the one that was there) or "same"; and that one, as `_known` has it,
        None where there was none or it came in now.
    """
    fields = (text_hash(passage), passage.document, passage.position, metadata)
    known = _known(db, passage)
    if known is not None and again:
        if fields < known[:4]:
            _insert(db, passage, metadata)
        return "same", None
    if known != (*fields, passage.source):
        _insert(db, passage, metadata)
    if known is None:
        return "new", None
    return "same" if known[:4] == fields else "other", known


def _known(db: sqlite3.Connection, passage: Passage) -> tuple[Any, ...] | None:
    """Hash, document, position, metadata and source of the passage with the same id."""
    found: tuple[Any, ...] | None = db.execute(
        "SELECT hash, document, position, metadata, source FROM passages WHERE id = ?",
        (passage.id,),
    ).fetchone()
    return found


def _insert(db: sqlite3.Connection, passage: Passage, metadata: str) -> None:
    _note(db, passage.id)
    row = (passage.id, row_key(passage.id), text_hash(passage), passage.title, passage.text)
    db.execute(
        "INSERT OR REPLACE INTO passages VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*row, passage.document, passage.position, metadata, passage.source),
    )


def _note(db: sqlite3.Connection, passage_id: str) -> None:
    """Note that a passage is about to change, and what it was when last a snapshot was made."""
    db.execute(
        "INSERT OR IGNORE INTO changed SELECT ?1, "
        f"coalesce((SELECT {DIGEST} FROM passages WHERE id = ?1), '')",
        (passage_id,),
    )
