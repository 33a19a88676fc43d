"""Experiments: everything is checked first, then indexed, searched, scored and reported.

OUT/experiment.json     what was asked, complete: every option of every variant
OUT/environment.json    versions, machine, code
OUT/answers.sqlite      what language models answered, so that nothing is asked twice
OUT/indexes/            indexes by content, shared by variants and by later experiments
OUT/runs/SET/VARIANT.seedN/   run.trec, questions.jsonl, run.json, scores.jsonl
OUT/scores.json, explanations.json, report.md, report.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from graphmem.base.counts import counted
from graphmem.errors import ConfigError, DataError
from graphmem.evaluation.datasets.checks import require_sound
from graphmem.evaluation.datasets.dataset import Dataset
from graphmem.evaluation.datasets.formats import read_dataset
from graphmem.evaluation.reports.explaining import explain_differences
from graphmem.evaluation.reports.page import require_templates
from graphmem.evaluation.reports.report import write_reports
from graphmem.evaluation.runs.context import Run, RunContext
from graphmem.evaluation.runs.environment import environment
from graphmem.evaluation.runs.indexes import IndexCache, index_order
from graphmem.evaluation.runs.iterating import open_chat
from graphmem.evaluation.runs.recorded import (
    DatasetRecord,
    ExperimentRecord,
    VariantRecord,
    write_record,
)
from graphmem.evaluation.runs.running import is_finished, run_key, search_run, write_run
from graphmem.evaluation.runs.specification import (
    DatasetSpec,
    Experiment,
    Variant,
    for_dataset,
    slug,
)
from graphmem.evaluation.scores.metrics import require_measures
from graphmem.evaluation.scores.scoring import score_experiment
from graphmem.evaluation.scores.sheets import ExperimentScores
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
        notes = (f"{counted(left, 'question')} without gold left out",) if left else ()
        dataset = replace(dataset, questions=judged, notes=dataset.notes + notes)
    if spec.limit:
        dataset = dataset.limited(spec.limit)
    try:
        require_sound(dataset)
    except DataError as error:
        hint = "" if "empty gold list" not in str(error) else " (skip_unjudged leaves them out)"
        raise DataError(f"{error}{hint}", str(spec.path)) from error
    return dataset


@dataclass(frozen=True, slots=True)
class Plan:
    """A data set, and the variants that can run on it."""

    spec: DatasetSpec
    dataset: Dataset
    variants: tuple[Variant, ...]


def plans(experiment: Experiment) -> list[Plan]:
    """What an experiment will run, its data read and checked.

    Raises:
        ConfigError: As for `load_datasets`.
        DataError: As for `load_datasets`.
    """
    return [
        Plan(
            spec, dataset, tuple(v for one in experiment.variants if (v := for_dataset(one, spec)))
        )
        for spec, dataset in zip(experiment.datasets, load_datasets(experiment), strict=True)
    ]


def run_experiment(
    experiment: Experiment,
    out: Path,
    *,
    indexes: Path | None = None,
    progress: Progress | None = None,
) -> ExperimentScores:
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
    planned = plans(experiment)
    cache = IndexCache(indexes or out / "indexes", tell=tell)
    for options in {variant.index for plan in planned for variant in plan.variants}:
        embedder = cache.models.embedder(options.embedder)
        GraphMemory.open(_nowhere(out), embedder=embedder).prepare(tell)
        cache.models.extractor(options).fingerprint  # noqa: B018  loads it, or says why it cannot
    write_record(out / "experiment.json", describe(experiment, planned, chat))
    write_record(out / "environment.json", environment())
    context = RunContext(experiment, out, cache, chat, tell)
    for plan in planned:
        for seed in experiment.seeds:
            _run_plan(context, plan, seed)
    scores = score_experiment(out)
    explain_differences(context, [(plan.dataset, plan.variants) for plan in planned])
    write_reports(out)
    return scores


def _nowhere(out: Path) -> Path:
    # Fetching a model's weights needs a memory, not an index: this one is never made.
    return out / "no-index"


def _run_plan(context: RunContext, plan: Plan, seed: int) -> None:
    pending = []
    for run in (Run(plan.dataset, variant, seed) for variant in plan.variants):
        key = run_key(context, run)
        if is_finished(run.folder(context.out), key):
            context.tell(run.label, len(run.dataset.questions), len(run.dataset.questions))
        else:
            pending.append((run, key))
    built = {
        options: context.indexes.of_scopes(plan.dataset, options, seed)
        for options in index_order(run.variant for run, _ in pending)
    }
    for run, key in pending:
        found, numbers = search_run(context, run, built[run.variant.index])
        write_run(run.folder(context.out), found, replace(numbers, key=key))


def rescore(out: Path) -> ExperimentScores:
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
    experiment: Experiment, planned: Sequence[Plan], chat: ChatModel | None
) -> ExperimentRecord:
    """An experiment with every option, and what its data sets hold."""
    return ExperimentRecord(
        name=experiment.name,
        datasets=tuple(
            DatasetRecord(
                name=plan.dataset.name,
                path=str(plan.spec.path.resolve()),
                format=plan.spec.format,
                limit=plan.spec.limit,
                options={name: str(value) for name, value in plan.spec.options.items()},
                content=plan.dataset.content,
                passages=len(plan.dataset.passages),
                questions=len(plan.dataset.questions),
                scopes=len(plan.dataset.scopes) if "" not in plan.dataset.scopes else 0,
                notes=tuple(plan.dataset.notes),
                variants=tuple(variant.name for variant in plan.variants),
            )
            for plan in planned
        ),
        variants=tuple(
            VariantRecord(**asdict(variant), method=type(variant.config).__name__)
            for variant in experiment.variants
        ),
        k=experiment.cutoffs,
        depth=experiment.depth,
        seeds=experiment.seeds,
        baseline=experiment.baseline,
        fail_on=experiment.fail_on,
        explain=experiment.explain,
        latency=experiment.latency,
        chat={"model": chat.model, "fingerprint": chat.fingerprint} if chat else None,
        price=asdict(experiment.price) if experiment.price else None,
    )
