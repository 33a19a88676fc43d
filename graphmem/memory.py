"""The facade that users hold: open, add, search, ask, explain."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import cached_property
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, Self, overload

from graphmem.answering.chat_session import ChatSettings, Language
from graphmem.answering.facade import Asking
from graphmem.answering.facade import Preset as Preset
from graphmem.base.layout import RESPONSES, STORE, index_folders, namespace_folder, namespaces
from graphmem.config import HippoRag2Config, SearchConfig, preset
from graphmem.embedding.sparse import SETTING as SPARSE
from graphmem.embedding.sparse import recorded_sparse
from graphmem.errors import ConfigError, DataError, StorageError
from graphmem.explaining.explain import Explanation, explain
from graphmem.extraction import load_extractor
from graphmem.extraction.estimate import Estimate
from graphmem.extraction.names_and_facts import NamesAndFacts
from graphmem.extraction.openie import LlmExtractor
from graphmem.indexing.backup import backup_index, restore_index
from graphmem.indexing.extraction_run import planned_packs
from graphmem.indexing.indexer import (
    MAX_FAILURES,
    IndexReport,
    check_fingerprints,
    index_passages,
)
from graphmem.indexing.maintenance import (
    Compacted,
    compact_index,
    delete_passages,
    drop_namespace,
    update_index,
)
from graphmem.indexing.verification import Verified, repair_index, verify_index
from graphmem.llm.fact_filter import ModelFactFilter
from graphmem.llm.response_cache import read_usage
from graphmem.model_specs import asks_a_model, find_models
from graphmem.protocols import (
    ChatModel,
    Embedder,
    Extractor,
    FactFilter,
    Fetched,
    Progress,
    Reranker,
)
from graphmem.reranking import load_reranker
from graphmem.searching.rerank_step import RERANK_DEPTH, RereadingRetriever, require_depth
from graphmem.searching.retriever import Retriever
from graphmem.sources.files import Sources, gather_passages, sorted_sources
from graphmem.sources.options import LeftOut
from graphmem.sources.options import ReadOptions as ReadOptions
from graphmem.sources.options import ReadReport as ReadReport
from graphmem.storage.changes import ADD_ONLY, ChangeRule, place_of
from graphmem.storage.current import live_folder, open_current
from graphmem.storage.filters import Filter
from graphmem.storage.selection import select
from graphmem.storage.snapshot import Snapshot
from graphmem.storage.statistics import index_statistics
from graphmem.storage.store import Store
from graphmem.types import Passage, Price, Ranking

logger = logging.getLogger(__name__)

FACT_FILTERS = ("none", "margin", "model")
_SELECTIONS = 4
"""Filters whose passages are kept selected; each holds copies of their columns."""
_MARGIN, _LEAST_COSINE = 0.1, 0.3  # of the fact filter without a model


class GraphMemory(Asking):
    """A memory in one folder: add passages, search them over several hops, see why they came.

    A reader keeps the state of the index that its first search opened, until `refresh`.

    Threads may share a memory: all may search and explain at once, each finds what it would find
    alone, and while one of them adds the others find the state before or after, never a mixture.
    Two must not add at once: the second gets `IndexLockedError`. Processes do not share one: each
    opens its own.

    >>> import tempfile
    >>> memory = GraphMemory.open(tempfile.mkdtemp() + "/films.index", embedder="hashing")
    >>> report = memory.add([
    ...     Passage("1", "Alien is a film by Ridley Scott.", "Alien"),
    ...     Passage("2", "Ridley Scott was born in South Shields.", "Ridley Scott"),
    ... ])
    >>> ranking = memory.search("In which town was the director of Alien born?", k=2)
    >>> ranking.route, [hit.passage.title for hit in ranking.hits]
    ('graph', ['Alien', 'Ridley Scott'])
    """

    def __init__(
        self,
        path: Path,
        embedder: Embedder,
        extractor: Extractor | None,
        settings: Mapping[str, str],
        language: Language,
        fact_filter: str | FactFilter = "none",
        pack: int = 1,
        reranker: Reranker | None = None,
        rerank_depth: int = RERANK_DEPTH,
        auto_refresh: bool = False,
    ) -> None:
        """Use `open` instead."""
        self._auto_refresh = auto_refresh
        self._batches = 0  # entered and not left
        self._opening = threading.Lock()
        self._retriever: Retriever | None = None
        self._selected: OrderedDict[str, Retriever] = OrderedDict()
        self._pack = pack
        self.path = path
        self._embedder = embedder
        self._given_extractor = extractor
        self._settings = settings
        self._language = language
        self._fact_filter = fact_filter
        self._reranker = reranker
        self._rerank_depth = rerank_depth

    @classmethod
    def open(
        cls,
        path: str | PathLike[str],
        *,
        embedder: str | Embedder | None = None,
        spacy_model: str | None = None,
        extractor: str | Extractor | None = None,
        chat: str | ChatModel | ChatSettings = "",
        fact_filter: str | FactFilter = "none",
        reranker: str | Reranker | None = None,
        rerank_depth: int = RERANK_DEPTH,
        sentences: bool = False,
        sparse: bool | str = False,
        auto_refresh: bool = False,
        namespace: str | None = None,
    ) -> Self:
        """Open the index at `path`, or name the place of one that `add` will make.

        Args:
            path: The index folder.
            embedder: "default", "int8", "e5-small", "bge-small", "hashing", "openai:MODEL", the
                path of a model folder, or an object; None is what the index was made with, or
                "default".
            spacy_model: Name or path of the spaCy pipeline that finds entities; None is what the
                index was made with, or the small English one.
            extractor: "spacy", "llm" (entities and facts by the chat model), "import:FILE"
                (OpenIE results in HippoRAG's form), "spacy+llm" or "spacy+import:FILE" (spaCy's
                names, the other's facts), or an object; None is what the index was made with, or
                "spacy".
            chat: Name of the chat model at the server of OPENAI_BASE_URL, an object, or settings
                with limits and a budget; "" is the environment's GRAPHMEM_MODEL, else the model
                that the index was made with. Every answer is kept in the index.
            fact_filter: Of preset hipporag2: "none" keeps all facts, "margin" those nearly as near
                to the question as the nearest, "model" asks the chat model; or an object.
            reranker: Reads the first passages of every ranking again and orders them: the path of
                a cross-encoder's folder, "maxsim", "maxsim:FOLDER", "words", or an object.
            rerank_depth: How many passages it reads, 1 or more.
            sentences: `add` keeps a vector of every sentence too, which makes preset linearrag
                faster; an index that was made so goes on.
            sparse: `add` keeps learned words of every passage too, which searches by names then use
                beside those that it has (`graphmem.embedding.sparse`); an index that was made so
                goes on. True is the default model, or the folder of a SPLADE model of the BERT
                family.
            auto_refresh: Every search sees what other processes have added by then; without it a
                memory keeps the state that its first search opened, until `refresh`.
            namespace: A memory of its own in that folder, with models, passages, graph, statistics
                and writers of its own; None is the one that has no name. A name has 1 to 100
                bytes.

        Raises:
            ConfigError: There is no such embedder, extractor, fact filter or reranker.
            IndexMismatchError: The index has another format.

        >>> import tempfile
        >>> from graphmem.llm.scripted import ScriptedChat
        >>> chat = ScriptedChat([
        ...     '{"entities": ["Alien", "Ridley Scott"]}',
        ...     '{"triples": [["Alien", "directed by", "Ridley Scott"]]}',
        ...     '{"found": true, "answer": "Ridley Scott", "passages": [1]}',
        ... ])
        >>> memory = GraphMemory.open(
        ...     tempfile.mkdtemp() + "/i", embedder="hashing", extractor="llm", chat=chat
        ... )
        >>> _ = memory.add([Passage("1", "Alien is a film by Ridley Scott.")])
        >>> answer = memory.ask("Who made Alien?")
        >>> answer.text, answer.passages
        ('Ridley Scott', ('1',))
        """
        if not isinstance(path, str | PathLike):
            raise ConfigError(f"path must name a folder, not {path!r}")
        folder = Path(path) if namespace is None else namespace_folder(Path(path), namespace)
        for name, given, method in (
            ("embedder", embedder, "embed"),
            ("extractor", extractor, "extract"),
            ("fact_filter", fact_filter, "keep"),
            ("reranker", reranker, "score"),
        ):
            if not (given is None or isinstance(given, str) or hasattr(given, method)):
                raise ConfigError(
                    f"{name} must be a name or an object with the method {method}, not {given!r}"
                )
        if isinstance(fact_filter, str) and fact_filter not in FACT_FILTERS:
            raise ConfigError(f"no fact filter {fact_filter!r}: {', '.join(FACT_FILTERS)}")
        found = find_models(folder, embedder, spacy_model, extractor, sentences, sparse)
        asked = chat if isinstance(chat, ChatSettings) else ChatSettings(chat)
        language = Language(folder / RESPONSES, asked, found.chat_model)
        pack = asked.pack or found.pack
        models = found.embedder, found.extractor, found.settings
        if isinstance(reranker, str):
            reranker = load_reranker(reranker)
        depth = require_depth(rerank_depth)
        return cls(folder, *models, language, fact_filter, pack, reranker, depth, auto_refresh)

    @cached_property
    def extractor(self) -> Extractor:
        """What finds the entities and facts.

        Raises:
            ConfigError: It is a chat model, and none is named.
        """
        if self._given_extractor is not None:
            return self._given_extractor
        return load_extractor(
            self._settings["spacy_model"],
            spec=self._settings["extractor_spec"],
            chat=self._language.extracting,
            concurrency=self._language.settings.concurrency,
            pack=self._pack,
        )

    def add(
        self,
        sources: Sources,
        *,
        passage_tokens: int | None = None,
        overlap: int = 0,
        workers: int | None = None,
        progress: Progress | None = None,
        report: ReadReport | None = None,
        reading: ReadOptions | None = None,
        max_failures: float = MAX_FAILURES,
        timeout: float = 0.0,
    ) -> IndexReport:
        """Add passages, or files and folders that hold them. What is there already is not redone.

        A file or record that cannot be read, or has the id of another one, is left out, and named
        in `report` or else in a warning; where none can be read, that is an error, and with
        `reading.strict` the first is.

        Args:
            sources: Paths ("-" is standard input), or passages.
            passage_tokens: Longer texts are cut at sentence ends into passages of at most this many
                tokens, with ids "ID#0", "ID#1", … and the document ID; None is what the embedder
                reads whole, and no limit where triples are imported, which belong to whole records.
            overlap: Tokens that a piece repeats of the one before.
            workers: Processes that extract and embed; None is one for each core.
            progress: Told of every batch.
            report: Counts what was read, and names what was left out.
            reading: How files, folders and records are read.
            max_failures: Passages that a chat model may fail on: below 1 a share, judged from the
                twentieth on, from 1 a number. They are tried again by the next `add`.
            timeout: Seconds to wait for another process that is writing to the index.

        Raises:
            DataError: The input is malformed; says file, line and what was expected. Or a text
                has the id of another one that is there: see `update`.
            IndexMismatchError: The index was made with another extractor or embedder.
            IndexLockedError: Another process is writing to the index.
            StorageError: The folder cannot be written.
            ModelError: A model cannot be loaded or failed.
            BudgetExceeded: The budget ended; what is extracted can be searched, and the same call
                goes on from there.
            TooManyFailures: More passages failed than allowed; what succeeded is kept.
        """
        return self._take(
            sources,
            ADD_ONLY,
            passage_tokens=passage_tokens,
            overlap=overlap,
            workers=workers,
            progress=progress,
            report=report,
            reading=reading,
            max_failures=max_failures,
            timeout=timeout,
        )

    def update(
        self,
        sources: Sources,
        *,
        passage_tokens: int | None = None,
        overlap: int = 0,
        workers: int | None = None,
        progress: Progress | None = None,
        report: ReadReport | None = None,
        reading: ReadOptions | None = None,
        max_failures: float = MAX_FAILURES,
        timeout: float = 0.0,
    ) -> IndexReport:
        """Add passages or files; a text whose id is there already takes the place of the old one.

        A text that was cut is replaced with all its pieces. What is given as a piece ("ID#3", with
        its document and position) takes the place of that piece alone.

        Args:
            sources: As for `add`.
            passage_tokens: As for `add`.
            overlap: As for `add`.
            workers: As for `add`.
            progress: As for `add`.
            report: As for `add`.
            reading: As for `add`.
            max_failures: As for `add`.
            timeout: As for `add`.

        Raises:
            DataError: As for `add`; two of the given texts have one id, or a text would take the
                place of one from another file that is still there and was not given.
            IndexLockedError: As for `add`.
            StorageError: As for `add`.
            ModelError: As for `add`.

        >>> import tempfile
        >>> memory = GraphMemory.open(tempfile.mkdtemp() + "/i", embedder="hashing")
        >>> _ = memory.add([Passage("1", "Ada lives in Turin."), Passage("2", "Bob rows.")])
        >>> report = memory.update([Passage("1", "Ada lives in Oslo.")])
        >>> report.added, report.replaced, memory.search("Oslo", k=1).hits[0].passage.id
        (0, 1, '1')
        """
        passages, paths = sorted_sources(sources)
        names = None if paths else {passage.id for passage in passages}
        return self._take(
            paths or passages,
            ChangeRule(replaces=True, names=names, whole=set()),
            passage_tokens=passage_tokens,
            overlap=overlap,
            workers=workers,
            progress=progress,
            report=report,
            reading=reading,
            max_failures=max_failures,
            timeout=timeout,
        )

    def sync(
        self,
        sources: str | PathLike[str] | Sequence[str | PathLike[str]],
        *,
        keep_gone: bool = False,
        passage_tokens: int | None = None,
        overlap: int = 0,
        workers: int | None = None,
        progress: Progress | None = None,
        report: ReadReport | None = None,
        reading: ReadOptions | None = None,
        max_failures: float = MAX_FAILURES,
        timeout: float = 0.0,
    ) -> IndexReport:
        """Bring the index up to what files and folders hold now.

        As `update`; and what was read from one of the files, or in one of the folders from a file
        that is no more, and is not there now, is deleted. Passages of a file that could not be
        read whole, or that is left out by `reading`, stay as they are.

        Args:
            sources: Files and folders.
            keep_gone: Delete nothing but old pieces of texts that changed.
            passage_tokens: As for `add`.
            overlap: As for `add`.
            workers: As for `add`.
            progress: As for `add`.
            report: As for `add`.
            reading: As for `add`.
            max_failures: As for `add`.
            timeout: As for `add`.

        Raises:
            DataError: As for `update`, or what is given are no paths.
            IndexLockedError: As for `add`.
            StorageError: As for `add`.
            ModelError: As for `add`.
        """
        passages, paths = sorted_sources(sources)
        if passages:
            raise DataError("sync takes paths of files and folders; use update for passages")
        read = ReadReport() if report is None else report
        folders = tuple(os.path.abspath(path) for path in paths if os.path.isdir(path))
        rule = ChangeRule(replaces=True, drops=not keep_gone, whole=read.whole, folders=folders)
        return self._take(
            paths,
            rule,
            passage_tokens=passage_tokens,
            overlap=overlap,
            workers=workers,
            progress=progress,
            report=report,
            read=read,
            reading=reading,
            max_failures=max_failures,
            timeout=timeout,
        )

    def delete(
        self,
        ids: str | Sequence[str] = (),
        *,
        documents: str | Sequence[str] = (),
        where: Filter | None = None,
        progress: Progress | None = None,
        timeout: float = 0.0,
    ) -> IndexReport:
        """Take passages out: those with these ids, of these documents, and with such metadata.

        No search finds them from now on. What was computed from them is kept, so that nothing is
        paid twice when they come again, until `compact`.

        Args:
            ids: Ids of passages.
            documents: Ids of documents, or of passages that are no pieces of one.
            where: A filter, as for `search`; all passages that fulfil it.
            progress: Told of every stage.
            timeout: Seconds to wait for another writer.

        Raises:
            ConfigError: Nothing is named, or `where` is no filter.
            DataError: There is no passage or document of a name; nothing is deleted then.
            IndexNotFoundError: There is no finished index.
            IndexLockedError: Another process is writing to the index.
            StorageError: The folder cannot be written.

        >>> import tempfile
        >>> memory = GraphMemory.open(tempfile.mkdtemp() + "/i", embedder="hashing")
        >>> _ = memory.add([Passage("1", "Ada lives in Turin."), Passage("2", "Bob rows.")])
        >>> memory.delete("1").deleted, memory.search("Ada, Turin", k=1).hits
        (1, ())
        """
        done = delete_passages(
            self.path,
            self._embedder,
            ids=[ids] if isinstance(ids, str) else ids,
            documents=[documents] if isinstance(documents, str) else documents,
            where=where,
            timeout=timeout,
            progress=progress,
            assemble=not self._batches,
        )
        self._forget_snapshot()
        return done

    @contextmanager
    def batch(self, *, progress: Progress | None = None, timeout: float = 0.0) -> Iterator[None]:
        """Let many changes make one snapshot: searches see them when the batch ends.

        Every change is committed when its call returns, as ever: what ends a batch early, or kills
        the process, loses none, and the next change brings the snapshot up to all. Where the disk
        or Ctrl-C ended it, searches see what was before it until then, so that the same batch, with
        what it deletes, can be run again.

        Args:
            progress: Told of every stage, at the end.
            timeout: Seconds to wait for another writer, at the end.

        Raises:
            IndexLockedError: Another process is writing to the index, at the end.
            StorageError: The folder cannot be written.

        >>> import tempfile
        >>> memory = GraphMemory.open(tempfile.mkdtemp() + "/i", embedder="hashing")
        >>> with memory.batch():
        ...     for number, place in enumerate(["Turin", "Oslo"]):
        ...         _ = memory.add([Passage(str(number), f"Ada was in {place}.")])
        >>> len(memory.search("Where was Ada?").hits)
        2
        """
        self._batches += 1
        stays = False
        try:
            yield
        except (StorageError, KeyboardInterrupt):
            stays = True
            raise
        finally:
            self._batches -= 1
            if not self._batches and not stays and (self.path / STORE).exists():
                self.prepare(progress)
                update_index(self.path, self._embedder, timeout=timeout, progress=progress)
                self._forget_snapshot()

    def namespaces(self) -> list[str]:
        """Names of the namespaces in the folder of the index, in their order.

        >>> import tempfile
        >>> folder = tempfile.mkdtemp() + "/i"
        >>> memory = GraphMemory.open(folder, embedder="hashing", namespace="alice")
        >>> _ = memory.add([Passage("1", "Ada lives in Turin.")])
        >>> GraphMemory.open(folder, embedder="hashing").namespaces()
        ['alice']
        """
        return list(namespaces(self.path))

    def drop(self, *, timeout: float = 0.0) -> None:
        """Remove the namespace that this memory is, with all of its files.

        Args:
            timeout: Seconds to wait for another writer.

        Raises:
            ConfigError: It is none, but an index: removing its folder is yours to do.
            IndexNotFoundError: It holds nothing.
            IndexLockedError: Another process is writing to it.
            StorageError: The folder cannot be removed.
        """
        self._language.flush()
        drop_namespace(self.path, timeout)
        self._forget_snapshot()

    def compact(self, *, progress: Progress | None = None, timeout: float = 0.0) -> Compacted:
        """Remove what deleted and replaced texts left in the files of the index, and their bytes.

        Kept answers of language models go with them, for they may repeat what was deleted.

        Args:
            progress: Told of every stage.
            timeout: Seconds to wait for another writer.

        Raises:
            IndexNotFoundError: There is no finished index.
            IndexLockedError: Another process is writing to the index.
            StorageError: The folder cannot be written.
        """
        self._language.flush()
        done = compact_index(self.path, self._embedder, timeout=timeout, progress=progress)
        self._forget_snapshot()
        return done

    def verify(self, *, deep: bool = False, progress: Progress | None = None) -> Verified:
        """Read every file of the index and compare what they say; nothing is changed.

        Args:
            deep: Also assemble the snapshot anew, in a temporary folder, and compare the bytes.
            progress: Told of every stage.

        Raises:
            IndexNotFoundError: There is no index.

        >>> import tempfile
        >>> memory = GraphMemory.open(tempfile.mkdtemp() + "/i", embedder="hashing")
        >>> _ = memory.add([Passage("1", "Ada lives in Turin.")])
        >>> memory.verify(deep=True).problems
        []
        """
        return verify_index(self.path, deep=deep, progress=progress)

    def repair(self, *, progress: Progress | None = None, timeout: float = 0.0) -> Verified:
        """Make anew what follows from the rest, and verify; texts are never changed.

        Its namespaces are repaired too, each with the embedder that it was made with. Damaged
        extractions are removed, and their passages wait: `sync` or `add` extracts them again.

        Args:
            progress: Told of every stage.
            timeout: Seconds to wait for another writer.

        Raises:
            IndexLockedError: Another process is writing to the index.
            StorageError: The store is damaged, or the folder cannot be written.
        """
        self.prepare(progress)
        for folder in index_folders(self.path):
            own = self if folder == self.path else GraphMemory.open(folder)
            repair_index(folder, own._embedder, timeout=timeout, progress=progress)
        self._forget_snapshot()
        return self.verify(progress=progress)

    def backup(self, file: str | PathLike[str], *, progress: Progress | None = None) -> int:
        """Write the index into one file, also while another process writes to it; its bytes.

        Args:
            file: A plain tar, which does not exist yet.
            progress: Told of the stage "backup".

        Raises:
            IndexNotFoundError: There is no finished index.
            ConfigError: The file exists.
            IndexLockedError: Another process is making the same file.
            StorageError: The index cannot be read, or the file not be written.
        """
        self._language.flush()
        return backup_index(self.path, Path(file), progress)

    @staticmethod
    def restore(
        file: str | PathLike[str],
        path: str | PathLike[str],
        *,
        progress: Progress | None = None,
    ) -> Verified:
        """Make an index of a backup, at a place that does not exist yet, and verify it.

        Raises:
            ConfigError: The place exists.
            DataError: The file is no backup, or damaged: nothing is made then.
            IndexLockedError: Another process is making an index at the same place.
            StorageError: The folder cannot be written.
        """
        return restore_index(Path(file), Path(path), progress)

    def _take(
        self,
        sources: Sources,
        rule: ChangeRule,
        *,
        passage_tokens: int | None,
        overlap: int,
        workers: int | None,
        progress: Progress | None,
        report: ReadReport | None,
        reading: ReadOptions | None,
        max_failures: float,
        timeout: float,
        read: ReadReport | None = None,
    ) -> IndexReport:
        if workers is not None and (not isinstance(workers, int) or workers < 1):
            raise ConfigError(f"workers must be 1 or more, or None, not {workers!r}")
        read = read or report or ReadReport()
        before = read.files
        passages = self._some(self._passages(sources, passage_tokens, overlap, read, reading))
        clashes = ReadReport()

        def refused(error: DataError) -> None:
            if read.files == before or (reading and reading.strict):
                raise error  # passages of a program, or all or nothing is wanted
            path, line, item = place_of(error.path)
            reason = f"{item}: {error.message}" if item else error.message
            clashes.skip_record(LeftOut(path, reason, error.hint, line))

        self.prepare(progress)
        settings = dict(self._settings)
        if asks_a_model(settings["extractor_spec"]):
            settings["chat_model"] = self._language.extracting.model
            if self._pack > 1:
                settings["pack"] = str(self._pack)
        try:
            done = index_passages(
                self.path,
                passages,
                self.extractor,
                self._embedder,
                settings,
                workers=workers,
                progress=progress,
                max_failures=max_failures,
                rule=rule,
                refused=refused,
                timeout=timeout,
                assemble=not self._batches,
            )
        finally:
            self._language.flush()
            read.add_skipped(clashes)
        if report is None:
            for item in (*read.left_out, *read.bad_records):
                where = item.path if item.line is None else f"{item.path}:{item.line}"
                logger.warning("left out: %s: %s", ascii(where)[1:-1], item.reason)
        self._forget_snapshot()
        return done

    def _forget_snapshot(self) -> None:
        with self._opening:
            self._retriever = None
            self._selected.clear()

    def refresh(self) -> bool:
        """Let the next search see what other processes have changed since; whether they have.

        Raises:
            IndexNotFoundError: There is no finished index.
        """
        with self._opening:
            if self._retriever is None or self._retriever.snapshot.folder == live_folder(self.path):
                return False
        self._forget_snapshot()
        return True

    def estimate(
        self,
        sources: Sources,
        *,
        price: Price | None = None,
        passage_tokens: int | None = None,
        overlap: int = 0,
        report: ReadReport | None = None,
        reading: ReadOptions | None = None,
    ) -> Estimate:
        """What adding these would take of the chat model; calls and writes nothing.

        The calls are those that `add` makes if every answer can be used, after a kill too.

        Args:
            sources: As for `add`.
            price: Of a million tokens, for the cost.
            passage_tokens: As for `add`.
            overlap: As for `add`.
            report: Counts what was read, and names what was left out.
            reading: As for `add`.

        Raises:
            DataError: The input is malformed.
            IndexMismatchError: The index was made with another extractor or embedder.
        """
        passages = self._passages(sources, passage_tokens, overlap, report, reading)
        self.prepare()
        name = self.extractor.fingerprint
        exists = (self.path / STORE).exists()
        with Store.read(self.path / STORE) if exists else nullcontext() as store:
            if store is not None:
                wanted = {"extractor": name, "embedder": self._embedder.fingerprint}
                check_fingerprints(self.path, store.meta(), wanted)
            packs = planned_packs(store, passages, name, self._pack)
        facts = self.extractor
        facts = facts.facts if isinstance(facts, NamesAndFacts) else facts
        if isinstance(facts, LlmExtractor):
            return facts.estimate(packs, price)
        return Estimate(sum(map(len, packs)), 0, 0, 0, None if price is None else 0.0, 0.0)

    def _passage_tokens(self) -> int:
        """What the embedder reads whole; no limit for imported triples, made of whole records."""
        return sys.maxsize if self._imports() else self._embedder.max_tokens

    def _imports(self) -> bool:
        return "import:" in self._settings.get("extractor_spec", "")

    def _passages(
        self,
        sources: Sources,
        passage_tokens: int | None,
        overlap: int,
        report: ReadReport | None,
        reading: ReadOptions | None,
    ) -> Iterable[Passage]:
        return gather_passages(
            sources,
            count_tokens=self._embedder.count_tokens,
            passage_tokens=passage_tokens or self._passage_tokens(),
            overlap=overlap,
            report=report,
            options=reading or ReadOptions(),
            known=self._known_sources,
        )

    def _known_sources(self, names: Sequence[str]) -> Mapping[str, str]:
        if not (self.path / STORE).exists():
            return {}
        with Store.read(self.path / STORE) as store:
            return store.sources(names)

    def _some(self, passages: Iterable[Passage]) -> Iterable[Passage]:
        """The same passages; the first is read now, so that no folder is made for none.

        Raises:
            DataError: There is none, and no index to leave as it is.
        """
        rest = iter(passages)
        first = next(rest, None)
        if first is None:
            if not (self.path / STORE).exists():
                raise DataError("no passages in the input: every source is empty")
            return ()
        return chain([first], rest)

    def prepare(self, progress: Progress | None = None) -> None:
        """Fetch what embedder and learned words need and is not here yet; `add` does so too.

        Raises:
            ModelError: It cannot be fetched.
        """
        if isinstance(self._embedder, Fetched):
            self._embedder.fetch(progress)
        words = recorded_sparse(self._settings)
        if words is not None:
            words.fetch(progress)

    @property
    def retriever(self) -> Retriever:
        """Ranks the passages of the live snapshot; the same until the next change.

        Raises:
            IndexNotFoundError: There is no finished index.
            IndexMismatchError: It was made with another embedder or has another format.
        """
        if self._auto_refresh:
            self.refresh()
        # Opened under the lock, so that none opened before an `add` is kept after it.
        with self._opening:
            if self._retriever is None:
                self._retriever = self._open_retriever()
            return self._retriever

    def _open_retriever(self) -> Retriever:
        snapshot = open_current(self.path)
        wanted = {"embedder": self._embedder.fingerprint}
        words = recorded_sparse(snapshot.manifest)
        if words is not None:
            wanted[SPARSE] = words.fingerprint
        check_fingerprints(self.path, snapshot.manifest, wanted)
        return self._retriever_over(snapshot)

    def _retriever_over(self, snapshot: Snapshot) -> Retriever:
        fact_filter = None if isinstance(self._fact_filter, str) else self._fact_filter
        if self._fact_filter == "model":
            concurrency = self._language.settings.concurrency
            fact_filter = ModelFactFilter(self._language.answering, concurrency=concurrency)
        if self._reranker is not None:
            depth = self._rerank_depth
            return RereadingRetriever(snapshot, self._embedder, fact_filter, self._reranker, depth)
        return Retriever(snapshot, self._embedder, fact_filter)

    def _selecting(self, filter: Filter | None) -> Retriever:
        """Ranks the passages whose metadata fulfils a filter; those of the last few are kept.

        Raises:
            ConfigError: It is no filter.
        """
        whole = self.retriever
        if not filter:
            return whole
        try:
            key = json.dumps(filter, sort_keys=True)
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigError(f"a filter holds JSON values ({error}): {filter!r}") from error
        with self._opening:
            if self._retriever is whole and key in self._selected:
                self._selected.move_to_end(key)
                return self._selected[key]
        found = self._retriever_over(select(whole.snapshot, filter))
        with self._opening:
            if self._retriever is whole:  # else it is of a state that is no more
                self._selected[key] = found
                while len(self._selected) > _SELECTIONS:
                    self._selected.popitem(last=False)
        return found

    @overload
    def search(
        self, question: str, k: int = 5, preset: Preset = "default", *, filter: Filter | None = None
    ) -> Ranking: ...

    @overload
    def search(
        self,
        question: list[str],
        k: int = 5,
        preset: Preset = "default",
        *,
        filter: Filter | None = None,
    ) -> list[Ranking]: ...

    def search(
        self,
        question: str | list[str],
        k: int = 5,
        preset: Preset = "default",
        *,
        filter: Filter | None = None,
    ) -> Ranking | list[Ranking]:
        """The best `k` passages for a question, or for each of many in one call.

        Args:
            question: One question or a list of them.
            k: How many hits, 1 to all.
            preset: A name in `graphmem.config.PRESETS`, or a configuration.
            filter: Conditions on metadata, as `graphmem.storage.filters` has them, e.g.
                {"year": {"$gte": 1970}}: all others are left out of seeds, walk, reasons and hits.

        Raises:
            ConfigError: k is below 1, the question is blank, there is no such preset, or `filter`
                is none.
            IndexNotFoundError: There is no finished index.
            IndexMismatchError: The index was made with another embedder, or has no facts and the
                preset needs them.
            ModelError: The embedder, the fact filter or the reranker failed.

        >>> import tempfile
        >>> memory = GraphMemory.open(tempfile.mkdtemp() + "/i", embedder="hashing")
        >>> _ = memory.add([
        ...     Passage("1", "Ada lives in Turin.", metadata={"year": 1843}),
        ...     Passage("2", "Ada lives in London.", metadata={"year": 1850}),
        ... ])
        >>> found = memory.search("Where does Ada live?", filter={"year": {"$gte": 1845}})
        >>> found.hits[0].passage.text, len(found.hits)
        ('Ada lives in London.', 1)
        """
        questions = [question] if isinstance(question, str) else _checked_questions(question)
        rankings = self._selecting(filter).search(questions, k, self._config(preset))
        self._language.flush()
        return rankings[0] if isinstance(question, str) else rankings

    def _search_one(
        self, question: str, k: int, preset: Preset, filter: Filter | None = None
    ) -> Ranking:
        return self.search(question, k, preset, filter=filter)

    def explain(
        self,
        question: str,
        k: int = 5,
        preset: Preset = "default",
        *,
        filter: Filter | None = None,
    ) -> Explanation:
        """Search, with the seeds, the strongest path and the sentences that brought each hit.

        Raises:
            ConfigError: As for `search`.
        """
        if not isinstance(question, str):
            raise ConfigError(f"question must be a string, not {question!r}")
        return explain(self._selecting(filter), question, k, self._config(preset))

    def stats(self) -> dict[str, Any]:
        """Counts, degrees, sizes, fingerprints and what models were used, as JSON values."""
        usage = [asdict(line) for line in read_usage(self.path / RESPONSES)]
        return {**index_statistics(self.path, open_current(self.path)), "usage": usage}

    def failures(self) -> dict[str, str]:
        """Id and error of every passage that could not be extracted; the next `add` tries again.

        Raises:
            IndexNotFoundError: There is no finished index.
        """
        extractor = open_current(self.path).manifest["extractor"]
        with Store.read(self.path / STORE) as store:
            return store.failures(extractor)

    def _config(self, preset_: Preset) -> SearchConfig:
        if not isinstance(preset_, str | SearchConfig):
            raise ConfigError(f"preset must be a name or a configuration, not {preset_!r}")
        config = preset(preset_) if isinstance(preset_, str) else preset_
        if isinstance(config, HippoRag2Config) and self._fact_filter == "margin":
            return replace(config, margin=_MARGIN, least_cosine=_LEAST_COSINE)
        return config


def _checked_questions(questions: Any) -> list[str]:
    """A list of questions.

    Raises:
        ConfigError: It is none; names what is in its place.
    """
    if not isinstance(questions, list | tuple):
        raise ConfigError(f"a question is a string, or a list of strings, not {questions!r}")
    for number, question in enumerate(questions, start=1):
        if not isinstance(question, str):
            raise ConfigError(f"question {number} must be a string, not {question!r}")
    return list(questions)
