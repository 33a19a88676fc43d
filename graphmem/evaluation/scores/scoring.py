"""From the runs of a results folder to its scores; nothing is searched here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphmem.evaluation.datasets.dataset import JudgedQuestion, write_lines
from graphmem.evaluation.datasets.trec_ids import trec_id
from graphmem.evaluation.runs.context import run_folder
from graphmem.evaluation.runs.recorded import (
    ExperimentRecord,
    RunNumbers,
    read_record,
    read_records,
    write_record,
)
from graphmem.evaluation.runs.trec import read_run
from graphmem.evaluation.scores.answers import exact_match, f1
from graphmem.evaluation.scores.bootstrap import RESAMPLES, interval, resampled_means
from graphmem.evaluation.scores.metrics import Scores, by_group, score_run
from graphmem.evaluation.scores.sheets import (
    Bootstrap,
    DatasetScores,
    ExperimentScores,
    Lead,
    Mean,
    VariantScores,
    VariantSheet,
)
from graphmem.sources.files import read_objects


def score_folder(folder: Path, cutoffs: Sequence[int]) -> tuple[Scores, list[JudgedQuestion]]:
    """Score one run, with exact match and F1 where it has answers.jsonl ({"id", "answer"}).

    Raises:
        DataError: A file is missing or malformed.
    """
    questions = [question for question, _ in read_records(folder)]
    lines = read_run(folder / "run.trec")
    run: dict[str, list[str]] = {}
    for question in questions:
        if trec_id(question.id) in lines:
            names = {trec_id(gold): gold for gold in question.gold}
            run[question.id] = [names.get(id_, id_) for id_ in lines[trec_id(question.id)]]
    scores = score_run(run, questions, cutoffs)
    answers = folder / "answers.jsonl"
    if answers.is_file():
        given = {str(record.get("id")): record for _, record in read_objects(str(answers))}
        scores = with_answers(scores, questions, given)
    return scores, questions


def with_answers(
    scores: Scores, questions: Sequence[JudgedQuestion], given: Mapping[str, Mapping[str, Any]]
) -> Scores:
    """The same with exact match and F1, and the judge's word where there was one.

    Args:
        scores: Of these questions.
        questions: Q questions.
        given: {"answer", perhaps "judged"} by question id; a question without one scores 0.
    """
    measures: tuple[str, ...] = ("exact_match", "f1")
    if any("judged" in record for record in given.values()):
        measures += ("judged",)
    rows = []
    for question in questions:
        record = given.get(question.id)
        answer = str(record.get("answer", "")) if record else ""
        both = [exact_match(answer, question.answers), f1(answer, question.answers)]
        row = [*both, float(record.get("judged", 0.0) if record else 0.0)]
        rows.append(row[: len(measures)] if record else [0.0] * len(measures))
    values = np.hstack([scores.values, np.array(rows)])
    return Scores(scores.measures + measures, scores.questions, values, scores.missing)


def score_experiment(out: Path) -> ExperimentScores:
    """Score every run of a results folder and write scores.json.

    Of several seeds, each question counts with its mean. Intervals are percentile bootstraps over
    questions; the average over data sets resamples each of them.

    Raises:
        DataError: The folder holds no experiment, or one of its runs is missing.
    """
    experiment = read_record(out / "experiment.json", ExperimentRecord)
    seed, baseline = experiment.seeds[0], experiment.baseline
    taken = _Taken()
    datasets: dict[str, DatasetScores] = {}
    for entry in experiment.datasets:
        scored = {name: _Seeds(out, experiment, entry.name, name) for name in entry.variants}
        for name, variant in scored.items():
            taken.add(entry.name, name, variant.scores, seed)
        datasets[entry.name] = DatasetScores(
            entry.questions,
            entry.passages,
            {
                name: variant.sheet(taken.intervals([entry.name], name, baseline))
                for name, variant in scored.items()
            },
        )
    everywhere = [
        variant.name
        for variant in experiment.variants
        if all(variant.name in entry.variants for entry in experiment.datasets)
    ]
    scores = ExperimentScores(
        experiment=experiment.name,
        k=experiment.k,
        baseline=baseline,
        bootstrap=Bootstrap(RESAMPLES, seed, 0.95),
        variants=tuple(variant.name for variant in experiment.variants),
        datasets=datasets,
        average={name: taken.intervals(list(datasets), name, baseline) for name in everywhere},
    )
    write_record(out / "scores.json", scores)
    return scores


class _Seeds:
    """The runs of one variant on one data set, one for every seed."""

    def __init__(self, out: Path, experiment: ExperimentRecord, dataset: str, variant: str) -> None:
        """Score them, and write scores.jsonl into each."""
        self._folders = [run_folder(out, dataset, variant, seed) for seed in experiment.seeds]
        scored = [score_folder(folder, experiment.k) for folder in self._folders]
        for folder, (scores, _) in zip(self._folders, scored, strict=True):
            write_lines(
                folder / "scores.jsonl",
                (
                    {"id": id_} | dict(zip(scores.measures, map(float, row), strict=True))
                    for id_, row in zip(scores.questions, scores.values, strict=True)
                ),
            )
        first, self._questions = scored[0]
        values = np.mean([scores.values for scores, _ in scored], axis=0)
        self.scores = Scores(first.measures, first.questions, values, first.missing)
        self._means = {
            str(seed): one.means() for seed, (one, _) in zip(experiment.seeds, scored, strict=True)
        }

    def sheet(self, compared: VariantScores) -> VariantSheet:
        """Their mean scores, with the costs and failures of the first of them."""
        numbers = read_record(self._folders[0] / "run.json", RunNumbers)
        records = read_records(self._folders[0])
        return VariantSheet(
            measures=compared.measures,
            against_baseline=compared.against_baseline,
            by_type=by_group(self.scores, self._questions, "type"),
            by_hops=by_group(self.scores, self._questions, "hops"),
            missing=self.scores.missing,
            failed={record["id"]: record["error"] for _, record in records if record["error"]},
            seeds=self._means,
            latency=numbers.latency,
            index=numbers.index,
            seconds=numbers.seconds,
            questions_per_second=numbers.questions_per_second,
            tokens=numbers.tokens,
            calls=numbers.calls,
            cost=numbers.cost,
        )


class _Taken:
    """Means of every variant on every data set, with their resamples."""

    def __init__(self) -> None:
        self._points: dict[tuple[str, str], NDArray[np.float64]] = {}
        self._drawn: dict[tuple[str, str], NDArray[np.float64]] = {}
        self._measures: dict[tuple[str, str], tuple[str, ...]] = {}

    def add(self, dataset: str, variant: str, scores: Scores, seed: int) -> None:
        """Resample the scores of one variant on one data set."""
        key = dataset, variant
        self._points[key] = scores.values.mean(axis=0)
        self._drawn[key] = resampled_means(scores.values, seed)
        self._measures[key] = scores.measures

    def intervals(self, datasets: Sequence[str], variant: str, baseline: str) -> VariantScores:
        """Of a variant, averaged over data sets, and of its lead over the baseline."""
        measures = self._common(datasets, variant)
        means = {}
        for measure in measures:
            found = interval(*self._average(datasets, variant, measure))
            means[measure] = Mean(*map(_rounded, (found.mean, found.low, found.high)))
        if baseline == variant or any((d, baseline) not in self._points for d in datasets):
            return VariantScores(measures=means)
        leads = {}
        for measure in (m for m in measures if m in self._common(datasets, baseline)):
            point, drawn = self._average(datasets, variant, measure)
            other, other_drawn = self._average(datasets, baseline, measure)
            found = interval(point - other, drawn - other_drawn)
            leads[measure] = Lead(*map(_rounded, (found.mean, found.low, found.high, found.p)))
        return VariantScores(measures=means, against_baseline=leads)

    def _common(self, datasets: Sequence[str], variant: str) -> list[str]:
        first, *others = (self._measures[dataset, variant] for dataset in datasets)
        return [m for m in first if all(m in other for other in others)]

    def _average(
        self, datasets: Sequence[str], variant: str, measure: str
    ) -> tuple[float, NDArray[np.float64]]:
        keys = [(dataset, variant) for dataset in datasets]
        places = [self._measures[key].index(measure) for key in keys]
        points = [self._points[key][i] for key, i in zip(keys, places, strict=True)]
        drawn = [self._drawn[key][:, i] for key, i in zip(keys, places, strict=True)]
        return float(np.mean(points)), np.mean(drawn, axis=0)


def _rounded(value: float) -> float:
    return round(float(value), 6)
