"""Files that are on the disk when a call returns."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from pathlib import Path
from typing import Any


def read_plain(file: Path) -> bytes:
    """What a file holds; a pipe or a device in its place is never read.

    Raises:
        OSError: It cannot be read, or is no file.
    """
    if not stat.S_ISREG(file.stat().st_mode):
        raise OSError(errno.EINVAL, "no file", str(file))
    return file.read_bytes()


def checked_file(file: Path) -> dict[str, Any]:
    """Size and checksum of a file, once it is on the disk."""
    with file.open("r+b") as stream:  # Windows refuses to wait for what cannot be written
        digest = hashlib.file_digest(stream, _digest)
        os.fsync(stream.fileno())
    return {"bytes": file.stat().st_size, "blake2b": digest.hexdigest()}


def checked_files(folder: Path) -> dict[str, dict[str, Any]]:
    """The same of every file in a folder and its folders, by its path in there, with "/"."""
    return {
        file.relative_to(folder).as_posix(): checked_file(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def checksum(file: Path) -> str:
    """The same checksum of a file as it is."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, _digest).hexdigest()


def _digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


def write_text(file: Path, text: str) -> None:
    """Write a text and wait until it is on the disk."""
    with file.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    if sys.platform == "win32":  # which lets nobody open a folder, and writes names at once
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
