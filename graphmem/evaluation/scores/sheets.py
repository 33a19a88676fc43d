"""scores.json as typed records: what the variants of an experiment scored, and what they took."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from graphmem.evaluation.runs.recorded import IndexCosts, Latency, Tokens

Kind = Literal["hops", "type"]
KINDS: Final[tuple[Kind, ...]] = ("hops", "type")
"""What questions are grouped by."""


@dataclass(frozen=True, slots=True)
class Mean:
    """Mean of a measure over the questions, in [0, 1], with its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Lead:
    """How far a variant is above the baseline in a measure; p is two-sided."""

    difference: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantScores:
    """A variant, on one data set or on average over several.

    Attributes:
        measures: By name of the measure.
        against_baseline: The same; nothing for the baseline itself.
    """

    measures: dict[str, Mean]
    against_baseline: dict[str, Lead] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantSheet(VariantScores):
    """A variant on one data set: scores, failures, costs.

    Attributes:
        by_type: Number of questions and mean of every measure, for each type of question.
        by_hops: The same for each number of hops.
        missing: Ids of the questions that are not in the run.
        failed: Why each question failed that did, by its id.
        seeds: Means of every measure, for each seed.
        latency: One question at a time.
        index: The indexes that were searched.
        seconds: Of opening and searching.
        questions_per_second: In batches; None where a model led.
        tokens: Of language models.
        calls: Of language models.
        cost: Of language models.
    """

    by_type: dict[str, dict[str, int | float]]
    by_hops: dict[str, dict[str, int | float]]
    missing: tuple[str, ...]
    failed: dict[str, str]
    seeds: dict[str, dict[str, float]]
    latency: Latency
    index: IndexCosts
    seconds: dict[str, float]
    questions_per_second: float | None
    tokens: Tokens
    calls: int
    cost: float

    def groups(self, kind: Kind) -> dict[str, dict[str, int | float]]:
        """`by_type` or `by_hops`."""
        return self.by_type if kind == "type" else self.by_hops


@dataclass(frozen=True, slots=True)
class DatasetScores:
    """All variants on one data set."""

    questions: int
    passages: int
    variants: dict[str, VariantSheet]


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals were made: resamples of the questions, their seed, the share inside."""

    resamples: int
    seed: int
    level: float


@dataclass(frozen=True, slots=True)
class ExperimentScores:
    """scores.json: all data sets, and the average over them of the variants that ran on all."""

    experiment: str
    k: tuple[int, ...]
    baseline: str
    bootstrap: Bootstrap
    variants: tuple[str, ...]
    datasets: dict[str, DatasetScores]
    average: dict[str, VariantScores]
