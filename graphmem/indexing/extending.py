"""A few passages that came or went: the live snapshot is extended, not assembled anew.

What this costs follows what changed. Until all is assembled anew, names that are new are not sought
in the passages that were there, nor are forms of one name among old and new names together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from graphmem.base.columns import VectorRows
from graphmem.embedding.sparse import SETTING as SPARSE_SETTING
from graphmem.graph.entity_graph import extend_graph
from graphmem.indexing.sentences import gather_sentences
from graphmem.indexing.state import State
from graphmem.protocols import Embedder, Progress
from graphmem.sources.markup import as_read
from graphmem.storage.current import write_extension
from graphmem.storage.extension import Extension, Stack
from graphmem.storage.rows import text_hash
from graphmem.storage.sentence_columns import SETTING, SentenceColumns
from graphmem.storage.store import Store
from graphmem.types import Extraction, Passage

SMALLEST: Final = 1000
"""Passages of the smallest snapshot that is extended: less is assembled anew in a second or so."""
SHARE: Final = 1 / 32
"""Of its passages, how many may come and go before all is assembled anew."""
_PIECES: Final = 64
"""Pieces of a document that are linked anew together when one of them changes."""


def extend_snapshot(
    index: Path,
    store: Store,
    state: State,
    stack: Stack,
    embedder: Embedder,
    workers: int | None,
    tell: Progress,
) -> bool:
    """Extend the live snapshot to what the store holds, where little has changed.

    Args:
        index: The index folder.
        store: Its store; all extractions and vectors of passages are there.
        state: Of the store.
        stack: The live snapshot with its extension.
        embedder: Makes the vectors of sentences, where the index keeps them.
        workers: Processes that embed.
        tell: Told of the stage "sentences".

    Returns:
        Whether it was; else all must be assembled anew.

    Raises:
        StorageError: The folder cannot be written.
    """
    room = int(stack.base.passages * SHARE) if stack.base.passages >= SMALLEST else 0
    most = room - stack.own.gone.size - len(stack.own.records)
    said = {name: stack.manifest.get(name) for name in state.manifest.keys() - {"content"}}
    if (
        most <= 0
        or state.waiting
        or "missing" in stack.manifest
        or SPARSE_SETTING in state.settings
        or stack.base.facts is not None
        or said != {name: state.manifest[name] for name in said}
    ):
        return False
    changed = store.changed_since(stack.manifest["content"], most)
    if changed is None:
        return False
    rows, ids = _with_documents(store, stack, set(changed))
    passages = store.passages_of(sorted(ids))
    if len(rows) + len(passages) > most:
        return False
    hashes = [text_hash(passage) for passage in passages]
    extractions = store.extractions_of(hashes, state.made_with["extractor"])
    if any(extraction.triples for extraction in extractions):
        return False
    gone = np.union1d(stack.own.gone, np.array(rows, dtype=np.int64))
    brought = _brought(store, state, passages, extractions, stack, embedder, workers, tell)
    extension = stack.own.joined(brought, gone)
    counts = extension.counts(stack.base)
    write_extension(index, stack.base, extension, {**counts, **state.manifest})
    state.mark(store)
    return True


def extended_again(store: Store, state: State, stack: Stack, embedder: Embedder) -> Extension:
    """What stands beside a snapshot, as it comes out when the same passages come to it again.

    Which rows are gone is taken from there.

    Args:
        store: The store, which has what was computed of passages that have come and gone too.
        state: Of the store.
        stack: The snapshot with its extension.
        embedder: Is asked where the store lacks the vector of a sentence.

    Raises:
        KeyError: The store has not.
    """

    def quiet(stage: str, done: int, total: int) -> None:
        pass

    again, first = Stack(stack.base, Extension.nothing(stack.base)), stack.base.passages
    for count in stack.own.steps.tolist():
        passages = [stack.passage(row) for row in range(first, first + count)]
        hashes = [text_hash(passage) for passage in passages]
        extractions = store.extractions_of(hashes, state.made_with["extractor"])
        brought = _brought(store, state, passages, extractions, again, embedder, 1, quiet)
        again = Stack(stack.base, again.own.joined(brought, again.own.gone))
        first += count
    return replace(again.own, gone=stack.own.gone)


def _brought(
    store: Store,
    state: State,
    passages: Sequence[Passage],
    extractions: Sequence[Extraction],
    stack: Stack,
    embedder: Embedder,
    workers: int | None,
    tell: Progress,
) -> Extension:
    """What passages bring to a stack that come to it at once."""
    read = [as_read(passage) for passage in passages]
    graph = extend_graph(read, extractions, stack.dictionary, stack.entities)
    vectors = np.empty((len(passages), stack.base.vectors.width), dtype=np.float32)
    hashes = [text_hash(passage) for passage in passages]
    for row, vector in enumerate(store.vectors_of(hashes, state.made_with["embedder"])):
        vectors[row] = vector
    sentences = None
    if SETTING in state.settings and passages:
        whole = replace(graph, dictionary=stack.dictionary.joined(graph.dictionary))
        found = gather_sentences(store, read, whole, embedder, workers, tell)
        sentences = SentenceColumns(found.named, VectorRows((np.stack(list(found.vectors)),)))
    return Extension.of(graph, passages, vectors, sentences)


def _with_documents(store: Store, stack: Stack, ids: set[str]) -> tuple[list[int], set[str]]:
    """Rows of the stack and ids of passages, with all pieces of the same documents.

    A piece is about what the first of its document names, and a surname is one of its document.
    """
    rows = stack.rows_of(ids)
    there = [*store.passages_of(sorted(ids)), *map(stack.passage, rows)]
    pieces: set[str] = set()
    for document in {passage.document for passage in there} - {""}:
        found = store.pieces_of(document, _PIECES + 1)
        pieces |= set(found) if len(found) <= _PIECES else set()
    more = stack.rows_of(pieces - ids)
    return sorted({*rows, *more}), ids | pieces
