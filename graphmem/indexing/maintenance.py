"""Taking passages out of an index, and what they left out of its files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from graphmem.base.files import sync_folder
from graphmem.base.layout import (
    RESPONSES,
    STORE,
    dropped_folder,
    namespace_of,
    namespaces,
    shown,
)
from graphmem.errors import ConfigError, StorageError
from graphmem.indexing.facts import fact_hashes
from graphmem.indexing.indexer import (
    IndexReport,
    assemble_index,
    check_fingerprints,
    report_of,
)
from graphmem.indexing.sentences import sentence_hashes
from graphmem.indexing.state import state_of
from graphmem.indexing.writer_lock import writer_lock
from graphmem.llm.response_cache import ResponseCache
from graphmem.protocols import Embedder, Progress
from graphmem.sources.markup import as_read
from graphmem.storage.current import (
    folder_size,
    live_folder,
    no_index,
    open_current,
    remove_leftovers,
)
from graphmem.storage.filters import Filter
from graphmem.storage.sentence_columns import SETTING
from graphmem.storage.store import Store


@dataclass(frozen=True, slots=True)
class Compacted:
    """What `compact_index` did.

    Attributes:
        removed: Extractions and vectors of texts that no passage has.
        answers: Kept answers of language models, which may repeat deleted texts.
        bytes_before: Of the whole folder.
        bytes_after: The same, now.
    """

    removed: int
    answers: int
    bytes_before: int
    bytes_after: int


def delete_passages(
    index: Path,
    embedder: Embedder,
    *,
    ids: Sequence[str] = (),
    documents: Sequence[str] = (),
    where: Filter | None = None,
    timeout: float = 0.0,
    progress: Progress | None = None,
    assemble: bool = True,
) -> IndexReport:
    """Take passages out of an index: no search finds them from now on.

    What was computed from them stays in the store until `compact_index`, so that nothing is paid
    twice when they come again. What was deleted but is in the live snapshot still, since a run was
    killed before its snapshot or a batch has not ended, may be named again, and counts.

    Args:
        index: The index folder.
        embedder: What the index was made with.
        ids: Passages with these ids.
        documents: All passages of these documents, or passages that are no pieces of one.
        where: Passages whose metadata fulfils this filter (`storage.filters`).
        timeout: Seconds to wait for another writer.
        progress: Told of the stages "assemble", "facts" and "synonymy".
        assemble: Bring the snapshot up to date now; else `update_index` will.

    Raises:
        ConfigError: Nothing is named, or `where` is no filter.
        DataError: There is no passage or document of a name; nothing is deleted then.
        IndexNotFoundError: There is no finished index.
        IndexMismatchError: The index was made with another embedder.
        IndexLockedError: Another process is writing to the index.
        StorageError: The folder cannot be written.
    """
    if not ids and not documents and not where:
        raise ConfigError("nothing to delete: name ids, documents or values of metadata")
    with _opened(index, embedder, timeout, finished=assemble) as store:
        again, ids, documents = _without_deleted(index, store, ids, documents)
        deleted = store.delete(store.select(ids, documents, where)) + again
        changed = assemble and assemble_index(index, store, embedder, progress)
        return replace(report_of(index, store, changed), deleted=deleted)


def update_index(
    index: Path, embedder: Embedder, *, timeout: float = 0.0, progress: Progress | None = None
) -> bool:
    """Bring the snapshot up to what was added and deleted without; whether it was behind.

    Args:
        index: The index folder.
        embedder: What the index was made with.
        timeout: Seconds to wait for another writer.
        progress: Told of the stages "assemble", "facts" and "synonymy".

    Raises:
        IndexLockedError: Another process is writing to the index.
        StorageError: The folder cannot be written.
    """
    with _opened(index, embedder, timeout, finished=False) as store:
        begun = "extractor" in store.meta()  # else nothing was ever added
        return begun and assemble_index(index, store, embedder, progress)


def drop_namespace(folder: Path, timeout: float = 0.0) -> None:
    """Remove a namespace with all of its files, and what an interrupted removal left of it.

    It is there or not: one that was moved aside is none, though its files be there still.

    Args:
        folder: That of the namespace.
        timeout: Seconds to wait for another writer.

    Raises:
        ConfigError: It is no namespace.
        IndexNotFoundError: It holds nothing.
        IndexLockedError: Another process is writing to it.
        StorageError: The folder cannot be removed; says whether the namespace is.
    """
    name = namespace_of(folder)
    if name is None:
        raise ConfigError(f"{folder}: is no namespace; only those are dropped, not a whole index")
    moved = dropped_folder(folder)
    there = name in namespaces(folder.parent.parent)
    try:
        if moved.exists():
            shutil.rmtree(moved)
        if there:
            with writer_lock(folder, timeout):
                os.replace(folder, moved)
                there = False
                sync_folder(moved.parent)
            shutil.rmtree(moved)
            return
    except OSError as error:
        what = "cannot be removed" if there else "is dropped, but not all its files are removed"
        raise StorageError(f"{shown(folder)}: {what}: {error.strerror or error}") from error
    raise no_index(folder)


def compact_index(
    index: Path,
    embedder: Embedder,
    *,
    timeout: float = 0.0,
    progress: Progress | None = None,
) -> Compacted:
    """Remove what was computed from texts that no passage has any more, and their bytes.

    Where there is such, kept answers of language models go too, for they may repeat these texts;
    what was paid stays in the ledger.

    Args:
        index: The index folder.
        embedder: What the index was made with.
        timeout: Seconds to wait for another writer.
        progress: Told of the stages "assemble", "facts" and "synonymy".

    Raises:
        IndexNotFoundError: There is no finished index.
        IndexMismatchError: The index was made with another embedder.
        IndexLockedError: Another process is writing to the index.
        StorageError: The folder cannot be written.
    """
    with _opened(index, embedder, timeout) as store:
        before = folder_size(index)
        assemble_index(index, store, embedder, progress, whole=True)
        answers = 0
        if store.orphans() and (index / RESPONSES).exists():
            with ResponseCache(index / RESPONSES) as responses:
                answers = responses.clear()
        removed = store.compact(_needed(store))
        remove_leftovers(index)
    return Compacted(removed, answers, before, folder_size(index))


@contextmanager
def _opened(
    index: Path, embedder: Embedder, timeout: float, *, finished: bool = True
) -> Iterator[Store]:
    """The store of an index, with the lock; of a finished one, where that is asked for."""
    if finished or not (index / STORE).exists():
        open_current(index)  # says what is missing
    with writer_lock(index, timeout), Store.open(index / STORE) as store:
        check_fingerprints(index, store.meta(), {"embedder": embedder.fingerprint})
        if finished:
            remove_leftovers(index)  # of a run that was killed
        yield store


def _without_deleted(
    index: Path, store: Store, ids: Sequence[str], documents: Sequence[str]
) -> tuple[int, Sequence[str], Sequence[str]]:
    """Of what is named, how many passages only the live snapshot still has, and all other names."""
    there = {passage.id for passage in store.passages_of(ids)}
    gone_ids = set(ids) - there
    gone_documents = {name for name in documents if not store.has_document(name)}
    if not (gone_ids or gone_documents) or live_folder(index) is None:
        return 0, ids, documents
    live = open_current(index)
    if live.manifest.get("content") == state_of(store).content:
        return 0, ids, documents
    found_ids, found_documents, count = set(), set(), 0
    for passage in map(live.passage, range(live.passages)):
        document = passage.document or passage.id
        if passage.id in gone_ids or document in gone_documents:
            count += 1
            found_ids.add(passage.id)
            found_documents.add(document)
    return (
        count,
        [name for name in ids if name not in gone_ids & found_ids],
        [name for name in documents if name not in gone_documents & found_documents],
    )


def _needed(store: Store) -> Iterator[str]:
    """Hashes of the texts beside the passages' own that the live snapshot has vectors of."""
    meta = store.meta()
    yield from fact_hashes(list(store.extractions(meta["extractor"])))
    if SETTING in meta:
        yield from sentence_hashes([as_read(passage) for passage in store.passages()])
