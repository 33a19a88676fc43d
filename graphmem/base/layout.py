"""Every file and folder of an index, named once.

    my.index/
      store.sqlite         the truth: passages, extractions, vectors, and what changed since when
      responses.sqlite     answers of language models, and what they cost; not in every index
      responses.lock       held while an answer is asked for
      CURRENT              the name of the live snapshot, replaced atomically
      snapshot-000007/     what is derived: columns, and manifest.json
        lexical/           BM25
        facts/             where triples were extracted or imported
        sentences/         where sentences are kept
        sparse/            where learned words are kept
      .snapshot-000008.tmp a snapshot that is being written
      lock, lock.json      held by the writer, and who that is
      namespaces/mfwgsy3f/ the same again, for a memory of its own in the same folder
      namespaces/.mfwgsy3f.dropped/ what is left of one whose removal was interrupted

It stands below what reads documents, which leaves the folders of indexes out.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import regex

from graphmem.errors import ConfigError

STORE: Final = "store.sqlite"
RESPONSES: Final = "responses.sqlite"
RESPONSES_LOCK: Final = "responses.lock"
CURRENT: Final = "CURRENT"
MANIFEST: Final = "manifest.json"
LEXICAL: Final = "lexical"
FACTS: Final = "facts"
SENTENCES: Final = "sentences"
SPARSE: Final = "sparse"
LOCK: Final = "lock"
OWNER: Final = "lock.json"
NAMESPACES: Final = "namespaces"
_ANSWERS: Final = (RESPONSES, f"{RESPONSES}-wal", f"{RESPONSES}-shm", RESPONSES_LOCK)
BEGUN: Final = frozenset({NAMESPACES, LOCK, OWNER, f"{OWNER}.tmp", *_ANSWERS})
"""What an index without a store may hold: its first run was interrupted, or has not come yet."""

EXPERIMENT: Final = "experiment.json"
"""Marks the results folder of an experiment, as the store marks an index."""

_SNAPSHOT: Final = r"snapshot-[0-9]{6,12}"
_NAME = regex.compile(_SNAPSHOT)
_COLUMN: Final = r"(?:[a-z]+/)?\w+(?:\.\w+)*\.(?:npy|json)"
_COLUMNS = regex.compile(_COLUMN)
_MEMBER = regex.compile(
    rf"(?:{NAMESPACES}/[a-z2-7]{{1,160}}/)?"
    rf"(?:{CURRENT}|{STORE}|{RESPONSES}|{_SNAPSHOT}/{_COLUMN})"
)
_LONGEST: Final = 100  # bytes of a namespace's name; its folder's is eight fifths of that


def is_snapshot_name(name: str) -> bool:
    """Whether this is the name of a snapshot: a folder of the index, never a path out of it.

    >>> is_snapshot_name("snapshot-000007"), is_snapshot_name("../snapshot-000007")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def is_column(name: str) -> bool:
    """Whether a manifest may name a file so, with "/": one in the folder of its snapshot.

    >>> is_column("lexical/data.csc.index.npy"), is_column("../../data.npy")
    (True, False)
    """
    return _COLUMNS.fullmatch(name) is not None


def is_member(name: str) -> bool:
    """Whether a backup may hold a file of this name, with "/".

    >>> is_member("snapshot-000007/lexical/data.npy"), is_member("/etc/passwd")
    (True, False)
    """
    return _MEMBER.fullmatch(name) is not None


def snapshots(index: Path) -> list[Path]:
    """All snapshots of an index that were written to their end."""
    return [path for path in index.glob("snapshot-*") if is_snapshot_name(path.name)]


def next_snapshot(index: Path) -> str:
    """The name of a snapshot that is newer than all others."""
    numbers = [int(path.name.removeprefix("snapshot-")) for path in snapshots(index)]
    return f"snapshot-{max(numbers, default=0) + 1:06d}"


def unfinished(index: Path) -> Iterator[Path]:
    """Snapshots that were not written to their end."""
    return (path for path in index.glob(".snapshot-*.tmp") if path.is_dir())


def namespace_folder(index: Path, name: str) -> Path:
    """Where a namespace is, which is an index of its own; the folder is not made.

    Its name is the namespace's in base 32, so that no name is a path, or another on a file system
    that does not tell large letters from small ones.

    Raises:
        ConfigError: It cannot be the name of one.

    >>> namespace_folder(Path("my.index"), "alice").as_posix()
    'my.index/namespaces/mfwgsy3f'
    """
    try:
        data = unicodedata.normalize("NFC", name).encode()
    except (TypeError, UnicodeEncodeError):
        data = b""
    if not data or len(data) > _LONGEST or name != name.strip() or not name.isprintable():
        raise ConfigError(
            f"a namespace is a name of 1 to {_LONGEST} bytes, without control characters and "
            f"without blanks around it, not {name!r}"
        )
    return index / NAMESPACES / base64.b32encode(data).decode().rstrip("=").lower()


def namespaces(index: Path) -> dict[str, Path]:
    """The namespaces of an index that hold something, by name, in its order."""
    folders = (index / NAMESPACES).glob("*")
    found = {
        name: folder
        for folder in folders
        if (name := namespace_of(folder)) is not None
        and (folder / STORE).is_file()
        and not folder.is_symlink()
    }
    return dict(sorted(found.items()))


def dropped_folder(namespace: Path) -> Path:
    """Where the folder of a namespace is moved, in one step, to be removed: it is none then.

    >>> dropped_folder(Path("my.index/namespaces/mfwgsy3f")).name
    '.mfwgsy3f.dropped'
    """
    return namespace.with_name(f".{namespace.name}.dropped")


def index_folders(index: Path) -> list[Path]:
    """The folder of an index, where it has passages without a namespace, and its namespaces'."""
    own = [index] if (index / STORE).exists() or (index / CURRENT).exists() else []
    return own + list(namespaces(index).values())


def namespace_of(folder: Path) -> str | None:
    """The name of the namespace that a folder is, None where it is none.

    >>> namespace_of(Path("my.index/namespaces/mfwgsy3f")), namespace_of(Path("my.index"))
    ('alice', None)
    """
    written = folder.name.upper()
    try:
        name = base64.b32decode(written + "=" * (-len(written) % 8)).decode()
        return name if namespace_folder(folder.parent.parent, name) == folder else None
    except (binascii.Error, ValueError, ConfigError):
        return None


def shown(index: Path) -> str:
    """An index as errors name it: its folder, and its name where it is a namespace.

    >>> shown(Path("my.index/namespaces/mfwgsy3f")), shown(Path("my.index"))
    ("my.index, namespace 'alice'", 'my.index')
    """
    name = namespace_of(index)
    return str(index) if name is None else f"{index.parent.parent}, namespace {name!r}"
