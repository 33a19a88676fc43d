"""Zip files that documents are: looked at before anything of them is unpacked."""

from __future__ import annotations

import io
import re
import zipfile

from graphmem.errors import DataError
from graphmem.sources.formats import ZIP_ERRORS
from graphmem.sources.formats.xml import reject_entities

LARGEST = 256 << 20
"""Bytes that all members may have together, unpacked."""
MOST_RATIO, SMALL = 200, 1 << 20
"""More than `SMALL` bytes may not be so many times as large as what they were packed in."""
_LONG_TEXT = re.compile(rb"(?:\A|[<>])[^<>]{1000000}")
_MOST_TAGS = 4_000_000


def check_ratio(packed: int, unpacked: int) -> None:
    """Refuse what is packed in a way that only blanks and repetitions can be.

    Raises:
        DataError: It is.
    """
    if unpacked > max(SMALL, MOST_RATIO * packed):
        raise DataError(f"unpacks to more than {MOST_RATIO} times its size")


def open_archive(data: bytes) -> zipfile.ZipFile:
    """The archive, of which no more than `LARGEST` bytes can be unpacked.

    Raises:
        DataError: It is damaged, encrypted or too large unpacked.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except ZIP_ERRORS as error:
        raise DataError(f"a damaged zip file: {error}") from error
    members = archive.infolist()
    if sum(member.file_size for member in members) > LARGEST or len(members) > 100_000:
        raise DataError(f"unpacks to more than {LARGEST >> 20} MB, or too many files")
    check_ratio(len(data), sum(member.file_size for member in members))
    if any(member.flag_bits & 1 for member in members):
        raise DataError("is encrypted", hint="save it without a password")
    return archive


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """One member, which holds no more than its entry says.

    Raises:
        DataError: It is missing or damaged.
    """
    try:
        return archive.read(name)
    except ZIP_ERRORS as error:
        raise DataError(f"a damaged zip file: {name}: {error}") from error


def check_markup(archive: zipfile.ZipFile) -> None:
    """Refuse XML that a reader which holds all of it as objects cannot hold, or not in time.

    Raises:
        DataError: It declares entities, or has too many elements or one very long text.
    """
    tags = 0
    for name in archive.namelist():
        if name.endswith((".xml", ".rels")):
            data = read_member(archive, name)
            reject_entities(data)
            tags += data.count(b"<")
            if tags > _MOST_TAGS or _LONG_TEXT.search(data):
                raise DataError(f"{name}: too many elements, or too long a text in one")
