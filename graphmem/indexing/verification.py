"""Whether an index is whole: every file, and what its files say of each other.

The snapshot is checked by the checksums of its manifest, the manifest by the store, the passages of
the store by the hashes that they are kept under, its vectors and metadata by the snapshot. What was
extracted has no second copy: `deep` assembles the snapshot anew, in a temporary folder, and
compares the bytes; where passages stand beside it, the snapshot of its own passages, and then these
as they came. Nothing else knows where a passage was read (`Passage.source`), or what a model
failed at.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from graphmem.base.counts import counted
from graphmem.base.files import checked_files, checksum
from graphmem.base.layout import MANIFEST, RESPONSES, STORE, index_folders, namespace_of
from graphmem.base.sqlite import connect_to_read
from graphmem.errors import GraphmemError, ModelError
from graphmem.graph.synonymy import RULE
from graphmem.indexing.extending import extended_again
from graphmem.indexing.indexer import (
    assemble_index,
    write_assembled,
)
from graphmem.indexing.sentences import sentence_hashes
from graphmem.indexing.state import State, state_of
from graphmem.indexing.writer_lock import writer_lock
from graphmem.protocols import Embedder, Progress, TextKind
from graphmem.sources.markup import as_read
from graphmem.storage.current import forget_current, no_index, open_current
from graphmem.storage.extension import BASE, Stack
from graphmem.storage.rows import text_hash
from graphmem.storage.sentence_columns import SETTING
from graphmem.storage.snapshot import Snapshot
from graphmem.storage.store import Store

_BLOCK: Final = 512
"""Texts whose results are copied at once."""
_MOST: Final = 20
"""Problems of one kind that are told one by one."""
_COUNTED: Final = {
    *("format", "entities", "passages", "terms", "content", "files", "missing", "failed", BASE)
}

_ASSEMBLE: Final = "graphmem verify --repair, which assembles the snapshot anew"
_COMPUTE: Final = "graphmem verify --repair, and then indexing again, which computes it anew"
_SOURCES: Final = "deleting it and indexing its source again, or a backup"
_BACKUP: Final = "a backup, or a new index of the sources"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something of an index that is not as it was written.

    Attributes:
        place: The file, and what in it.
        what: What is wrong.
        mended_by: What would put it right.
    """

    place: str
    what: str
    mended_by: str


@dataclass(slots=True)
class Verified:
    """What `verify_index` found.

    Attributes:
        passages: Passages of the store, all of which were read.
        files: Files of the live snapshot that were read whole.
        bytes: Of these files.
        deep: Whether the snapshot was assembled anew and compared.
        behind: Whether the store holds more than the snapshot, since a run was stopped or another
            is at work: no damage, but what both say could not be compared.
        extended: Whether passages came or went since all was assembled, and stand beside the
            snapshot; `compact_index` ends it.
        problems: What is wrong; none where the index is whole.
    """

    passages: int = 0
    files: int = 0
    bytes: int = 0
    deep: bool = False
    behind: bool = False
    extended: bool = False
    problems: list[Problem] = field(default_factory=list)


def verify_index(index: Path, *, deep: bool = False, progress: Progress | None = None) -> Verified:
    """Read every file of an index, and compare what they say; nothing is changed.

    Its namespaces are verified too, and the place of a problem names the one that it is in.

    Args:
        index: The index folder, or that of a namespace.
        deep: Also assemble the snapshot anew and compare the bytes, which takes about as long as
            adding one passage.
        progress: Told of the stages "files" and "passages", and with `deep` of those of indexing.

    Raises:
        IndexNotFoundError: There is no index.
    """
    tell = progress or (lambda stage, done, total: None)
    folders = index_folders(index)
    if not folders:
        raise no_index(index)
    found = Verified(deep=deep)
    for folder in folders:
        other = _verify(folder, deep, tell)
        name = namespace_of(folder) if folder != index else None
        found.passages += other.passages
        found.files += other.files
        found.bytes += other.bytes
        found.deep &= other.deep
        found.behind |= other.behind
        found.extended |= other.extended
        found.problems += [
            problem if name is None else replace(problem, place=f"{name!r}: {problem.place}")
            for problem in other.problems
        ]
    return found


def _verify(index: Path, deep: bool, tell: Progress) -> Verified:
    found = Verified()
    snapshot = _read_snapshot(index, found, tell)
    found.problems += _read_sqlite(
        index / RESPONSES, "a backup, or removing it: answers are paid again"
    )
    damaged = _read_sqlite(index / STORE, _BACKUP)
    found.problems += damaged
    if damaged:
        return found
    try:
        with Store.read(index / STORE) as store:
            _read_store(store, found, tell)
            if snapshot is not None and not found.problems:
                _compare(store, snapshot, found, deep, tell)
    except GraphmemError as error:
        found.problems.append(Problem(STORE, str(error), _BACKUP))
    return found


def repair_index(
    index: Path, embedder: Embedder, *, timeout: float = 0.0, progress: Progress | None = None
) -> None:
    """Make anew what follows from the rest: the snapshot, and what was computed and is damaged.

    Damaged extractions and vectors of passages are removed from the store, and these passages from
    the snapshot: indexing again computes them.

    Args:
        index: The index folder.
        embedder: What the index was made with.
        timeout: Seconds to wait for another writer.
        progress: Told of the stages "assemble", "facts" and "synonymy".

    Raises:
        IndexLockedError: Another process is writing to the index.
        StorageError: The store is damaged, or the folder cannot be written.
    """
    with writer_lock(index, timeout), Store.open(index / STORE) as store:
        store.drop_results(list(store.damaged_results()))
        forget_current(index)
        assemble_index(index, store, embedder, progress)


def _read_snapshot(index: Path, found: Verified, tell: Progress) -> Snapshot | None:
    """The live snapshot, whose files are compared with their checksums."""
    try:
        snapshot = open_current(index)
    except GraphmemError as error:
        found.problems.append(Problem("the snapshot", str(error), _ASSEMBLE))
        return None
    for part in snapshot.parts:
        _read_files(part, found, tell)
    return snapshot


def _read_files(snapshot: Snapshot, found: Verified, tell: Progress) -> None:
    known = snapshot.manifest["files"]
    for done, (name, entry) in enumerate(known.items(), start=1):
        file = snapshot.folder / name
        try:
            same = checksum(file) == entry.get("blake2b")
            found.bytes += file.stat().st_size
        except OSError:
            same = False
        if not same:
            what = "other bytes than were written"
            found.problems.append(Problem(str(file), what, _ASSEMBLE))
        tell("files", done, len(known))
    found.files += len(known)
    there = {
        file.relative_to(snapshot.folder).as_posix()
        for file in snapshot.folder.rglob("*")
        if file.is_file()
    }
    for name in sorted(there - known.keys() - {MANIFEST}):
        what = "is not of the snapshot"
        found.problems.append(Problem(str(snapshot.folder / name), what, _ASSEMBLE))


def _read_sqlite(file: Path, mended_by: str) -> list[Problem]:
    """What SQLite itself finds, and what is no table of ours."""
    if not file.exists():
        return [Problem(str(file), "is missing", mended_by)] if file.name == STORE else []
    try:
        with closing(connect_to_read(file)) as db:
            said = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({_MOST})")]
    except sqlite3.Error as error:
        return [Problem(str(file), str(error), mended_by)]
    return [Problem(str(file), what, mended_by) for what in said if what != "ok"]


def _read_store(store: Store, found: Verified, tell: Progress) -> None:
    """Look at every row."""
    found.passages = store.count()
    tell("passages", 0, found.passages)
    found.problems += _few(store.damaged_passages(), _SOURCES)
    results = (
        f"{table} of text {digest}: {what}" for table, digest, what in store.damaged_results()
    )
    found.problems += _few(results, _COMPUTE)
    tell("passages", found.passages, found.passages)


def _few(found: Iterable[str], mended_by: str) -> Iterator[Problem]:
    number = 0
    for number, what in enumerate(found, start=1):
        if number <= _MOST:
            yield Problem(STORE, what, mended_by)
    if number > _MOST:
        yield Problem(STORE, f"{number - _MOST:,} more of this kind", mended_by)


def _compare(store: Store, snapshot: Snapshot, found: Verified, deep: bool, tell: Progress) -> None:
    """What store and snapshot say of each other."""
    state, manifest = state_of(store, whole=True), snapshot.manifest
    if state_of(store) != state:
        what = "what it notes of the passages that changed is not so"
        found.problems.append(Problem(STORE, what, _ASSEMBLE))
        return
    said = {**state.made_with, **state.settings}
    if snapshot.facts is not None:
        said["synonymy"] = RULE
    if {key: value for key, value in manifest.items() if key not in _COUNTED} != said:
        what = "its manifest says another extractor, embedder or setting than the store"
        found.problems.append(Problem(str(snapshot.folder), what, _ASSEMBLE))
    found.behind = manifest.get("content") != state.content
    if found.problems or found.behind:
        return
    found.problems += _few(_differences(store, state, snapshot), _ASSEMBLE)
    found.extended = len(snapshot.parts) > 1
    if deep and not found.problems:
        found.problems += _few(_assembled_differences(store, state, snapshot, tell), _ASSEMBLE)
        found.deep = True


def _differences(store: Store, state: State, snapshot: Snapshot) -> Iterator[str]:
    """Passages and vectors that are not the same in store and snapshot."""
    passages = store.passages(state.complete)
    vectors = snapshot.vectors
    if not len(passages) == snapshot.passages == len(vectors):
        snapped = counted(snapshot.passages, "passage")
        yield f"{snapped} in the snapshot, {len(passages):,} in the store"
        return
    width = store.width(state.made_with["embedder"]) or 0
    if passages and vectors.width != width:
        yield f"vectors of {vectors.width} numbers in the snapshot, of {width} in the store"
        return
    stored, rows = {passage.id: passage for passage in passages}, {}
    for row in range(snapshot.passages):
        passage = snapshot.passage(row)
        rows[passage.id] = row
        if stored.get(passage.id) != passage:
            yield f"passage {passage.id!r}: other text or metadata in the store"
    count = 0
    for passage, vector in zip(
        passages, store.vectors(state.made_with["embedder"], state.complete), strict=False
    ):
        count += 1
        if passage.id not in rows:
            yield f"passage {passage.id!r}: not in the snapshot"
        elif not np.array_equal(vector, vectors.take(np.array([rows[passage.id]]))[0]):
            yield f"passage {passage.id!r}: another vector in the store"
    if count != len(passages):
        yield f"{counted(count, 'vector')} for {counted(len(passages), 'passage')} in the store"


def _assembled_differences(
    store: Store, state: State, snapshot: Snapshot, tell: Progress
) -> Iterator[str]:
    """Files of the snapshot that come out otherwise when it is assembled anew."""
    *beside, base = snapshot.parts
    embedder = state.made_with["embedder"]
    with tempfile.TemporaryDirectory(prefix="graphmem-verify-") as made:
        folder = Path(made)
        try:
            if not beside:
                yield from _differences_of_base(folder, store, state, base, tell)
                return
            stack = Stack.read(base, beside[0])
            with Store.open(folder / STORE) as other:
                _fill(other, store, state, base)
                yield from _differences_of_base(folder, other, state_of(other), base, tell)
            again = folder / "beside"
            again.mkdir()
            extension = extended_again(store, state, stack, _NoEmbedder(embedder))
            extension.write(again)
            yield from _other_files(checked_files(again), beside[0].manifest["files"])
            counts = extension.counts(base)
            if any(counts[name] != snapshot.manifest[name] for name in counts):
                yield "the manifest counts other entities or passages than there are"
        except KeyError as error:
            yield f"what was computed of text {error} of the snapshot is not there"


def _differences_of_base(
    folder: Path, store: Store, state: State, base: Snapshot, tell: Progress
) -> Iterator[str]:
    """What of a snapshot that extends no other is not so in one that is assembled of a store."""
    embedder = _NoEmbedder(state.made_with["embedder"])
    write_assembled(folder, store, state, embedder, 1, tell, weigh=False)
    anew = open_current(folder).manifest
    yield from _other_files(anew["files"], base.manifest["files"])
    if any(anew[name] != base.manifest[name] for name in ("entities", "passages", "content")):
        yield "the manifest counts other entities or passages than there are"


def _other_files(anew: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(anew.keys() | there.keys()):
        if anew.get(name) != there.get(name):
            yield f"{name} comes out otherwise when the snapshot is assembled anew"


def _fill(other: Store, store: Store, state: State, base: Snapshot) -> None:
    """Put the passages of a snapshot into a store, with what another one has of their texts.

    Raises:
        KeyError: It has not.
    """
    extractor, embedder = state.made_with["extractor"], state.made_with["embedder"]
    passages = [base.passage(row) for row in range(base.passages)]
    other.add(passages)
    other.set_meta({**state.made_with, **state.settings})
    for block in _blocks(map(text_hash, passages)):
        vectors = np.stack(list(store.vectors_of(block, embedder)))
        other.save(block, extractor, store.extractions_of(block, extractor), embedder, vectors)
    if SETTING in state.settings:
        for block in _blocks(sentence_hashes(list(map(as_read, passages)))):
            other.save_vectors(block, embedder, np.stack(list(store.vectors_of(block, embedder))))


def _blocks(hashes: Iterable[str]) -> Iterator[list[str]]:
    once = list(dict.fromkeys(hashes))
    return (once[first : first + _BLOCK] for first in range(0, len(once), _BLOCK))


class _NoEmbedder:
    """Stands where all vectors are in the store."""

    max_tokens = 0

    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [0 for _ in texts]

    def embed(self, texts: Sequence[str], kind: TextKind = "passage") -> NDArray[np.float32]:
        raise ModelError(f"the store lacks {counted(len(texts), 'vector')} of facts or sentences")
