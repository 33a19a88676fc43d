"""Synonymy edges by number of phrases: time, memory, and recall against comparing with all.

    python pipelines/benchmarks/synonymy.py CORPUS --vectors vectors.npy --counts 25000 50000 100000

The project promises minutes, not hours, and less than 2 GiB for 100,000 phrases, in a time that
grows close to linearly from 25,000. Then one in a hundred of the phrases is taken to be new: how
long its edges take where those of the others are known. Phrases are the titles of a corpus and its
runs of capitalised words; their vectors are kept in a file, since embedding takes longer than all
the rest. Every number of phrases is measured in its own process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import regex
from numpy.typing import NDArray

from graphmem.base.text import content_hash
from graphmem.embedding import load_embedder
from graphmem.graph.fact_graph import Edges, normalise_part
from graphmem.graph.synonymy import THRESHOLD, Synonyms, find_synonyms
from graphmem.sources.files import read_objects

_RUN = regex.compile(r"\p{Lu}[\p{L}\p{N}]+(?: (?:of|the|de|van)? ?\p{Lu}[\p{L}\p{N}]+)*")


def main() -> None:
    """Measure and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[25_000, 50_000, 100_000])
    parser.add_argument("--sample", type=int, default=2000, help="phrases compared with all")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.vectors.exists():
        phrases = find_phrases(arguments.corpus)[: max(arguments.counts)]
        np.save(arguments.vectors, load_embedder("default").embed(phrases))
    if arguments.one:
        (count,) = arguments.counts
        print(json.dumps(measure(arguments.vectors, count, arguments.sample)))
        return
    for count in arguments.counts:
        subprocess.run([sys.executable, *sys.argv, "--one", "--counts", str(count)], check=True)


def find_phrases(corpus: str) -> list[str]:
    """Distinct normalised titles and capitalised runs, in the order of a hash."""
    found: set[str] = set()
    for _, record in read_objects(corpus):
        found.add(normalise_part(str(record.get("title", ""))))
        found.update(map(normalise_part, _RUN.findall(str(record["text"]))))
    found.discard("")
    return sorted(found, key=content_hash)


def measure(file: Path, count: int, sample: int) -> dict[str, object]:
    """Seconds, peak memory and recall for the first `count` vectors, and for 1 % more."""
    vectors = np.load(file, mmap_mode="r")[:count]
    rows = np.arange(len(vectors))
    # The vectors are in no order, so their numbers are names as good as any.
    names = [f"{row:09}" for row in rows.tolist()]
    whole, seconds, processor = timed(names, vectors, rows)
    peak = _peak()
    old = rows[rows % 100 != 0]
    known, _, _ = timed([names[row] for row in old.tolist()], vectors, old)
    again, added, added_processor = timed(names, vectors, rows, known)
    chosen = np.random.default_rng(0).choice(len(vectors), min(sample, len(vectors)), replace=False)
    return {
        "phrases": len(vectors),
        "edges": int(whole.edges.sources.size),
        "seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "peak_mib": round(peak),
        "recall": round(recall(vectors, whole.edges, chosen), 4),
        "one_percent_new_seconds": round(added, 2),
        "one_percent_new_processor_seconds": round(added_processor, 2),
        "same_edges": same(whole.edges, again.edges),
        "cores": os.cpu_count(),
    }


def timed(
    names: list[str],
    vectors: NDArray[np.float32],
    rows: NDArray[np.int64],
    known: Synonyms | None = None,
) -> tuple[Synonyms, float, float]:
    """What was found, in how many seconds, of the clock and of the processor."""
    started, worked = time.perf_counter(), time.process_time()
    found = find_synonyms(names, vectors, rows, known, exact=0)
    return found, time.perf_counter() - started, time.process_time() - worked


def same(one: Edges, other: Edges) -> bool:
    """Whether two kinds of edges are the same to the byte."""
    pairs = zip(
        (one.sources, one.targets, one.weights),
        (other.sources, other.targets, other.weights),
        strict=True,
    )
    return all(here.tobytes() == there.tobytes() for here, there in pairs)


def recall(vectors: NDArray[np.float32], edges: Edges, chosen: NDArray[np.int64]) -> float:
    """Share of the true edges of some phrases that were found."""
    found = set(zip(edges.sources.tolist(), edges.targets.tolist(), strict=True))
    near = np.argwhere(vectors[chosen] @ vectors.T >= THRESHOLD)
    ends = {(int(chosen[i]), int(j)) for i, j in near if chosen[i] != j}
    true = {(min(pair), max(pair)) for pair in ends}
    return len(true & found) / len(true)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
