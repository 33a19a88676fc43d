"""One run: every question of a data set searched in one way, recorded, and timed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from graphmem.answering.chat_session import search_each
from graphmem.answering.iterative import merge_best
from graphmem.base.counts import counted
from graphmem.base.text import content_hash
from graphmem.config import SearchConfig
from graphmem.errors import ConfigError, GraphmemError, ModelError, StorageError, TooManyFailures
from graphmem.evaluation.datasets.dataset import (
    Dataset,
    JudgedQuestion,
    question_record,
    write_lines,
)
from graphmem.evaluation.runs.contents import model_content
from graphmem.evaluation.runs.context import Run, RunContext
from graphmem.evaluation.runs.environment import code_hash
from graphmem.evaluation.runs.indexes import BuiltIndex, index_costs
from graphmem.evaluation.runs.iterating import CountingChat, IterateOptions
from graphmem.evaluation.runs.recorded import RunNumbers, write_record
from graphmem.evaluation.runs.rerankers import searching
from graphmem.evaluation.runs.specification import Variant
from graphmem.evaluation.runs.timing import TimedEmbedder, latencies, latency_sample, summary
from graphmem.evaluation.runs.trec import best_pieces, write_ranked
from graphmem.memory import GraphMemory
from graphmem.protocols import ChatModel
from graphmem.types import Price, Ranking

_BATCH = 256
_SNIPPET = 240
_SHOWN = 10  # hits of every question whose titles are kept for the report


@dataclass(slots=True)
class Found:
    """What one question brought.

    Attributes:
        question: The question.
        route: How it was ranked, "" where it failed.
        hits: (passage id, title, score, beginning of the text), best first; pieces of one record
            count once.
        error: Why it failed, "" where it did not.
        queries: What was searched for where a model led, the question first.
    """

    question: JudgedQuestion
    route: str = ""
    hits: list[tuple[str, str, float, str]] = field(default_factory=list)
    error: str = ""
    queries: tuple[str, ...] = ()

    def as_record(self) -> dict[str, Any]:
        """A line of questions.jsonl of the run."""
        places = {id_: rank for rank, (id_, *_) in enumerate(self.hits, start=1)}
        return {
            **question_record(self.question),
            "route": self.route,
            "error": self.error,
            "queries": list(self.queries),
            "gold_ranks": {gold: places.get(gold) for gold in self.question.gold},
            "hits": [list(hit) for hit in self.hits[:_SHOWN]],
        }


def run_key(context: RunContext, run: Run) -> str:
    """Hash of all that decides a run: one that was finished under the same key is kept.

    Files and models count by what is in them, not by where they are.
    """
    experiment, variant = context.experiment, run.variant
    index, rerank = variant.index, variant.rerank
    parts = {
        "dataset": run.dataset.content,
        "order": [question.id for question in run.dataset.questions],
        "config": [type(variant.config).__name__, asdict(variant.config)],
        "index": [context.models.contents(index), index.passage_tokens, index.sentences],
        "rerank": rerank and [rerank.fingerprint, model_content(rerank.spec), rerank.depth],
        "iterate": _led_json(_leading(variant, context.chat), experiment.price),
        "seed": run.seed,
        "depth": experiment.depth,
        "latency": [experiment.latency, max(experiment.cutoffs)],
        "code": code_hash(),
    }
    return content_hash(json.dumps(parts, sort_keys=True))


def _leading(
    variant: Variant, chat: ChatModel | None
) -> tuple[IterateOptions, CountingChat] | None:
    """How the searches of a variant are led, and by whom; None where nothing leads them."""
    if variant.iterate is None:
        return None
    if chat is None:
        raise ConfigError(f"{variant.name}: 'variants.method' needs a chat model")
    return variant.iterate, CountingChat(chat)


def _led_json(
    led: tuple[IterateOptions, CountingChat] | None, price: Price | None
) -> list[Any] | None:
    if led is None:
        return None
    options, chat = led
    return [asdict(options), chat.fingerprint, asdict(price) if price else None]


def is_finished(folder: Path, key: str) -> bool:
    """Whether the folder holds a finished run of this key."""
    try:
        found = json.loads((folder / "run.json").read_text("utf-8"))
    except (OSError, ValueError):  # none, or one cut off: it is run again
        return False
    return bool(found.get("key") == key)


def search_run(
    context: RunContext, run: Run, indexes: Mapping[str, BuiltIndex]
) -> tuple[list[Found], RunNumbers]:
    """Search every question of a run, in the index of its scope.

    A variant with a method is not timed: what its model answers can come from a cache.

    Args:
        context: What the runs share.
        run: What is searched, and how.
        indexes: The index of every scope.

    Returns:
        What was found, in the order of the questions; and what it took, without the run's key.

    Raises:
        TooManyFailures: More questions failed than the experiment allows.
    """
    experiment, dataset, variant = context.experiment, run.dataset, run.variant
    timed = TimedEmbedder(context.models.embedder(variant.index.embedder))
    allowed = experiment.failures_allowed(len(dataset.questions))
    done: dict[str, Found] = {}
    failed = 0
    clock = {"open": 0.0, "search": 0.0}
    latency: list[tuple[float, float]] = []
    led, threads = _leading(variant, context.chat), experiment.chat.concurrency
    sample = set() if led else latency_sample(dataset, experiment.latency)
    for scope, questions in _by_scope(dataset).items():
        start = time.perf_counter()
        memory = GraphMemory.open(indexes[scope].path, embedder=timed, **searching(variant.rerank))
        memory.retriever  # noqa: B018  opening belongs to this stage, not to the first search
        clock["open"] += time.perf_counter() - start
        start = time.perf_counter()
        for found in (
            _search_led(memory, questions, variant.config, experiment.depth, led, threads)
            if led
            else _search(memory, questions, variant.config, experiment.depth)
        ):
            done[found.question.id] = found
            failed += bool(found.error)
            if failed > allowed:
                raise TooManyFailures(
                    f"{run.label}: {counted(failed, 'question')} failed, "
                    f"{allowed} may; the last one: {found.error}"
                )
            if led or len(done) % _BATCH == 0:
                context.tell(run.label, len(done), len(dataset.questions))
        clock["search"] += time.perf_counter() - start
        texts = [q.text for q in questions if q.id in sample and not done[q.id].error]
        latency += latencies(memory, timed, texts, variant.config, max(experiment.cutoffs))
    context.tell(run.label, len(done), len(dataset.questions))
    numbers = RunNumbers(
        dataset=dataset.name,
        variant=variant.name,
        seed=run.seed,
        seconds=clock,
        questions_per_second=len(done) / clock["search"] if clock["search"] else 0.0,
        latency=summary(latency),
        index=index_costs(indexes.values()),
    )
    if led:
        took = led[1].use(experiment.price)
        numbers = replace(
            numbers,
            seconds={"open": clock["open"]},
            questions_per_second=None,
            tokens=took.tokens,
            calls=took.calls,
            cost=took.cost,
            chat=took,
        )
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


def _search_led(
    memory: GraphMemory,
    questions: Sequence[JudgedQuestion],
    config: SearchConfig,
    depth: int,
    led: tuple[IterateOptions, CountingChat],
    threads: int,
) -> Iterator[Found]:
    """As `_search`, but led by a chat model, which is asked once, however deep the ranking must be.

    Where pieces crowd a ranking, deeper searches for the same queries fill up its end.
    """

    def search(query: str, k: int) -> Ranking:
        return memory.search(query, k, config)

    options, chat = led
    texts = [question.text for question in questions]
    each = search_each(texts, search, chat, depth, options.method, options.steps, threads)
    crowded = []
    for question, found in zip(questions, each, strict=True):
        if isinstance(found, ModelError):
            yield Found(question, error=f"{type(found).__name__}: {found}")
        elif _is_crowded(found.ranking, depth, depth):
            crowded.append((question, found))  # later: the others are being searched
        else:
            yield _led(question, found.ranking, depth, options, found.queries)
    for question, found in crowded:
        wanted, ranking = depth, found.ranking
        while _is_crowded(ranking, wanted, depth):
            wanted *= 4
            deeper = merge_best([search(query, wanted) for query in found.queries])
            ids = {hit.passage.id for hit in found.ranking.hits}
            more = [hit for hit in deeper.hits if hit.passage.id not in ids]
            ranking = replace(found.ranking, hits=(*found.ranking.hits, *more)[:wanted])
        yield _led(question, ranking, depth, options, found.queries)


def _led(
    question: JudgedQuestion,
    ranking: Ranking,
    depth: int,
    options: IterateOptions,
    queries: tuple[str, ...],
) -> Found:
    found = _as_found(question, ranking, depth)
    return replace(found, route=f"{found.route} + {options.method}", queries=queries)


def _found(
    memory: GraphMemory,
    question: JudgedQuestion,
    ranking: Ranking,
    config: SearchConfig,
    depth: int,
) -> Found:
    """The first `depth` records of a ranking, looking deeper where pieces of one crowd it."""
    wanted = depth
    while _is_crowded(ranking, wanted, depth):
        wanted *= 4
        ranking = memory.search(question.text, wanted, config)
    return _as_found(question, ranking, depth)


def _is_crowded(ranking: Ranking, wanted: int, depth: int) -> bool:
    """Whether pieces leave room for fewer than `depth` records, and a deeper search has more."""
    return len(ranking.hits) == wanted and len(best_pieces(ranking.hits)) < depth


def _as_found(question: JudgedQuestion, ranking: Ranking, depth: int) -> Found:
    best = best_pieces(ranking.hits)
    hits = [
        (id_, hit.passage.title, hit.score, " ".join(hit.passage.text[:_SNIPPET].split()))
        for id_, hit in list(best.items())[:depth]
    ]
    return Found(question, ranking.route + (" + reranker" if ranking.reranker else ""), hits)


def write_run(folder: Path, found: Sequence[Found], numbers: RunNumbers) -> None:
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
    write_ranked(
        folder / "run.trec",
        ((item.question.id, [(id_, score) for id_, _, score, _ in item.hits]) for item in found),
    )
    write_lines(folder / "questions.jsonl", (item.as_record() for item in found))
    write_record(folder / "run.json", numbers)
