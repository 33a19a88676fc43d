"""One writer at a time: the lock of an index, and who holds it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from graphmem.base.files import write_text
from graphmem.base.layout import BEGUN, LOCK, OWNER, STORE, namespace_of, shown
from graphmem.errors import ConfigError, IndexLockedError, IndexMismatchError, StorageError


@contextmanager
def writer_lock(index: Path, timeout: float = 0.0) -> Iterator[None]:
    """Hold the lock of an index, whose folder is made if it is missing.

    The system frees it when the process that holds it ends, however it ends.

    Args:
        index: The index folder.
        timeout: Seconds to wait for another writer, 0 or more.

    Raises:
        ConfigError: The timeout is below 0 or no number.
        IndexLockedError: Another process holds it; says which and since when.
        IndexMismatchError: The folder holds something else.
        StorageError: The folder cannot be written.
    """
    if not 0 <= timeout < float("inf"):
        raise ConfigError(f"timeout must be 0 or more seconds, not {timeout}")
    lock = FileLock(index / LOCK)
    try:
        whole = index if namespace_of(index) is None else index.parent.parent
        if whole.exists() and not _is_ours(whole):
            raise IndexMismatchError(f"{whole}: exists and is no graphmem index; name a new folder")
        index.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=timeout, poll_interval=0.05)
        _write_owner(index)
    except Timeout as error:
        raise IndexLockedError(
            f"{shown(index)}: another process is writing to this index{_owner(index)}; wait for it "
            "(--wait SECONDS, timeout= in Python) or stop it"
        ) from error
    except OSError as error:
        lock.release()
        raise StorageError(f"{index}: cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        with suppress(OSError):  # what was done is done; the next writer says another name there
            (index / OWNER).unlink(missing_ok=True)
        lock.release()


def _write_owner(index: Path) -> None:
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    said = {"process": os.getpid(), "host": socket.gethostname(), "since": since}
    write_text(index / f"{OWNER}.tmp", json.dumps(said))
    os.replace(index / f"{OWNER}.tmp", index / OWNER)


def _owner(index: Path) -> str:
    """Who holds the lock, as words; "" where it is not known."""
    try:
        said = json.loads((index / OWNER).read_text("utf-8"))
        return f" (process {int(said['process'])} on {said['host']}, since {said['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _is_ours(index: Path) -> bool:
    """Whether the folder is an index, or holds no more than an interrupted first run leaves."""
    if (index / STORE).exists():
        return True
    return index.is_dir() and all(file.name in BEGUN for file in index.iterdir())
