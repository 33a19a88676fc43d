"""Corpus to store to snapshot: compute what is missing, commit it batch by batch, assemble."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graphmem.base.counts import counted
from graphmem.base.layout import STORE, shown
from graphmem.embedding.checked import check_width, checked_vectors
from graphmem.embedding.sparse import SETTING as SPARSE
from graphmem.errors import (
    BudgetExceeded,
    DataError,
    ExtractionError,
    IndexMismatchError,
)
from graphmem.extraction.checked import checked_extractions
from graphmem.graph.entity_graph import assemble_graph
from graphmem.graph.synonymy import Synonyms
from graphmem.indexing.extending import extend_snapshot
from graphmem.indexing.extraction_run import Extracted, extract_each, is_empty
from graphmem.indexing.facts import gather_facts
from graphmem.indexing.sentences import gather_sentences
from graphmem.indexing.sparse import weigh_missing
from graphmem.indexing.state import State, state_of
from graphmem.indexing.workers import M, Result, compute_batches
from graphmem.indexing.writer_lock import writer_lock
from graphmem.protocols import EachExtractor, Embedder, Extractor, Progress
from graphmem.sources.markup import as_read
from graphmem.storage.changes import ADD_ONLY, ChangeRule
from graphmem.storage.current import (
    known_synonyms,
    live_manifest,
    open_stack,
    remove_leftovers,
    write_snapshot,
)
from graphmem.storage.sentence_columns import SETTING
from graphmem.storage.store import Store
from graphmem.types import Extraction, Passage

BATCH = 32
"""Passages computed and committed at once."""
MAX_FAILURES = 0.1
"""Share of the passages that an extractor may fail on."""
_FEW = 4 * BATCH  # below this, starting worker processes costs more than it saves

Computed = tuple[list[Extraction], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What one run did.

    Attributes:
        passages: Passages in the index now, and found by searches.
        added: Passages that were new.
        computed: Texts that were extracted and embedded; the others were known already.
        entities: Entities in the index now.
        changed: Whether a new snapshot was written.
        empty: Computed texts in which nothing was found.
        failed: Texts that could not be extracted; the next run tries them again.
        missing: Passages that no search finds yet, since they wait for their extraction, or for
            the snapshot of a batch.
        replaced: Passages whose text, title or metadata is another now.
        deleted: Passages that are there no more.
    """

    passages: int
    added: int
    computed: int
    entities: int
    changed: bool
    empty: int = 0
    failed: int = 0
    missing: int = 0
    replaced: int = 0
    deleted: int = 0


def index_passages(
    index: Path,
    passages: Iterable[Passage],
    extractor: Extractor,
    embedder: Embedder,
    settings: Mapping[str, str],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    max_failures: float = MAX_FAILURES,
    rule: ChangeRule = ADD_ONLY,
    refused: Callable[[DataError], None] | None = None,
    timeout: float = 0.0,
    assemble: bool = True,
) -> IndexReport:
    """Add passages to an index and bring its snapshot up to date.

    The input is read whole before anything is computed: an error in it adds nothing, and what was
    there stays. Then every batch is committed as it is computed; after an interruption the same
    call goes on from there.

    Args:
        index: The index folder, made if it is missing.
        passages: What to add, in any order.
        extractor: Finds the entities.
        embedder: Makes the vectors.
        settings: Words by which the same extractor and embedder can be loaded again; with
            `sentence_columns.SETTING` among them a vector of every sentence is kept too, with
            `sparse.SETTING` learned words.
        workers: Processes that compute, each with its own copies of extractor and embedder; None
            is one for each core, 1 computes in this process.
        progress: Told of every batch, in the stages "read", "compute", "assemble", where passages
            are extracted one by one "extract", where there are facts "facts" and "synonymy", and
            where sentences are kept "sentences", where learned words are "sparse".
        max_failures: Where passages are extracted one by one: how many may fail; below 1 a share
            of them, judged from the twentieth on.
        rule: What may become of passages that are there.
        refused: Told of every text that comes in under the id of another one that did, and is left
            out; None raises the first.
        timeout: Seconds to wait for another writer.
        assemble: Bring the snapshot up to date now; else `assemble_index` will.

    Raises:
        DataError: The input is malformed, an id comes twice with different text, or there is none.
        IndexMismatchError: The index was made with another extractor or embedder, or the folder
            holds something else.
        IndexLockedError: Another process is writing to the index.
        StorageError: The folder cannot be written.
        ModelError: A model cannot be loaded or failed.
        BudgetExceeded: Not all passages could be extracted; the snapshot holds those that are.
        TooManyFailures: More passages failed than allowed; what succeeded is kept.
        ExtractionError: None could be extracted.
    """
    tell = progress or (lambda stage, done, total: None)
    made_with = {"extractor": extractor.fingerprint, "embedder": embedder.fingerprint}
    wanted = made_with | {name: settings[name] for name in (SPARSE,) if name in settings}
    with writer_lock(index, timeout), Store.open(index / STORE) as store:
        check_fingerprints(index, store.meta(), wanted, settings)
        changes = store.add(_counted(passages, tell), rule, refused)
        if not store.count() and live_manifest(index) is None:
            raise DataError("no passages in the input: every source is empty")
        store.set_meta({**made_with, **settings})
        work = _compute(store, extractor, embedder, workers, tell, max_failures)
        waiting = store.unextracted(extractor.fingerprint)
        _check_some_complete(index, store, extractor, waiting, work)
        changed = assemble and _assemble(index, store, waiting, embedder, workers, tell)
        report = report_of(index, store, changed)
        if work.stopped is not None:
            raise BudgetExceeded(
                f"{shown(index)}: {report.passages} of {counted(store.count(), 'passage')} "
                f"extracted, which can be searched; {work.stopped}"
            )
        return replace(
            report,
            added=changes.added,
            computed=work.done,
            empty=work.empty,
            failed=work.failed,
            replaced=changes.replaced,
            deleted=changes.deleted,
        )


def report_of(index: Path, store: Store, changed: bool) -> IndexReport:
    """What an index holds after a change, without what the change did."""
    live = live_manifest(index) or {"passages": 0, "entities": 0}  # nothing is assembled yet
    passages, entities = live["passages"], live["entities"]
    missing = store.count() - passages
    return IndexReport(passages, 0, 0, entities, changed, missing=missing)


def _check_some_complete(
    index: Path, store: Store, extractor: Extractor, waiting: Sequence[str], work: Extracted
) -> None:
    """Refuse to assemble a snapshot without passages.

    Raises:
        BudgetExceeded: The budget ended before the first passage was extracted.
        ExtractionError: All failed.
    """
    if not waiting or store.passages(extractor.fingerprint):
        return
    if work.stopped is not None:
        raise BudgetExceeded(f"{shown(index)}: no passage is extracted yet; {work.stopped}")
    failures = list(store.failures(extractor.fingerprint).values())
    raise ExtractionError(
        f"{shown(index)}: no passage could be extracted; the first of {len(failures)} failures: "
        f"{failures[0] if failures else 'none is recorded'}"
    )


def check_fingerprints(
    index: Path,
    meta: Mapping[str, str],
    wanted: Mapping[str, str],
    settings: Mapping[str, str] | None = None,
) -> None:
    """Compare what an index was made with to what it is used with.

    Args:
        index: The index folder.
        meta: What it was made with, fingerprints and settings.
        wanted: Fingerprints that it is used with.
        settings: With what settings; where they are the same, it is the version that changed.

    Raises:
        IndexMismatchError: They differ; says in what, and what to run.
    """
    for part, fingerprint in wanted.items():
        found = meta.get(part, fingerprint)
        if found == fingerprint:
            continue
        if settings and meta.get(f"{part}_spec") and settings.items() <= meta.items():
            raise IndexMismatchError(
                f"{shown(index)}: made with another version of the same {part}, {found}, now "
                f"{fingerprint}: make a new index, and remove this one then: {_command(meta)}"
            )
        raise IndexMismatchError(
            f"{shown(index)}: made with the {part} {found}, not {fingerprint}: "
            f"use the {part} it was made with, or index the sources into a new folder"
        )


def _command(meta: Mapping[str, str]) -> str:
    """How to make an index with the settings of this one."""
    options = {
        "--extractor": meta.get("extractor_spec", ""),
        "--spacy-model": meta.get("spacy_model", ""),
        "--model": meta.get("chat_model", ""),
        "--pack": meta.get("pack", ""),
        "--embedder": meta.get("embedder_spec", ""),
    }
    words = [f"{option} {shlex.quote(value)}" for option, value in options.items() if value]
    words += ["--sparse"] * (SPARSE in meta)
    return " ".join(["graphmem index SOURCE --index NEW", *words])


def _counted(passages: Iterable[Passage], tell: Progress) -> Iterator[Passage]:
    count = 0
    for count, passage in enumerate(passages, start=1):
        yield passage
        if count % 256 == 0:
            tell("read", count, 0)
    tell("read", count, count)


def _compute(
    store: Store,
    extractor: Extractor,
    embedder: Embedder,
    workers: int | None,
    tell: Progress,
    max_failures: float,
) -> Extracted:
    """Extract and embed every text that lacks it, and commit batch by batch."""
    if isinstance(extractor, EachExtractor):
        work = extract_each(store, extractor, max_failures, tell)
        _embed_extracted(store, extractor.fingerprint, embedder, workers, tell)
        return work
    names = extractor.fingerprint, embedder.fingerprint
    pending = store.pending(*names)
    empty = 0
    width = store.width(names[1])
    results = _by_batches(store, _compute_batch, (extractor, embedder), pending, workers, tell)
    with closing(results):
        for batch, (extractions, vectors) in results:
            _check_batch(store, embedder, batch, vectors, width)
            width = vectors.shape[1]
            store.save(batch, names[0], extractions, names[1], vectors)
            empty += sum(map(is_empty, extractions))
    return Extracted(len(pending), empty)


def _embed_extracted(
    store: Store, extractor: str, embedder: Embedder, workers: int | None, tell: Progress
) -> None:
    """Embed every extracted text that lacks a vector."""
    waiting = set(store.unextracted(extractor))
    pending = [h for h in store.pending(extractor, embedder.fingerprint) if h not in waiting]
    width = store.width(embedder.fingerprint)
    results = _by_batches(store, _embed_batch, (None, embedder), pending, workers, tell)
    with closing(results):
        for batch, vectors in results:
            _check_batch(store, embedder, batch, vectors, width)
            width = vectors.shape[1]
            store.save_vectors(batch, embedder.fingerprint, vectors)


def _by_batches(
    store: Store,
    work: Callable[[M, list[Passage]], Result],
    models: M,
    pending: Sequence[str],
    workers: int | None,
    tell: Progress,
) -> Generator[tuple[Sequence[str], Result], None, None]:
    """Compute the pending texts batch by batch, and tell of each when the caller has kept it."""
    batches = [pending[start : start + BATCH] for start in range(0, len(pending), BATCH)]
    done = 0
    tell("compute", 0, len(pending))
    few = len(pending) < _FEW
    results = compute_batches(work, models, batches, store.texts, 1 if few else workers)
    with closing(results):
        for batch, result in results:
            yield batch, result
            done += len(batch)
            tell("compute", done, len(pending))


def _embed_batch(
    models: tuple[Extractor | None, Embedder], passages: Sequence[Passage]
) -> NDArray[np.float32]:
    return checked_vectors(models[1], [_embedded_text(passage) for passage in passages])


def _compute_batch(models: tuple[Extractor, Embedder], passages: Sequence[Passage]) -> Computed:
    return checked_extractions(models[0], passages), _embed_batch(models, passages)


def _embedded_text(passage: Passage) -> str:
    return _read_text(as_read(passage))


def _read_text(said: Passage) -> str:
    return f"{said.title}\n{said.text}" if said.title else said.text


def _check_batch(
    store: Store,
    embedder: Embedder,
    batch: Sequence[str],
    vectors: NDArray[np.float32],
    width: int | None,
) -> None:
    """Refuse a batch whose vectors do not fit those that are there; what made it sees no others."""
    if width is not None and vectors.shape[1] != width:
        (passage,) = store.texts(batch[:1])
        check_width(embedder, _embedded_text(passage), vectors, width)


def assemble_index(
    index: Path,
    store: Store,
    embedder: Embedder,
    progress: Progress | None = None,
    *,
    whole: bool = False,
) -> bool:
    """Bring the snapshot up to what the store holds; nothing is extracted.

    Args:
        index: The index folder.
        store: Its store.
        embedder: Makes the vectors that are missing.
        progress: Told of the stages.
        whole: Assemble all anew where the snapshot is extended.

    Returns:
        Whether a new one was written.
    """
    tell = progress or (lambda stage, done, total: None)
    _embed_extracted(store, store.meta()["extractor"], embedder, 1, tell)
    return _assemble(index, store, None, embedder, 1, tell, whole=whole)


def _assemble(
    index: Path,
    store: Store,
    waiting: Sequence[str] | None,
    embedder: Embedder,
    workers: int | None,
    tell: Progress,
    *,
    whole: bool = False,
) -> bool:
    """Extend the live snapshot to all that the store holds, or assemble all anew.

    Passages that wait for their extraction are left out and counted.
    """
    state = state_of(store, waiting)
    stack = open_stack(index)
    extended = stack is not None and len(stack.parts) > 1
    if stack is not None and stack.manifest.get("content") == state.content:
        if not (whole and extended):
            # A run was killed before it noted this, or what changed is in no snapshot (`source`).
            if store.changed_since(state.content, 0) is None:
                state.mark(store)
            remove_leftovers(index)  # of one that was killed after it switched
            return False
    elif stack is not None and not whole:
        tell("assemble", 0, 1)
        if extend_snapshot(index, store, state, stack, embedder, workers, tell):
            tell("assemble", 1, 1)
            return True
    known = known_synonyms(index, embedder.fingerprint)
    write_assembled(index, store, state, embedder, workers, tell, known)
    state.mark(store)
    return True


def write_assembled(
    index: Path,
    store: Store,
    state: State,
    embedder: Embedder,
    workers: int | None,
    tell: Progress,
    known: Synonyms | None = None,
    *,
    weigh: bool = True,
) -> None:
    """Assemble a snapshot of a store and write it into a folder.

    Args:
        index: The index folder, or another.
        store: What is assembled; vectors that facts and sentences lack are added.
        state: Of the store.
        embedder: Makes these.
        workers: Processes that embed.
        tell: Told of the stages.
        known: Near phrases that are not searched again.
        weigh: Whether learned words that are missing are made; else that is an error.
    """
    tell("assemble", 0, 1)
    passages = store.passages(state.complete)
    extractions = list(store.extractions(state.made_with["extractor"]))
    read = [as_read(passage) for passage in passages]
    graph = assemble_graph(read, extractions)
    facts = gather_facts(store, extractions, embedder, workers, tell, known)
    sentences = None
    if SETTING in state.settings and passages:
        sentences = gather_sentences(store, read, graph, embedder, workers, tell)
        tell("assemble", 0, 1)  # a stopwatch counts from here what sentences have no part in
    texts = [_read_text(passage) for passage in read]
    words = weigh_missing(store, state, passages, texts, workers, tell, compute=weigh)
    if words is not None:
        tell("assemble", 0, 1)  # nor have learned words
    manifest = state.manifest
    if state.waiting or state.failed:
        manifest |= {"missing": store.count() - len(passages), "failed": len(state.failed)}
    vectors = store.vectors(state.made_with["embedder"], state.complete)
    write_snapshot(index, graph, passages, vectors, manifest, facts, sentences, words)
    tell("assemble", 1, 1)
