"""Why the rankings of a variant differ from the baseline's, for the questions where they do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graphmem.errors import GraphmemError
from graphmem.evaluation.datasets.dataset import Dataset, write_text
from graphmem.evaluation.runs.context import Run, RunContext
from graphmem.evaluation.runs.recorded import read_records
from graphmem.evaluation.runs.rerankers import searching
from graphmem.evaluation.runs.specification import Variant
from graphmem.memory import GraphMemory
from graphmem.rendering.text import explanation_text
from graphmem.sources.files import read_objects

_HITS = 5


def differing_questions(variant: Path, baseline: Path, measure: str) -> list[tuple[str, float]]:
    """Questions on which two runs score differently, by the size of the difference.

    Args:
        variant: Folder of a run that is scored.
        baseline: Folder of the run that it is compared with.
        measure: What they are compared by.

    Returns:
        Question id and the variant's lead over the baseline.
    """

    def scores(folder: Path) -> dict[str, float]:
        file = folder / "scores.jsonl"
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
    context: RunContext, plans: Sequence[tuple[Dataset, Sequence[Variant]]]
) -> None:
    """Write explanations.json: {data set: {variant: {question id: text}}}.

    Each variant is explained on the questions where it differs most from the baseline, and the
    baseline on all of these. Where a model led the searches, each of them is explained, without
    asking it again.
    """
    seed = context.experiment.seeds[0]
    texts = {
        dataset.name: {
            run.variant.name: _explain(context, run, ids)
            for run, ids in _chosen(context, [Run(dataset, variant, seed) for variant in plan])
        }
        for dataset, plan in plans
    }
    file = context.out / "explanations.json"
    write_text(file, json.dumps(texts, ensure_ascii=False, indent=1) + "\n")


def _chosen(context: RunContext, runs: Sequence[Run]) -> list[tuple[Run, list[str]]]:
    """The questions of a data set's runs that are explained, by their ids; the baseline last."""
    experiment, out = context.experiment, context.out
    baseline = next((run for run in runs if run.variant.name == experiment.baseline), None)
    if baseline is None or not experiment.explain:
        return []
    measure = main_measure(experiment.cutoffs)
    chosen = []
    for run in runs:
        if run is not baseline:
            found = differing_questions(run.folder(out), baseline.folder(out), measure)
            ids = [id_ for id_, _ in wins_and_losses(found, experiment.explain)]
            chosen.append((run, ids))
    every = dict.fromkeys(id_ for _, ids in chosen for id_ in ids)
    return [*chosen, (baseline, list(every))]


def _explain(context: RunContext, run: Run, ids: Sequence[str]) -> dict[str, str]:
    dataset, variant = run.dataset, run.variant
    records = read_records(run.folder(context.out))
    queries = {question.id: record.get("queries", []) for question, record in records}
    questions = {question.id: question for question in dataset.questions}
    memories: dict[str, GraphMemory] = {}
    texts: dict[str, str] = {}
    for id_ in ids:
        question = questions[id_]
        if question.scope not in memories:
            built = context.indexes.of_scope(dataset, question.scope, variant.index, run.seed)
            memories[question.scope] = GraphMemory.open(
                built.path,
                embedder=context.models.embedder(variant.index.embedder),
                **searching(variant.rerank),
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
