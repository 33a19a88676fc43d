"""An index as one file, made while others write, and an index out of such a file.

The file is a plain tar: the files of the live snapshot, then the store as SQLite's own backup gives
it, of one moment, which is no earlier. It holds no paths but those of an index, and what comes out
of one is verified before it stands at its place.

Either is made in a folder beside its place, ".NAME.part", which a run that was killed leaves; the
same command removes it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Final

from filelock import FileLock, Timeout

from graphmem.base.files import sync_folder
from graphmem.base.layout import CURRENT, LOCK, RESPONSES, STORE, index_folders, is_member
from graphmem.base.sqlite import copy_database
from graphmem.errors import (
    ConfigError,
    DataError,
    IndexLockedError,
    IndexNotFoundError,
    StorageError,
)
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
        IndexLockedError: Another process is making the same file.
        StorageError: The index cannot be read, or the file not be written.
    """
    _refuse_taken(file, "file")
    tell = progress or (lambda stage, done, total: None)
    what = "the backup cannot be made"
    try:
        with _made_beside(file) as folder:
            part = folder / "backup"
            for left in range(_TRIES - 1, -1, -1):
                try:
                    _write(index, part, tell)
                    break
                except FileNotFoundError:  # a writer has removed this snapshot since
                    if not left:
                        raise
            size = part.stat().st_size
            os.replace(part, file)
            what = "the backup is made, but not known to be on the disk"
            sync_folder(_part(file).parent)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"{file}: {what}: {error}") from error
    return size


def restore_index(file: Path, index: Path, progress: Progress | None = None) -> Verified:
    """Make an index of what `backup_index` wrote, and verify it.

    Args:
        file: The backup.
        index: A folder that does not exist yet.
        progress: Told of the stages of `verify_index`.

    Raises:
        ConfigError: The folder exists.
        DataError: The file is no backup, or damaged: nothing is made then.
        IndexLockedError: Another process is making the same folder.
        StorageError: The folder cannot be written.
    """
    _refuse_taken(index, "folder")
    beside = _part(index).parent
    what = "cannot be made"
    try:
        beside.mkdir(parents=True, exist_ok=True)
        with _made_beside(index) as folder:
            made = folder / "index"
            made.mkdir()
            _unpack(file, made)
            found = verify_index(made, progress=progress)
            if found.problems:
                first = found.problems[0]
                raise DataError(
                    f"a damaged backup: {Path(first.place).name}: {first.what}", str(file)
                )
            for inner in (made, *filter(Path.is_dir, made.rglob("*"))):
                sync_folder(inner)
            os.replace(made, index)
            what = "is made, but not known to be on the disk"
            sync_folder(beside)
    except IndexNotFoundError as error:
        raise DataError("no backup of an index: it holds none", str(file)) from error
    except OSError as error:
        raise StorageError(f"{index}: {what}: {error.strerror or error}") from error
    return found


def _refuse_taken(place: Path, kind: str) -> None:
    """Refuse a place where something is; what was left when that was made goes.

    Raises:
        ConfigError: There is something.
    """
    if place.exists():
        if _part(place).exists():
            with suppress(OSError, IndexLockedError), _made_beside(place):
                pass
        raise ConfigError(f"{place}: exists already; name a new {kind}")


def _part(place: Path) -> Path:
    return Path(os.path.realpath(place.parent)) / f".{place.name}.part"


@contextmanager
def _made_beside(place: Path) -> Iterator[Path]:
    """An empty folder beside a place, for what is not whole yet; in the end it is removed.

    Raises:
        IndexLockedError: Another process makes the same there.
        OSError: It cannot be written.
    """
    part = _part(place)
    part.mkdir(exist_ok=True)
    lock = FileLock(part / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise IndexLockedError(f"{place}: another process is making it; wait for it") from error
    folder = part / "made"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # what cannot be removed now, the same command removes
            (part / LOCK).unlink()
            part.rmdir()
        lock.release()


def _write(index: Path, part: Path, tell: Progress) -> None:
    folders = index_folders(index) or [index]
    with part.open("wb") as stream:
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for place in folders:
                _add_index(archive, index, place, part.with_name(STORE), tell)
        stream.flush()
        os.fsync(stream.fileno())


def _add_index(
    archive: tarfile.TarFile, whole: Path, index: Path, copy: Path, tell: Progress
) -> None:
    """Add an index, or a namespace of it, under the names that its files have in the whole.

    Its databases are copied first, to `copy`.
    """
    parts = [part.folder for part in open_current(index).parts]
    files = sorted(file for part in parts for file in part.rglob("*") if file.is_file())
    for done, file in enumerate(files, start=1):
        archive.add(file, file.relative_to(whole).as_posix(), recursive=False)
        tell("backup", done, len(files))
    for name in (STORE, RESPONSES):
        if (index / name).exists():
            copy.unlink(missing_ok=True)
            copy_database(index / name, copy)  # of one moment, whoever writes to it
            archive.add(copy, (index / name).relative_to(whole).as_posix(), recursive=False)
    _add_text(archive, (index / CURRENT).relative_to(whole).as_posix(), parts[0].name)


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
