"""One run: every question of a data set searched in one way, recorded, and timed."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

from graphmem.config import SearchConfig
from graphmem.errors import GraphmemError, StorageError, TooManyFailures
from graphmem.evaluation.datasets import (
    Dataset,
    JudgedQuestion,
    question_record,
    write_lines,
    write_text,
)
from graphmem.evaluation.environment import code_hash
from graphmem.evaluation.indexes import BuiltIndex
from graphmem.evaluation.rerankers import searching
from graphmem.evaluation.specification import Experiment, Variant, slug
from graphmem.memory import GraphMemory
from graphmem.protocols import Embedder, Progress, TextKind
from graphmem.runs import TAG, source_id
from graphmem.text import content_hash
from graphmem.types import Hit, Ranking

_BATCH = 256
_SNIPPET = 240
_SHOWN = 10  # hits of every question whose titles are kept for the report


class TimedEmbedder:
    """An embedder that adds up how long it takes."""

    def __init__(self, embedder: Embedder) -> None:
        """Wrap `embedder`."""
        self.embedder = embedder
        self.seconds = 0.0

    @property
    def fingerprint(self) -> str:
        """That of the embedder."""
        return self.embedder.fingerprint

    @property
    def max_tokens(self) -> int:
        """That of the embedder."""
        return self.embedder.max_tokens

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """As the embedder counts."""
        return self.embedder.count_tokens(texts)

    def embed(self, texts: Sequence[str], kind: TextKind = "passage") -> NDArray[np.float32]:
        """As the embedder embeds."""
        start = time.perf_counter()
        try:
            return self.embedder.embed(texts, kind)
        finally:
            self.seconds += time.perf_counter() - start


@dataclass(slots=True)
class Found:
    """What one question brought.

    Attributes:
        question: The question.
        route: How it was ranked, "" where it failed.
        hits: (passage id, title, score, beginning of the text), best first; pieces of one record
            count once.
        error: Why it failed, "" where it did not.
    """

    question: JudgedQuestion
    route: str = ""
    hits: list[tuple[str, str, float, str]] = field(default_factory=list)
    error: str = ""

    def as_record(self) -> dict[str, Any]:
        """A line of questions.jsonl of the run."""
        places = {id_: rank for rank, (id_, *_) in enumerate(self.hits, start=1)}
        return {
            **question_record(self.question),
            "route": self.route,
            "error": self.error,
            "gold_ranks": {gold: places.get(gold) for gold in self.question.gold},
            "hits": [list(hit) for hit in self.hits[:_SHOWN]],
        }


def run_folder(out: Path, dataset: str, variant: str, seed: int) -> Path:
    """Where a run is kept."""
    return out / "runs" / slug(dataset) / f"{slug(variant)}.seed{seed}"


def run_key(dataset: Dataset, variant: Variant, seed: int, experiment: Experiment) -> str:
    """Hash of all that decides a run: one that was finished under the same key is kept."""
    parts = {
        "dataset": dataset.content,
        "order": [question.id for question in dataset.questions],
        "config": [type(variant.config).__name__, asdict(variant.config)],
        "index": asdict(variant.index),
        "rerank": asdict(variant.rerank) if variant.rerank else None,
        "seed": seed,
        "depth": experiment.depth,
        "latency": experiment.latency,
        "code": code_hash(),
    }
    return content_hash(json.dumps(parts, sort_keys=True))


def is_finished(folder: Path, key: str) -> bool:
    """Whether the folder holds a finished run of this key."""
    try:
        found = json.loads((folder / "run.json").read_text("utf-8"))
    except (OSError, ValueError):  # none, or one cut off: it is run again
        return False
    return bool(found.get("key") == key)


def run_variant(
    dataset: Dataset,
    variant: Variant,
    indexes: Mapping[str, BuiltIndex],
    embedder: Embedder,
    experiment: Experiment,
    tell: Progress,
) -> tuple[list[Found], dict[str, Any]]:
    """Search every question, in the index of its scope.

    Returns:
        What was found, in the order of the questions; and timings, tokens and cost, JSON values.

    Raises:
        TooManyFailures: More questions failed than the experiment allows.
    """
    timed = TimedEmbedder(embedder)
    allowed = experiment.failures_allowed(len(dataset.questions))
    done: dict[str, Found] = {}
    failed = 0
    clock = {"open": 0.0, "search": 0.0}
    latency: list[tuple[float, float]] = []
    per_scope = _latency_sample(dataset, experiment.latency)
    for scope, questions in _by_scope(dataset).items():
        start = time.perf_counter()
        memory = GraphMemory.open(indexes[scope].path, embedder=timed, **searching(variant.rerank))
        memory.retriever  # noqa: B018  opening belongs to this stage, not to the first search
        clock["open"] += time.perf_counter() - start
        start = time.perf_counter()
        for found in _search(memory, questions, variant.config, experiment.depth):
            done[found.question.id] = found
            failed += bool(found.error)
            if failed > allowed:
                raise TooManyFailures(
                    f"{dataset.name}, {variant.name}: {failed} questions failed, "
                    f"{allowed} may; the last one: {found.error}"
                )
            if len(done) % _BATCH == 0:
                tell(f"{dataset.name}, {variant.name}", len(done), len(dataset.questions))
        clock["search"] += time.perf_counter() - start
        texts = [q.text for q in questions if q.id in per_scope and not done[q.id].error]
        latency += _latencies(memory, timed, texts, variant.config, max(experiment.cutoffs))
    tell(f"{dataset.name}, {variant.name}", len(done), len(dataset.questions))
    numbers = {
        "seconds": clock,
        "questions_per_second": len(done) / clock["search"] if clock["search"] else 0.0,
        "latency": _latency_json(latency),
        "tokens": {"prompt": 0, "completion": 0},  # of a language model: there is none
        "cost": 0.0,
    }
    return [done[question.id] for question in dataset.questions], numbers


def _by_scope(dataset: Dataset) -> dict[str, list[JudgedQuestion]]:
    scopes: dict[str, list[JudgedQuestion]] = {}
    for question in dataset.questions:
        scopes.setdefault(question.scope, []).append(question)
    return scopes


def _search(
    memory: GraphMemory, questions: Sequence[JudgedQuestion], config: SearchConfig, depth: int
) -> Iterator[Found]:
    for start in range(0, len(questions), _BATCH):
        batch = questions[start : start + _BATCH]
        try:
            rankings = memory.search([question.text for question in batch], depth, config)
        except GraphmemError:  # one of them fails: each alone, so that the others count
            for question in batch:
                yield _search_one(memory, question, config, depth)
            continue
        for question, ranking in zip(batch, rankings, strict=True):
            yield _found(memory, question, ranking, config, depth)


def _search_one(
    memory: GraphMemory, question: JudgedQuestion, config: SearchConfig, depth: int
) -> Found:
    try:
        return _found(memory, question, memory.search(question.text, depth, config), config, depth)
    except GraphmemError as error:
        return Found(question, error=f"{type(error).__name__}: {error}")


def _found(
    memory: GraphMemory,
    question: JudgedQuestion,
    ranking: Ranking,
    config: SearchConfig,
    depth: int,
) -> Found:
    """The first `depth` records of a ranking, looking deeper where pieces of one crowd it."""
    wanted = depth
    while len(best := _best_pieces(ranking.hits)) < depth and len(ranking.hits) == wanted:
        wanted *= 4
        ranking = memory.search(question.text, wanted, config)
    hits = [
        (id_, hit.passage.title, hit.score, " ".join(hit.passage.text[:_SNIPPET].split()))
        for id_, hit in list(best.items())[:depth]
    ]
    return Found(question, ranking.route + (" + reranker" if ranking.reranker else ""), hits)


def _best_pieces(hits: Sequence[Hit]) -> dict[str, Hit]:
    best: dict[str, Hit] = {}
    for hit in hits:
        best.setdefault(source_id(hit.passage), hit)
    return best


def _latency_sample(dataset: Dataset, count: int) -> set[str]:
    ids = [question.id for question in dataset.questions]
    return set(random.Random(0).sample(ids, min(count, len(ids))))


def _latencies(
    memory: GraphMemory,
    timed: TimedEmbedder,
    questions: Sequence[str],
    config: SearchConfig,
    k: int,
) -> list[tuple[float, float]]:
    """Milliseconds of every question alone: all, and of it the embedder's. One is a warm-up."""
    if questions:
        memory.search(questions[0], k, config)
    found = []
    for question in questions:
        embedding, start = timed.seconds, time.perf_counter()
        memory.search(question, k, config)
        whole = time.perf_counter() - start
        found.append((1000 * whole, 1000 * (timed.seconds - embedding)))
    return found


def _latency_json(latency: Sequence[tuple[float, float]]) -> dict[str, float]:
    if not latency:
        return {"questions": 0}
    whole, embedding = np.array(latency).T
    return {
        "questions": len(latency),
        "median_ms": round(float(np.median(whole)), 3),
        "p95_ms": round(float(np.quantile(whole, 0.95)), 3),
        "embed_median_ms": round(float(np.median(embedding)), 3),
        "search_median_ms": round(float(np.median(whole - embedding)), 3),
    }


def write_run(folder: Path, found: Sequence[Found], numbers: Mapping[str, Any]) -> None:
    """Write run.trec, questions.jsonl and, last, run.json, which makes the run a finished one.

    Raises:
        StorageError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in ("run.json", "scores.jsonl", "answers.jsonl"):
            (folder / old).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror or error}") from error
    write_text(folder / "run.trec", (line for item in found for line in trec_lines(item)))
    write_lines(folder / "questions.jsonl", (item.as_record() for item in found))
    write_text(folder / "run.json", json.dumps(numbers, indent=1) + "\n")


def trec_lines(found: Found) -> Iterator[str]:
    """Six columns a line. Scores strictly fall, so that every tool ranks alike.

    trec_eval orders by score, as a 32-bit float, and equal scores by id, whatever the ranks say:
    a score that does not fall is moved to the next smaller number.
    """
    last = np.float32(np.inf)
    for rank, (id_, _, score, _) in enumerate(found.hits, start=1):
        last = min(np.float32(score), np.nextafter(last, np.float32(-np.inf)))
        yield f"{column(found.question.id)} Q0 {column(id_)} {rank} {last:.9g} {TAG}\n"


def column(name: str) -> str:
    """An id as a column of a run: white space as %20."""
    return regex.sub(r"\s", "%20", name)
