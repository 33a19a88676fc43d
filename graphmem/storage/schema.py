"""The tables of a store: made in its file, or lent to who only reads it."""

from __future__ import annotations

import sqlite3

FORMAT = "2"
"""Version of the tables below; another version is another index."""
OLDER = "1"
"""A version that had no `changed` and `assembled`: it becomes the above when it is written to."""

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE passages (
  id TEXT PRIMARY KEY, row_key INTEGER NOT NULL, hash TEXT NOT NULL, title TEXT NOT NULL,
  text TEXT NOT NULL, document TEXT NOT NULL, position INTEGER NOT NULL, metadata TEXT NOT NULL,
  source TEXT NOT NULL);
CREATE INDEX passages_by_row_key ON passages (row_key, id);
CREATE INDEX passages_by_hash ON passages (hash);
CREATE TABLE extractions (
  hash TEXT, fingerprint TEXT, data TEXT NOT NULL, PRIMARY KEY (hash, fingerprint)) WITHOUT ROWID;
CREATE TABLE vectors (
  hash TEXT, fingerprint TEXT, data BLOB NOT NULL, PRIMARY KEY (hash, fingerprint));
"""
_LATER = (  # older stores of this format have no such tables
    """CREATE TABLE IF NOT EXISTS failures (
  hash TEXT, fingerprint TEXT, error TEXT NOT NULL, time REAL NOT NULL,
  PRIMARY KEY (hash, fingerprint)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS packs (
  hash TEXT, fingerprint TEXT, name TEXT NOT NULL,
  PRIMARY KEY (hash, fingerprint)) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS changed (id TEXT PRIMARY KEY, was TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS assembled (
  content TEXT NOT NULL, total TEXT NOT NULL, extractor TEXT NOT NULL, embedder TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS words (
  hash TEXT, fingerprint TEXT, data BLOB NOT NULL,
  PRIMARY KEY (hash, fingerprint)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS passages_by_document ON passages (document)",
)


def make_tables(db: sqlite3.Connection) -> None:
    """Make the tables of a new store, in a transaction of the caller."""
    for statement in _SCHEMA.split(";"):
        db.execute(statement)
    db.execute("INSERT INTO meta VALUES ('format', ?)", (FORMAT,))


def make_later_tables(db: sqlite3.Connection) -> None:
    """Make the tables that an older store lacks."""
    for statement in _LATER:
        db.execute(statement)
    db.execute("UPDATE meta SET value = ? WHERE key = 'format' AND value = ?", (FORMAT, OLDER))


def lend_tables(db: sqlite3.Connection) -> None:
    """Empty tables, seen by this connection alone, for those that the file lacks."""
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA query_only = OFF")  # it holds for such tables too
    try:
        there = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        if not there:  # a run was killed before it had made any
            missing = [*_SCHEMA.split(";"), *_LATER]
        else:
            missing = [s for s in _LATER if s.split("(")[0].split()[-1] not in there]
        for statement in missing:
            db.execute(statement.replace("CREATE TABLE", "CREATE TEMP TABLE"))
        if not there:
            db.execute("INSERT INTO meta VALUES ('format', ?)", (FORMAT,))
    finally:
        db.execute("PRAGMA query_only = ON")
