"""What the runs of one experiment share, and what one run is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from graphmem.evaluation.datasets.dataset import Dataset
from graphmem.evaluation.runs.indexes import IndexCache, Models
from graphmem.evaluation.runs.specification import Experiment, Variant, slug
from graphmem.protocols import ChatModel, Progress


@dataclass(frozen=True, slots=True)
class Run:
    """One data set, searched in one way, in indexes whose passages were shuffled by one seed."""

    dataset: Dataset
    variant: Variant
    seed: int = 0

    @property
    def label(self) -> str:
        """What people are told it is."""
        return f"{self.dataset.name}, {self.variant.name}"

    def folder(self, out: Path) -> Path:
        """Where it is kept in a results folder."""
        return run_folder(out, self.dataset.name, self.variant.name, self.seed)


def run_folder(out: Path, dataset: str, variant: str, seed: int) -> Path:
    """Where a run is kept, by the names of what was searched and how."""
    return out / "runs" / slug(dataset) / f"{slug(variant)}.seed{seed}"


@dataclass(frozen=True, slots=True)
class RunContext:
    """What all runs of an experiment share.

    Attributes:
        experiment: How deep, how many may fail, how many are timed, the price of tokens.
        out: The results folder.
        indexes: Where indexes are found or made.
        chat: What leads the variants that have a method; None where none has any.
        tell: Told of every batch.
    """

    experiment: Experiment
    out: Path
    indexes: IndexCache
    chat: ChatModel | None = None
    tell: Progress = lambda stage, done, total: None

    @property
    def models(self) -> Models:
        """Embedders and extractors of the indexes."""
        return self.indexes.models
