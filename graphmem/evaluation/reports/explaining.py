"""Why the rankings of a variant differ from the baseline's, for the questions where they do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphmem.errors import GraphmemError
from graphmem.evaluation.datasets.dataset import Dataset, write_text
from graphmem.evaluation.runs.indexes import IndexCache, Models
from graphmem.evaluation.runs.recorded import read_records
from graphmem.evaluation.runs.rerankers import searching
from graphmem.evaluation.runs.running import run_folder
from graphmem.evaluation.runs.specification import Experiment, Variant
from graphmem.memory import GraphMemory
from graphmem.protocols import Progress
from graphmem.rendering.text import explanation_text
from graphmem.sources.files import read_objects

_HITS = 5


def differing_questions(
    out: Path, dataset: str, variant: str, baseline: str, seed: int, measure: str
) -> list[tuple[str, float]]:
    """Questions on which two variants score differently, by the size of the difference.

    Returns:
        Question id and the variant's lead over the baseline.
    """

    def scores(name: str) -> dict[str, float]:
        file = run_folder(out, dataset, name, seed) / "scores.jsonl"
        return {record["id"]: record[measure] for _, record in read_objects(str(file))}

    base = scores(baseline)
    leads = [(id_, value - base[id_]) for id_, value in scores(variant).items() if id_ in base]
    differing = [(id_, lead) for id_, lead in leads if lead]
    return sorted(differing, key=lambda item: (-abs(item[1]), item[0]))


def main_measure(cutoffs: Sequence[int]) -> str:
    """The measure that questions are compared by: recall@5, or at the k nearest to 5."""
    return f"recall@{min(cutoffs, key=lambda k: (abs(k - 5), k))}"


def wins_and_losses(differing: Sequence[tuple[str, float]], count: int) -> list[tuple[str, float]]:
    """The first `count` of them, half wins and half losses where there are enough of both."""
    wins = [item for item in differing if item[1] > 0]
    losses = [item for item in differing if item[1] < 0]
    some_losses = losses[: max(count // 2, count - len(wins))]
    return wins[: count - len(some_losses)] + some_losses


def explain_differences(
    experiment: Experiment,
    plans: Sequence[tuple[Dataset, Sequence[Variant]]],
    out: Path,
    cache: IndexCache,
    models: Models,
    tell: Progress,
) -> None:
    """Write explanations.json: {data set: {variant: {question id: text}}}.

    Each variant is explained on the questions where it differs most from the baseline, and the
    baseline on all of these. Where a model led the searches, each of them is explained, without
    asking it again.
    """
    texts: dict[str, dict[str, dict[str, str]]] = {}
    for dataset, plan in plans:
        texts[dataset.name] = {}
        for variant, ids in _chosen(experiment, plan, dataset, out).items():
            texts[dataset.name][variant.name] = _explain(
                dataset, variant, ids, experiment.seeds[0], out, cache, models, tell
            )
    write_text(out / "explanations.json", json.dumps(texts, ensure_ascii=False, indent=1) + "\n")


def _chosen(
    experiment: Experiment, plan: Sequence[Variant], dataset: Dataset, out: Path
) -> dict[Variant, list[str]]:
    variants = {variant.name: variant for variant in plan}
    if experiment.baseline not in variants or not experiment.explain:
        return {}
    measure, seed = main_measure(experiment.cutoffs), experiment.seeds[0]
    chosen: dict[str, list[str]] = {}
    for name in variants:
        if name == experiment.baseline:
            continue
        found = differing_questions(out, dataset.name, name, experiment.baseline, seed, measure)
        chosen[name] = [id_ for id_, _ in wins_and_losses(found, experiment.explain)]
    every = dict.fromkeys(id_ for ids in chosen.values() for id_ in ids)
    chosen[experiment.baseline] = list(every)
    return {variants[name]: ids for name, ids in chosen.items()}


def _explain(
    dataset: Dataset,
    variant: Variant,
    ids: Sequence[str],
    seed: int,
    out: Path,
    cache: IndexCache,
    models: Models,
    tell: Progress,
) -> dict[str, str]:
    records = read_records(run_folder(out, dataset.name, variant.name, seed))
    queries = {question.id: record.get("queries", []) for question, record in records}
    questions = {question.id: question for question in dataset.questions}
    memories: dict[str, GraphMemory] = {}
    texts: dict[str, str] = {}
    for id_ in ids:
        question = questions[id_]
        if question.scope not in memories:
            built = cache.get(
                f"{dataset.name}-{question.scope}" if question.scope else dataset.name,
                dataset.scopes[question.scope],
                variant.index,
                seed,
                tell,
            )
            embedder = models.embedder(variant.index.embedder)
            memories[question.scope] = GraphMemory.open(
                built.path, embedder=embedder, **searching(variant.rerank)
            )
        memory = memories[question.scope]
        further = [f"searched again: {q}\n{_text(memory, q, variant)}" for q in queries[id_][1:]]
        texts[id_] = "\n\n".join([_text(memory, question.text, variant), *further])
    return texts


def _text(memory: GraphMemory, question: str, variant: Variant) -> str:
    try:
        explanation: Any = memory.explain(question, _HITS, variant.config)
    except GraphmemError as error:
        return f"failed: {error}"
    return explanation_text(explanation)
