"""SQLite files: to write them, to read them where their folder cannot be written, to copy them."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

_DATA: Final = ("CREATE TABLE ", "CREATE INDEX ")
"""How SQLite keeps what made a table of data, and no view, trigger or table of a module."""


def connect_to_write(
    file: Path, *, timeout: float = 5.0, of_one_thread: bool = True
) -> sqlite3.Connection:
    """A connection to a file, made if it is missing; what it commits is on the disk.

    Args:
        file: The file; its folder must be there.
        timeout: Seconds to wait for another connection that writes.
        of_one_thread: Whether only the thread that calls may use it; else who shares it locks.

    Raises:
        sqlite3.Error: It cannot be opened or written, is no such file, or holds more than tables
            of data.
    """
    connection = sqlite3.connect(
        file, timeout=timeout, isolation_level=None, check_same_thread=of_one_thread
    )
    try:
        refuse_programs(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    except BaseException:
        connection.close()
        raise
    return connection


def copy_database(file: Path, copy: Path) -> None:
    """Copy a file as it is at one moment, whoever writes to it meanwhile.

    Raises:
        sqlite3.Error: It cannot be read, or the copy not be written.
    """
    with closing(connect_to_read(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def connect_to_read(file: Path) -> sqlite3.Connection:
    """A connection to a file that must exist; its tables cannot be changed through it.

    A write-ahead log takes two files beside it, which SQLite removes only where it may write. In a
    folder that is read-only the file is read as it stands, but not where a log still holds commits.

    Raises:
        sqlite3.Error: It cannot be read, is no such file, or holds more than tables of data.
    """
    address = Path(os.path.realpath(file)).as_uri()  # `resolve` fails at links in a circle
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
