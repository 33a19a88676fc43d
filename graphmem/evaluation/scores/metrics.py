"""Retrieval measures of every question of a run; the standard ones are those of ir_measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphmem.errors import MissingExtraError
from graphmem.evaluation.datasets.dataset import JudgedQuestion

Run = Mapping[str, Sequence[str]]
"""Passage ids of every question by its id, best first."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Measures of every question.

    Attributes:
        measures: Names of the M measures.
        questions: Ids of the Q questions.
        values: float64 [Q, M], each in [0, 1].
        missing: Ids of the questions that are not in the run; their values are 0.
    """

    measures: tuple[str, ...]
    questions: tuple[str, ...]
    values: NDArray[np.float64]
    missing: tuple[str, ...]

    def means(self) -> dict[str, float]:
        """Mean of every measure over all questions."""
        return {
            name: float(value)
            for name, value in zip(self.measures, self.values.mean(axis=0), strict=True)
        }

    def column(self, measure: str) -> NDArray[np.float64]:
        """The values of one measure, float64 [Q]."""
        column: NDArray[np.float64] = self.values[:, self.measures.index(measure)]
        return column


def measure_names(cutoffs: Sequence[int]) -> tuple[str, ...]:
    """The measures that are taken, for these cut-offs.

    >>> measure_names([5])
    ('recall@5', 'all_gold@5', 'precision@5', 'ndcg@5', 'mrr', 'map')
    """
    kinds = ("recall", "all_gold", "precision", "ndcg")
    return (*(f"{kind}@{k}" for kind in kinds for k in cutoffs), "mrr", "map")


def require_measures() -> Any:
    """The ir_measures library.

    Raises:
        MissingExtraError: It is not installed; says what to install.
    """
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError(
            "the measures need the library ir_measures: pip install 'graphmem[eval]'"
        ) from error
    return ir_measures


def score_run(run: Run, questions: Sequence[JudgedQuestion], cutoffs: Sequence[int]) -> Scores:
    """Score a run against the gold passages of the questions.

    Recall@k is the share of gold in the first k, all_gold@k is 1 where all of it is there,
    precision@k divides by k, nDCG@k is trec_eval's (gain = grade, log2 discount), MRR and MAP
    look at the whole run. A question that is missing from the run scores 0.

    Args:
        run: The rankings. A passage that comes twice counts at its first place.
        questions: Q questions with their gold.
        cutoffs: Every k.

    Raises:
        MissingExtraError: ir_measures is not installed.
    """
    library = require_measures()
    names = measure_names(cutoffs)
    standard = {
        measure: name for name in names if (measure := _standard(library, name)) is not None
    }
    # Questions and passages go under numbers: the measures must not depend on how ids are
    # written, and equal scores must not be ordered by id. The rank is the score.
    qrels, ranked = [], []
    for number, question in enumerate(questions):
        qrels += [
            library.Qrel(str(number), gold, question.grades.get(gold, 1)) for gold in question.gold
        ]
        ids = list(dict.fromkeys(run.get(question.id, ())))
        ranked += [library.ScoredDoc(str(number), id_, -float(i)) for i, id_ in enumerate(ids)]
    values = np.zeros((len(questions), len(names)))
    for metric in library.iter_calc(list(standard), qrels, ranked):
        values[int(metric.query_id), names.index(standard[metric.measure])] = metric.value
    for k in cutoffs:
        values[:, names.index(f"all_gold@{k}")] = [
            bool(q.gold) and set(q.gold) <= set(run.get(q.id, ())[:k]) for q in questions
        ]
    missing = tuple(question.id for question in questions if question.id not in run)
    return Scores(names, tuple(question.id for question in questions), values, missing)


def _standard(library: Any, name: str) -> Any:
    """The measure of this name in ir_measures, None where it has none."""
    kind, _, k = name.partition("@")
    known = {
        "recall": library.R,
        "precision": library.P,
        "ndcg": library.nDCG,
        "mrr": library.RR,
        "map": library.AP,
    }
    measure = known.get(kind)
    return measure @ int(k) if measure is not None and k else measure


def by_group(
    scores: Scores, questions: Sequence[JudgedQuestion], field: str
) -> dict[str, dict[str, int | float]]:
    """Number of questions, and means of every measure over them, of each type, or number of hops.

    Args:
        scores: Of these questions, in this order.
        questions: Q questions.
        field: "type" or "hops".
    """
    labels = np.array([str(getattr(question, field)) for question in questions])
    groups: dict[str, dict[str, int | float]] = {}
    for label in sorted(set(labels.tolist())):
        chosen = labels == label
        means = scores.values[chosen].mean(axis=0)
        groups[label] = {"questions": int(chosen.sum())} | {
            name: float(value) for name, value in zip(scores.measures, means, strict=True)
        }
    return groups
