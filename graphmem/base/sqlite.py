"""SQLite files that are only read, also where their folder cannot be written."""

from __future__ import annotations

import sqlite3
from pathlib import Path


def connect_to_read(file: Path) -> sqlite3.Connection:
    """A connection to a file that must exist; its tables cannot be changed through it.

    A write-ahead log takes two files beside it, which SQLite removes only where it may write. In a
    folder that is read-only the file is read as it stands, but not where a log still holds commits.

    Raises:
        sqlite3.Error: It cannot be read, or is no such file.
    """
    address = file.resolve().as_uri()
    log = file.with_name(f"{file.name}-wal")
    try:
        return _connect(f"{address}?mode=rw")
    except sqlite3.OperationalError:
        if log.exists() and log.stat().st_size:
            raise
        return _connect(f"{address}?mode=ro&immutable=1")


def _connect(address: str) -> sqlite3.Connection:
    connection = sqlite3.connect(address, uri=True, isolation_level=None)
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection
