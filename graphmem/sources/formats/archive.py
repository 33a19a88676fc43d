"""Zip files that documents are: looked at before anything of them is unpacked."""

from __future__ import annotations

import io
import zipfile

from graphmem.errors import DataError
from graphmem.sources.formats import ZIP_ERRORS

LARGEST = 256 << 20
"""Bytes that all members may have together, unpacked."""


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
