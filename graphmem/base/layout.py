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
      .snapshot-000008.tmp a snapshot that is being written
      lock, lock.json      held by the writer, and who that is

It stands below what reads documents, which leaves the folders of indexes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import regex

STORE: Final = "store.sqlite"
RESPONSES: Final = "responses.sqlite"
RESPONSES_LOCK: Final = "responses.lock"
CURRENT: Final = "CURRENT"
MANIFEST: Final = "manifest.json"
LEXICAL: Final = "lexical"
FACTS: Final = "facts"
SENTENCES: Final = "sentences"
LOCK: Final = "lock"
OWNER: Final = "lock.json"
BEGUN: Final = frozenset(
    {
        LOCK,
        OWNER,
        f"{OWNER}.tmp",
        RESPONSES_LOCK,
        *(RESPONSES + end for end in ("", "-wal", "-shm")),
    }
)
"""What a first run that was interrupted may leave without a store."""

EXPERIMENT: Final = "experiment.json"
"""Marks the results folder of an experiment, as the store marks an index."""

_SNAPSHOT: Final = r"snapshot-[0-9]{6,12}"
_NAME = regex.compile(_SNAPSHOT)
_MEMBER = regex.compile(
    rf"{CURRENT}|{STORE}|{RESPONSES}|{_SNAPSHOT}/(?:[a-z]+/)?[\w.]+\.(?:npy|json)"
)


def is_snapshot_name(name: str) -> bool:
    """Whether this is the name of a snapshot: a folder of the index, never a path out of it.

    >>> is_snapshot_name("snapshot-000007"), is_snapshot_name("../snapshot-000007")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


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
