"""Hashes of what files and folders hold: results depend on it, not on where it lies."""

from __future__ import annotations

import hashlib
from pathlib import Path

from graphmem.base.text import content_hash
from graphmem.errors import DataError

_known: dict[Path, tuple[int, int, str]] = {}  # size, time and hash; of this process alone


def model_content(spec: str) -> str:
    """The `path_content` of the folder that a word names, as FOLDER or KIND:FOLDER; else "".

    Raises:
        DataError: A file in it cannot be read.
    """
    for place in (spec, spec.partition(":")[2]):
        if place and Path(place).is_dir():
            return path_content(Path(place))
    return ""


def path_content(path: Path) -> str:
    """Hash of a file, or of the names and files in a folder; hidden ones do not count.

    Large files are read in a stream. A hash is kept as long as the process lives and size and time
    of the file stay.

    Raises:
        DataError: A file cannot be read.
    """
    if not path.is_dir():
        return _file_hash(path)
    files = [
        (file.relative_to(path).as_posix(), file)
        for file in sorted(path.rglob("*"))
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    ]
    return content_hash(*(part for name, file in files for part in (name, _file_hash(file))))


def _file_hash(file: Path) -> str:
    try:
        real = file.resolve(strict=True)
        with real.open("rb") as stream:
            state = real.stat()
            size, time, digest = _known.get(real, (-1, -1, ""))
            if (size, time) != (state.st_size, state.st_mtime_ns):
                digest = hashlib.file_digest(
                    stream, lambda: hashlib.blake2b(digest_size=16)
                ).hexdigest()
                _known[real] = (state.st_size, state.st_mtime_ns, digest)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", str(file)) from error
    return digest
