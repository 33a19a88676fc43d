"""SQLite files that are only read, also where their folder cannot be written."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

_DATA: Final = ("CREATE TABLE ", "CREATE INDEX ")
"""How SQLite keeps what made a table of data, and no view, trigger or table of a module."""


def connect_to_read(file: Path) -> sqlite3.Connection:
    """A connection to a file that must exist; its tables cannot be changed through it.

    A write-ahead log takes two files beside it, which SQLite removes only where it may write. In a
    folder that is read-only the file is read as it stands, but not where a log still holds commits.

    Raises:
        sqlite3.Error: It cannot be read, is no such file, or holds more than tables of data.
    """
    address = file.resolve().as_uri()
    log = file.with_name(f"{file.name}-wal")
    try:
        return _connect(f"{address}?mode=rw")
    except sqlite3.OperationalError:
        if log.exists() and log.stat().st_size:
            raise
        return _connect(f"{address}?mode=ro&immutable=1")


def refuse_programs(connection: sqlite3.Connection) -> None:
    """Refuse a file with views, triggers and tables of modules, which compute what they like.

    Raises:
        sqlite3.DatabaseError: It has some; names the first.
    """
    connection.execute("PRAGMA trusted_schema = OFF")
    for kind, name, made in connection.execute("SELECT type, name, sql FROM sqlite_master"):
        if made is not None and not str(made).startswith(_DATA):  # `type` can say anything
            raise sqlite3.DatabaseError(f"holds a {kind} that graphmem never makes: {name!r}")


def _connect(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(address, uri=True, isolation_level=None)
    try:
        refuse_programs(connection)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection
