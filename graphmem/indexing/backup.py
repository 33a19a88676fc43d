"""An index as one file, made while others write, and an index out of such a file.

The file is a plain tar: the files of the live snapshot, then the store as SQLite's own backup gives
it, of one moment, which is no earlier. It holds no paths but those of an index, and what comes out
of one is verified before it stands at its place.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import IO, Final

from graphmem.base.files import sync_folder
from graphmem.base.layout import CURRENT, RESPONSES, STORE, index_folders, is_member
from graphmem.base.sqlite import copy_database
from graphmem.errors import ConfigError, DataError, IndexNotFoundError, StorageError
from graphmem.indexing.verification import Verified, verify_index
from graphmem.protocols import Progress
from graphmem.storage.current import open_current

_TRIES: Final = 5


def backup_index(index: Path, file: Path, progress: Progress | None = None) -> int:
    """Write an index into one file; another process may write to the index meanwhile.

    Its namespaces are in it too, each as it was at one moment.

    Args:
        index: The index folder, or that of a namespace.
        file: What is written; it appears when it is whole.
        progress: Told of the stage "backup", in files.

    Returns:
        Its bytes.

    Raises:
        IndexNotFoundError: There is no finished index.
        ConfigError: The file exists.
        StorageError: The index cannot be read, or the file not be written.
    """
    if file.exists():
        raise ConfigError(f"{file}: exists already; name a new file")
    tell = progress or (lambda stage, done, total: None)
    part = file.with_name(f".{file.name}.part-{os.getpid()}")
    try:
        for left in range(_TRIES - 1, -1, -1):
            try:
                _write(index, part, tell)
                break
            except FileNotFoundError:  # a writer has removed this snapshot since
                if not left:
                    raise
        os.replace(part, file)
        sync_folder(file.resolve().parent)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{file}: the backup cannot be made: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return file.stat().st_size


def restore_index(file: Path, index: Path, progress: Progress | None = None) -> Verified:
    """Make an index of what `backup_index` wrote, and verify it.

    Args:
        file: The backup.
        index: A folder that does not exist yet.
        progress: Told of the stages of `verify_index`.

    Raises:
        ConfigError: The folder exists.
        DataError: The file is no backup, or damaged: nothing is made then.
        StorageError: The folder cannot be written.
    """
    if index.exists():
        raise ConfigError(f"{index}: exists already; name a new folder")
    beside = index.resolve().parent
    try:
        beside.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=beside) as folder:
            made = Path(folder) / "index"
            made.mkdir()
            _unpack(file, made)
            found = verify_index(made, progress=progress)
            if found.problems:
                first = found.problems[0]
                raise DataError(
                    f"a damaged backup: {Path(first.place).name}: {first.what}", str(file)
                )
            os.replace(made, index)
            sync_folder(beside)
    except IndexNotFoundError as error:
        raise DataError("no backup of an index: it holds none", str(file)) from error
    except OSError as error:
        raise StorageError(f"{index}: cannot be made: {error.strerror or error}") from error
    return found


def _write(index: Path, part: Path, tell: Progress) -> None:
    folders = index_folders(index) or [index]
    with part.open("wb") as stream:
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for place in folders:
                _add_index(archive, index, place, part.parent, tell)
        stream.flush()
        os.fsync(stream.fileno())


def _add_index(
    archive: tarfile.TarFile, whole: Path, index: Path, beside: Path, tell: Progress
) -> None:
    """Add an index, or a namespace of it, under the names that its files have in the whole."""
    parts = [part.folder for part in open_current(index).parts]
    files = sorted(file for part in parts for file in part.rglob("*") if file.is_file())
    for done, file in enumerate(files, start=1):
        archive.add(file, file.relative_to(whole).as_posix(), recursive=False)
        tell("backup", done, len(files))
    for name in (STORE, RESPONSES):
        if (index / name).exists():
            _add_store(archive, whole, index / name, beside)
    _add_text(archive, (index / CURRENT).relative_to(whole).as_posix(), parts[0].name)


def _add_store(archive: tarfile.TarFile, whole: Path, file: Path, beside: Path) -> None:
    """Add a copy of a store of one moment, whoever writes to it."""
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=beside) as folder:
        copy = Path(folder) / file.name
        copy_database(file, copy)
        archive.add(copy, file.relative_to(whole).as_posix(), recursive=False)


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(text.encode())
    archive.addfile(info, BytesIO(text.encode()))


def _unpack(file: Path, folder: Path) -> None:
    """Write the members of a backup, which are plain files with the names of an index's.

    Raises:
        DataError: It is none.
    """
    try:
        with tarfile.open(file, mode="r:") as archive:
            for member in archive:
                plain = member.isreg() and not member.issparse()
                source = archive.extractfile(member) if plain else None
                if source is None or not is_member(member.name):
                    raise DataError(f"no backup of an index: it holds {member.name!r}", str(file))
                target = folder / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                _write_member(source, target)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"no backup of an index, or a damaged one ({error})", str(file)) from error
    except FileNotFoundError as error:
        raise DataError("no such file", str(file)) from error
    except FileExistsError as error:
        raise DataError("no backup of an index: it holds a file twice", str(file)) from error


def _write_member(source: IO[bytes], target: Path) -> None:
    with source, target.open("xb") as stream:
        shutil.copyfileobj(source, stream, 1 << 20)
        stream.flush()
        os.fsync(stream.fileno())
