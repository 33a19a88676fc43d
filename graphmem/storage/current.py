"""Which snapshot of an index is live: opening it, and the switch to a new one.

CURRENT holds its name. A snapshot is a folder of columns with a manifest: format, counts,
fingerprints, checksums. One whose manifest names a base is an extension of that.

A snapshot is written under a temporary name, synced, renamed, then CURRENT is replaced. Readers
keep the files that they have mapped.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphmem.base.columns import map_array
from graphmem.base.files import (
    checked_file,
    checked_files,
    read_plain,
    sync_folder,
    write_text,
)
from graphmem.base.layout import (
    CURRENT,
    MANIFEST,
    STORE,
    is_snapshot_name,
    namespace_of,
    namespaces,
    next_snapshot,
    shown,
    snapshots,
    unfinished,
)
from graphmem.embedding.sparse import WordWeights
from graphmem.errors import IndexMismatchError, IndexNotFoundError, StorageError
from graphmem.graph.entity_graph import KnowledgeGraph
from graphmem.graph.synonymy import RULE, Synonyms
from graphmem.storage.extension import BASE, Extension, Stack
from graphmem.storage.fact_columns import SYNONYM_FILES, FactSource, read_synonyms, write_facts
from graphmem.storage.selection import Selection
from graphmem.storage.sentence_columns import SentenceSource, write_sentences
from graphmem.storage.snapshot import (
    FORMAT,
    Snapshot,
    damaged,
    read_manifest,
    write_columns,
)
from graphmem.storage.sparse_columns import write_sparse
from graphmem.types import Passage


def open_current(index: Path) -> Snapshot:
    """Open the live snapshot of an index.

    Raises:
        IndexNotFoundError: There is no index, or none that was finished; says what to run.
        IndexMismatchError: It has another format.
        StorageError: It is damaged.
    """
    for _ in range(3):
        name = _current(index)
        if name is None:
            break
        try:
            return _opened(index, name)
        except FileNotFoundError as error:
            # A writer may have replaced and removed the snapshot since CURRENT was read.
            if _current(index) == name:
                raise damaged(Path(error.filename or index / name)) from error
        except OSError as error:
            raise StorageError(f"{error.filename}: cannot be read: {error.strerror}") from error
    if (index / STORE).exists():
        raise IndexNotFoundError(
            f"{shown(index)}: this index was never finished; what was committed is kept: "
            f"run the same graphmem index command again to go on"
        )
    raise no_index(index)


def no_index(index: Path) -> IndexNotFoundError:
    """The error where there is none; says what there is, and what to run."""
    option, whole = "", index
    if (name := namespace_of(index)) is not None:
        option, whole = " --namespace NAME", index.parent.parent
    there = [other for other in namespaces(whole) if other != name]
    listed = ", ".join(map(repr, there[:5])) + (", …" if len(there) > 5 else "")
    hint = f"; it holds the namespaces {listed} (--namespace)" if there else ""
    return IndexNotFoundError(
        f"{shown(index)}: no index here; make one: graphmem index SOURCE --index DIR{option}{hint}"
    )


def live_folder(index: Path) -> Path | None:
    """The folder of the live snapshot, None where there is none.

    Raises:
        StorageError: What says so is damaged.
    """
    name = _current(index)
    return None if name is None else index / name


def forget_current(index: Path) -> None:
    """Let no snapshot be live, so that the next one is assembled from nothing."""
    (index / CURRENT).unlink(missing_ok=True)


def live_manifest(index: Path) -> dict[str, Any] | None:
    """The manifest of the live snapshot, None where there is none that can be read."""
    try:
        name = _current(index)
        return None if name is None else read_manifest(index / name)
    except (IndexMismatchError, StorageError, OSError):
        return None


def known_synonyms(index: Path, embedder: str) -> Synonyms | None:
    """Near phrases of the live snapshot; None where there are none that can be relied on.

    Args:
        index: The index folder.
        embedder: Fingerprint of what made the vectors.
    """
    try:
        live = open_current(index)
        manifest, files = live.manifest, live.manifest["files"]
        if (manifest.get("synonymy"), manifest.get("embedder")) != (RULE, embedder):
            return None
        if any(checked_file(live.folder / name) != files[name] for name in SYNONYM_FILES):
            return None
        return read_synonyms(live.array)
    except (IndexNotFoundError, IndexMismatchError, StorageError, OSError, KeyError):
        return None


def open_stack(index: Path) -> Stack | None:
    """The live snapshot with its extension, as a writer extends it; None where it cannot be."""
    try:
        name = _current(index)
        if name is None:
            return None
        files = Snapshot(index / name)
        base = _base(index, files)
        return Stack.read(files, None) if base is None else Stack.read(base, files)
    except (IndexMismatchError, StorageError, OSError):
        return None


def _opened(index: Path, name: str) -> Snapshot:
    files = Snapshot(index / name)
    base = _base(index, files)
    if base is None:
        return files
    stack = Stack.read(base, files)
    return Selection(stack, stack.left)


def _base(index: Path, files: Snapshot) -> Snapshot | None:
    """The snapshot that another extends, None where it is whole."""
    if BASE not in files.manifest:
        return None
    # The manifest is data: it names a snapshot in this folder, which extends no other.
    name = files.manifest[BASE]
    if not isinstance(name, str) or not is_snapshot_name(name):
        raise damaged(files.folder / MANIFEST)
    base = Snapshot(index / name)
    if BASE in base.manifest:
        raise damaged(files.folder / MANIFEST)
    return base


def write_snapshot(
    index: Path,
    graph: KnowledgeGraph,
    passages: Sequence[Passage],
    vectors: Iterable[NDArray[np.float32]],
    manifest: Mapping[str, Any],
    facts: FactSource | None = None,
    sentences: SentenceSource | None = None,
    words: Iterable[WordWeights] | None = None,
) -> None:
    """Write a snapshot beside the live one, switch to it, and remove the old one.

    Args:
        index: The index folder.
        graph: The graph over the passages.
        passages: P passages in row order.
        vectors: Their P vectors, float32 [d] each.
        manifest: What goes into the manifest beside format, counts and checksums.
        facts: The facts, None where no passage has any.
        sentences: The sentences, None where the index does not keep them.
        words: The learned words of the passages, None where the index does not keep them.
    """

    def write(folder: Path) -> Mapping[str, Any]:
        counts = write_columns(folder, graph, passages, vectors)
        if facts:
            write_facts(folder, facts)
        if sentences:
            write_sentences(folder, sentences)
        if words is not None:
            write_sparse(folder, words)
        return {**counts, **manifest, **({"synonymy": RULE} if facts else {})}

    _publish(index, write)


def write_extension(
    index: Path, base: Snapshot, extension: Extension, manifest: Mapping[str, Any]
) -> None:
    """Write an extension of a snapshot, switch to it, and remove the one before.

    Args:
        index: The index folder.
        base: The snapshot, which stays.
        extension: The passages beside it.
        manifest: As of `write_snapshot`.
    """

    def write(folder: Path) -> Mapping[str, Any]:
        extension.write(folder)
        return {BASE: base.folder.name, **manifest}

    _publish(index, write)


def _publish(index: Path, write: Callable[[Path], Mapping[str, Any]]) -> None:
    """Let `write` write a folder, and tell what stands in its manifest; then switch to it."""
    name = next_snapshot(index)
    folder = index / f".{name}.tmp"
    then = "the old state stays"
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        manifest = write(folder)
        _check_whole(folder)
        whole = {"format": FORMAT, **manifest, "files": checked_files(folder)}
        write_text(folder / MANIFEST, json.dumps(whole, indent=1))
        for inner in filter(Path.is_dir, folder.iterdir()):
            sync_folder(inner)
        sync_folder(folder)
        os.replace(folder, index / name)
        write_text(index / f"{CURRENT}.tmp", name)
        os.replace(index / f"{CURRENT}.tmp", index / CURRENT)
        then = "the new state is live, but not known to be on the disk"
        sync_folder(index)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise StorageError(f"{folder}: {error.strerror or error}; {then}") from error
    remove_leftovers(index)


def _check_whole(folder: Path) -> None:
    """Refuse columns that are shorter than they say.

    `np.save` writes the end of a small array when C closes its file, and sees no error of that.

    Raises:
        OSError: There is one.
    """
    for file in folder.rglob("*.npy"):
        try:
            map_array(file)
        except ValueError as error:
            raise OSError(errno.EIO, "a file could not be written whole", str(file)) from error


def remove_leftovers(index: Path) -> None:
    """Remove all snapshots but the live one, half-written ones too; only a writer may do so."""
    live, manifest = _current(index), live_manifest(index)
    if live is not None and manifest is None:
        return  # what it extends is not known
    base = (manifest or {}).get(BASE)
    for folder in (*snapshots(index), *unfinished(index)):
        if folder.name not in (live, base):
            shutil.rmtree(folder, ignore_errors=True)


def folder_size(index: Path) -> int:
    """Bytes of all files of an index."""
    return sum(file.stat().st_size for file in index.rglob("*") if file.is_file())


def _current(index: Path) -> str | None:
    try:
        name = read_plain(index / CURRENT).strip().decode("ascii")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise damaged(index / CURRENT) from error
    # The pointer is data: it names a snapshot in this folder, nothing else.
    if not is_snapshot_name(name):
        raise damaged(index / CURRENT)
    return name
