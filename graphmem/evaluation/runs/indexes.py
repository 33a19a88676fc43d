"""Indexes of an experiment, made once and found again by what they were made of."""

from __future__ import annotations

import json
import random
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from graphmem.base.layout import SENTENCES, snapshots
from graphmem.base.text import content_hash
from graphmem.embedding import load_embedder
from graphmem.embedding.sparse import DEFAULT, load_sparse
from graphmem.errors import IndexMismatchError, IndexNotFoundError, StorageError
from graphmem.evaluation.datasets.dataset import (
    Dataset,
    passages_hash,
    write_lines,
    write_text,
)
from graphmem.evaluation.runs.contents import model_content
from graphmem.evaluation.runs.environment import index_code_hash
from graphmem.evaluation.runs.recorded import IndexCosts
from graphmem.evaluation.runs.specification import IndexOptions, Variant, slug
from graphmem.extraction import load_extractor
from graphmem.extraction.imported import ImportedExtractor
from graphmem.indexing.sentences import STAGE
from graphmem.memory import GraphMemory
from graphmem.protocols import Embedder, Extractor, Progress
from graphmem.storage.current import forget_current, open_current
from graphmem.types import Passage


@dataclass(frozen=True, slots=True)
class BuiltIndex:
    """An index, and what it cost.

    Attributes:
        path: Its folder.
        passages: Passages in it, after long ones were cut.
        entities: Entities in it.
        bytes: Size of what queries read.
        seconds: How long each stage took when it was made.
        whole: Whether these seconds are of a build from nothing; else some of it was there.
        reused: Whether it was there already.
    """

    path: Path
    passages: int
    entities: int
    bytes: int
    seconds: dict[str, float] = field(default_factory=dict)
    whole: bool = True
    reused: bool = False

    def as_json(self) -> dict[str, Any]:
        """All but the place."""
        values = asdict(self)
        del values["path"]
        return values


class StageClock:
    """A progress callback that adds up the seconds of every stage and passes the news on."""

    def __init__(self, label: str, tell: Progress) -> None:
        """Start the clock."""
        self.seconds: dict[str, float] = {}
        self._label, self._tell = label, tell
        self._stage, self._last = "", time.perf_counter()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """The time since the last call went into `stage`, or the one before where it begins."""
        now = time.perf_counter()
        spent_on = stage if done or not self._stage else self._stage
        self.seconds[spent_on] = self.seconds.get(spent_on, 0.0) + now - self._last
        self._stage, self._last = stage, now
        self._tell(f"{self._label}: {stage}", done, total)


class Models:
    """Embedders and extractors, each loaded once."""

    def __init__(self) -> None:
        """Start with none."""
        self._embedders: dict[str, Embedder] = {}
        self._extractors: dict[str, Extractor] = {}

    def embedder(self, spec: str) -> Embedder:
        """The embedder of this name.

        Raises:
            ConfigError: There is none.
        """
        if spec not in self._embedders:
            self._embedders[spec] = load_embedder(spec)
        return self._embedders[spec]

    def extractor(self, options: IndexOptions) -> Extractor:
        """The extractor over a spaCy pipeline, or over a file of triples."""
        name = options.openie or f"spacy:{options.spacy_model}"
        if name not in self._extractors:
            self._extractors[name] = (
                ImportedExtractor(options.openie)
                if options.openie
                else load_extractor(options.spacy_model)
            )
        return self._extractors[name]

    def contents(self, options: IndexOptions) -> list[str]:
        """What the models of an index are, wherever their files lie.

        Fingerprints of embedder, extractor and learned words; with them what a model's folder
        holds, for a fingerprint may know a model by its name and version.
        """
        parts = [self.embedder(options.embedder).fingerprint, self.extractor(options).fingerprint]
        for name, spec in (("embedder", options.embedder), ("spaCy", options.spacy_model)):
            if content := model_content(spec):
                parts.append(f"{name}: {content}")
        if options.sparse:
            parts.append(f"learned words: {load_sparse(DEFAULT).fingerprint}")
        return parts


class IndexCache:
    """A folder of indexes, each beside a file that says what it is and what it cost.

    The name of an index holds the hash of its passages, of what extractor and embedder are, and
    the seed of the order. One that other code assembled is assembled again from
    its store: what was extracted and embedded stays. So is one that lacks sentences where they are
    wanted. One that has them serves both kinds, and is told without what they cost where they are
    not wanted.
    """

    def __init__(
        self, folder: Path, models: Models | None = None, tell: Progress | None = None
    ) -> None:
        """Use `folder`, made when it is needed.

        Args:
            folder: Where the indexes are.
            models: What they are made with.
            tell: Told of every batch that is extracted or embedded.
        """
        self.folder = folder
        self.models = models or Models()
        self._tell = tell or (lambda stage, done, total: None)

    @cached_property
    def _code(self) -> str:
        return index_code_hash()

    def of_scopes(
        self, dataset: Dataset, options: IndexOptions, seed: int
    ) -> dict[str, BuiltIndex]:
        """The index of every scope that a question has; one over all passages where none has any.

        Raises:
            GraphmemError: As for `GraphMemory.add`.
        """
        asked = {question.scope for question in dataset.questions}
        return {
            scope: self.of_scope(dataset, scope, options, seed)
            for scope in dataset.scopes
            if scope in asked
        }

    def of_scope(
        self, dataset: Dataset, scope: str, options: IndexOptions, seed: int
    ) -> BuiltIndex:
        """The index of one scope, "" for all passages.

        Raises:
            GraphmemError: As for `GraphMemory.add`.
        """
        label = f"{dataset.name}-{scope}" if scope else dataset.name
        return self.get(label, dataset.scopes[scope], options, seed)

    def get(
        self, label: str, passages: Sequence[Passage], options: IndexOptions, seed: int
    ) -> BuiltIndex:
        """The index of these passages, made if it is not there.

        The passages are shuffled by `seed` before they are indexed, so that a ranking cannot
        profit from gold passages that stand together in the source.

        Raises:
            GraphmemError: As for `GraphMemory.add`.
        """
        path = self.folder / f"{slug(label)}-{self.key(passages, options, seed)[:16]}"
        sheet = path.with_name(f"{path.name}.json")
        known = _read_sheet(sheet)
        if known.get("code") == self._code and _is_finished(path, options.sentences):
            return _built(path, known, options, reused=True)
        if options.sentences and STAGE not in known.get("seconds", {}):
            sheet.unlink(missing_ok=True)  # killed on the way, nobody knows what they take
        _drop_snapshots(path)
        clock = StageClock(label, self._tell)
        report = self._build(path, passages, options, seed, clock)
        snapshot = open_current(path)
        built = BuiltIndex(path, report.passages, report.entities, snapshot.size())
        # Where the store had some of it already, the seconds are not those of the whole.
        whole = report.computed > 0 and report.added > 0
        seconds = clock.seconds if whole else _longest(known.get("seconds", {}), clock.seconds)
        values = built.as_json() | {"seconds": seconds, "code": self._code}
        values["whole"] = whole or known.get("whole", False)
        values["bytes_sentences"] = snapshot.size(f"{SENTENCES}/")
        write_text(sheet, json.dumps(values, indent=1) + "\n")
        return _built(path, values, options, reused=not whole)

    def key(self, passages: Sequence[Passage], options: IndexOptions, seed: int) -> str:
        """Hash of all that an index is made of, but for the code."""
        return content_hash(
            passages_hash(passages),
            *self.models.contents(options),
            str(options.passage_tokens),
            str(seed),
        )

    def _build(
        self,
        path: Path,
        passages: Sequence[Passage],
        options: IndexOptions,
        seed: int,
        clock: StageClock,
    ) -> Any:
        shuffled = list(passages)
        random.Random(seed).shuffle(shuffled)
        corpus = path.with_name(f"{path.name}.corpus.jsonl")
        write_lines(corpus, map(_corpus_record, shuffled))
        try:
            memory = GraphMemory.open(
                path,
                sentences=options.sentences,
                sparse=options.sparse,
                embedder=options.embedder,
                spacy_model=options.spacy_model,
                extractor=self.models.extractor(options),
            )
            # Imported triples belong to whole records.
            whole = sys.maxsize if options.openie else None
            tokens = options.passage_tokens or whole
            return memory.add(corpus, passage_tokens=tokens, progress=clock)
        finally:
            corpus.unlink(missing_ok=True)


def index_costs(indexes: Iterable[BuiltIndex]) -> IndexCosts:
    """What the indexes of one run hold and cost together."""
    every = list(indexes)
    stages: dict[str, float] = {}
    for index in every:
        for stage, seconds in index.seconds.items():
            stages[stage] = round(stages.get(stage, 0.0) + seconds, 3)
    return IndexCosts(
        indexes=len(every),
        passages=sum(index.passages for index in every),
        entities=sum(index.entities for index in every),
        bytes=sum(index.bytes for index in every),
        seconds=stages,
        whole=all(index.whole for index in every),
        reused=all(index.reused for index in every),
    )


def _corpus_record(passage: Passage) -> dict[str, Any]:
    fields = {"id": passage.id, "title": passage.title, "text": passage.text}
    return {**fields, "metadata": dict(passage.metadata)}


def index_order(variants: Iterable[Variant]) -> list[IndexOptions]:
    """How the indexes of the variants are made, each once.

    Those with sentences come first: who needs none finds the same index, made in one go.
    """
    options = dict.fromkeys(variant.index for variant in variants)
    return sorted(options, key=lambda option: not option.sentences)


def _read_sheet(sheet: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(sheet.read_text("utf-8"))
    except (OSError, ValueError):  # none, or one cut off by a crash: it is written again
        return {}
    return values


def _built(path: Path, values: dict[str, Any], options: IndexOptions, reused: bool) -> BuiltIndex:
    """An index by its sheet, without what sentences cost where they are not wanted."""
    fields = {name: values[name] for name in ("passages", "entities", "bytes", "seconds", "whole")}
    if not options.sentences:
        fields["bytes"] -= values["bytes_sentences"]
        fields["seconds"] = {s: t for s, t in values["seconds"].items() if s != STAGE}
    return BuiltIndex(path, **fields, reused=reused)


def _longest(known: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return {stage: max(known.get(stage, 0.0), now.get(stage, 0.0)) for stage in {**known, **now}}


def _is_finished(path: Path, sentences: bool) -> bool:
    try:
        snapshot = open_current(path)
        return not sentences or snapshot.sentences is not None
    except (IndexNotFoundError, IndexMismatchError, StorageError):
        return False


def _drop_snapshots(path: Path) -> None:
    """Make the next `add` assemble the index from its store; the folder is the cache's own."""
    forget_current(path)
    for snapshot in snapshots(path):
        shutil.rmtree(snapshot, ignore_errors=True)
