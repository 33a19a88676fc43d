"""Experiments: everything is checked first, then indexed, searched, scored and reported.

OUT/experiment.json     what was asked, complete: every option of every variant
OUT/environment.json    versions, machine, code
OUT/answers.sqlite      what language models answered, so that nothing is asked twice
OUT/indexes/            indexes by content, shared by variants and by later experiments
OUT/runs/SET/VARIANT.seedN/   run.trec, questions.jsonl, run.json, scores.jsonl
OUT/scores.json, explanations.json, report.md, report.html
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from graphmem.errors import ConfigError, DataError
from graphmem.evaluation.datasets.checks import require_sound
from graphmem.evaluation.datasets.dataset import Dataset, write_text
from graphmem.evaluation.datasets.formats import read_dataset
from graphmem.evaluation.reports.explaining import explain_differences
from graphmem.evaluation.reports.page import require_templates
from graphmem.evaluation.reports.report import write_reports
from graphmem.evaluation.runs.environment import environment
from graphmem.evaluation.runs.indexes import BuiltIndex, IndexCache, Models, index_order
from graphmem.evaluation.runs.iterating import open_chat
from graphmem.evaluation.runs.running import (
    is_finished,
    run_folder,
    run_key,
    run_variant,
    write_run,
)
from graphmem.evaluation.runs.specification import (
    DatasetSpec,
    Experiment,
    IndexOptions,
    Variant,
    for_dataset,
    slug,
)
from graphmem.evaluation.scores.metrics import require_measures
from graphmem.evaluation.scores.scoring import score_experiment
from graphmem.memory import GraphMemory
from graphmem.protocols import ChatModel, Progress


def load_datasets(experiment: Experiment) -> list[Dataset]:
    """Read all data sets of an experiment and check that they can be scored.

    Raises:
        ConfigError: Two have the same name, or an option is wrong.
        DataError: One is missing, malformed or unsound; says what is wrong with it.
    """
    datasets = [_load(spec) for spec in experiment.datasets]
    names = [slug(dataset.name).lower() for dataset in datasets]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two data sets are called {name!r}: give one another name")
    return datasets


def _load(spec: DatasetSpec) -> Dataset:
    dataset = read_dataset(spec.path, spec.format, spec.name, **spec.options)
    if spec.skip_unjudged:
        judged = tuple(question for question in dataset.questions if question.gold)
        left = len(dataset.questions) - len(judged)
        notes = (f"{left} questions without gold left out",) if left else ()
        dataset = replace(dataset, questions=judged, notes=dataset.notes + notes)
    if spec.limit:
        dataset = dataset.limited(spec.limit)
    try:
        require_sound(dataset)
    except DataError as error:
        hint = "" if "empty gold list" not in str(error) else " (skip_unjudged leaves them out)"
        raise DataError(f"{error}{hint}", str(spec.path)) from error
    return dataset


def run_experiment(
    experiment: Experiment,
    out: Path,
    *,
    indexes: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Run what is not finished yet, score all of it, and write the reports.

    Data sets, presets, options and models are all checked before the first passage is indexed.
    Runs that were finished under the same content, options and code are kept.

    Args:
        experiment: What to do.
        out: The results folder.
        indexes: Where indexes are kept; OUT/indexes where it is None.
        progress: Told of every batch.

    Returns:
        The scores, as in scores.json.

    Raises:
        ConfigError: An option is wrong, or a method has no chat model.
        DataError: A data set is missing, malformed or unsound.
        EndpointError: Every call to the chat model would fail alike.
        BudgetExceeded: What was answered is kept, and the same call goes on from there.
        MissingExtraError: A library for the measures is not installed.
        TooManyFailures: More questions failed than the experiment allows.
        GraphmemError: Indexing failed.
    """
    tell = progress or (lambda stage, done, total: None)
    require_measures()
    require_templates()
    is_led = any(variant.iterate for variant in experiment.variants)
    chat = open_chat(experiment.chat, out) if is_led else None
    datasets = load_datasets(experiment)
    models = Models()
    plans = [
        [found for variant in experiment.variants if (found := for_dataset(variant, spec))]
        for spec in experiment.datasets
    ]
    for options in {variant.index for plan in plans for variant in plan}:
        embedder = models.embedder(options.embedder)
        GraphMemory.open(_nowhere(out), embedder=embedder).prepare(tell)
        models.extractor(options).fingerprint  # noqa: B018  loads it, or says why it cannot
    _write_json(out / "experiment.json", describe(experiment, datasets, plans, chat))
    _write_json(out / "environment.json", environment())
    cache = IndexCache(indexes or out / "indexes", models)
    for dataset, plan in zip(datasets, plans, strict=True):
        for seed in experiment.seeds:
            _run_dataset(experiment, plan, dataset, seed, out, cache, models, chat, tell)
    scores = score_experiment(out)
    explain_differences(
        experiment, list(zip(datasets, plans, strict=True)), out, cache, models, tell
    )
    write_reports(out)
    return scores


def _nowhere(out: Path) -> Path:
    # Fetching a model's weights needs a memory, not an index: this one is never made.
    return out / "no-index"


def _run_dataset(
    experiment: Experiment,
    plan: Sequence[Variant],
    dataset: Dataset,
    seed: int,
    out: Path,
    cache: IndexCache,
    models: Models,
    chat: ChatModel | None,
    tell: Progress,
) -> None:
    pending = []
    for variant in plan:
        folder = run_folder(out, dataset.name, variant.name, seed)
        key = run_key(dataset, variant, seed, experiment, models, chat)
        if is_finished(folder, key):
            tell(f"{dataset.name}, {variant.name}", len(dataset.questions), len(dataset.questions))
        else:
            pending.append((variant, folder, key))
    built = {
        options: scope_indexes(dataset, options, seed, cache, tell)
        for options in index_order(variant for variant, _, _ in pending)
    }
    for variant, folder, key in pending:
        indexes = built[variant.index]
        embedder = models.embedder(variant.index.embedder)
        found, numbers = run_variant(dataset, variant, indexes, embedder, experiment, tell, chat)
        numbers |= {
            "key": key,
            "dataset": dataset.name,
            "variant": variant.name,
            "seed": seed,
            "index": index_costs(list(indexes.values())),
        }
        write_run(folder, found, numbers)


def scope_indexes(
    dataset: Dataset, options: IndexOptions, seed: int, cache: IndexCache, tell: Progress
) -> dict[str, BuiltIndex]:
    """The index of every scope that a question has; one over all passages where none has any."""
    asked = {question.scope for question in dataset.questions}
    return {
        scope: cache.get(
            f"{dataset.name}-{scope}" if scope else dataset.name, passages, options, seed, tell
        )
        for scope, passages in dataset.scopes.items()
        if scope in asked
    }


def index_costs(indexes: Sequence[BuiltIndex]) -> dict[str, Any]:
    """What the indexes of one run hold and cost together."""
    stages: dict[str, float] = {}
    for index in indexes:
        for stage, seconds in index.seconds.items():
            stages[stage] = round(stages.get(stage, 0.0) + seconds, 3)
    return {
        "indexes": len(indexes),
        "passages": sum(index.passages for index in indexes),
        "entities": sum(index.entities for index in indexes),
        "bytes": sum(index.bytes for index in indexes),
        "seconds": stages,
        "whole": all(index.whole for index in indexes),
        "reused": all(index.reused for index in indexes),
    }


def rescore(out: Path) -> dict[str, Any]:
    """Score the runs of a results folder again and write its reports, without searching.

    Raises:
        DataError: The folder holds no finished experiment.
    """
    require_measures()
    require_templates()
    scores = score_experiment(out)
    write_reports(out)
    return scores


def describe(
    experiment: Experiment,
    datasets: Sequence[Dataset],
    plans: Sequence[Sequence[Variant]],
    chat: ChatModel | None,
) -> dict[str, Any]:
    """An experiment with every option, and what its data sets hold; JSON values."""
    specs = zip(experiment.datasets, datasets, plans, strict=True)
    return {
        "name": experiment.name,
        "datasets": [
            {
                "name": dataset.name,
                "path": str(spec.path.resolve()),
                "format": spec.format,
                "limit": spec.limit,
                "options": {name: str(value) for name, value in spec.options.items()},
                "content": dataset.content,
                "passages": len(dataset.passages),
                "questions": len(dataset.questions),
                "scopes": len(dataset.scopes) if "" not in dataset.scopes else 0,
                "notes": list(dataset.notes),
                "variants": [variant.name for variant in plan],
            }
            for spec, dataset, plan in specs
        ],
        "variants": [
            {**asdict(variant), "method": type(variant.config).__name__}
            for variant in experiment.variants
        ],
        "k": list(experiment.cutoffs),
        "depth": experiment.depth,
        "seeds": list(experiment.seeds),
        "baseline": experiment.baseline,
        "fail_on": experiment.fail_on,
        "explain": experiment.explain,
        "latency": experiment.latency,
        "chat": {"model": chat.model, "fingerprint": chat.fingerprint} if chat else None,
        "price": asdict(experiment.price) if experiment.price else None,
        "shuffled": "the passages of every data set are shuffled with each seed before indexing",
    }


def _write_json(file: Path, value: Any) -> None:
    write_text(file, json.dumps(value, ensure_ascii=False, indent=1) + "\n")
