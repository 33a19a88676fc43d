"""How long one question takes, alone; and how much of it is the embedder's."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from graphmem.config import SearchConfig
from graphmem.evaluation.datasets.dataset import Dataset
from graphmem.evaluation.runs.recorded import Latency
from graphmem.memory import GraphMemory
from graphmem.protocols import Embedder, TextKind


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


def latency_sample(dataset: Dataset, count: int) -> set[str]:
    """Ids of the questions that are timed: `count` of them, the same in every run."""
    ids = [question.id for question in dataset.questions]
    return set(random.Random(0).sample(ids, min(count, len(ids))))


def latencies(
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


def summary(latency: Sequence[tuple[float, float]]) -> Latency:
    """Medians and the 95 % quantile of what `latencies` measured."""
    if not latency:
        return Latency()
    whole, embedding = np.array(latency).T
    return Latency(
        questions=len(latency),
        median_ms=round(float(np.median(whole)), 3),
        p95_ms=round(float(np.quantile(whole, 0.95)), 3),
        embed_median_ms=round(float(np.median(embedding)), 3),
        search_median_ms=round(float(np.median(whole - embedding)), 3),
    )
