"""What a filter costs: searches among 1, 10 and 50 % of the passages beside searches among all.

    python pipelines/benchmarks/filtered.py INDEX --questions questions.jsonl

Passages are drawn by chance, as metadata would choose them. Side by side: the median of searches
among the chosen ones and among all, and the first search after a filter is new, which makes the
selection. Reading the metadata of all passages is done once for an open memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np
from stopwatch import seconds

from graphmem import GraphMemory, preset
from graphmem.evaluation.runs.trec import read_questions
from graphmem.searching.retriever import Retriever
from graphmem.storage.selection import Selection

SHARES = (0.01, 0.1, 0.5)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("--questions", required=True)
    parser.add_argument("--first", type=int, default=50)
    parser.add_argument("--preset", default="default")
    arguments = parser.parse_args()
    questions = [q.text for q in read_questions(arguments.questions)[: arguments.first]]
    config = preset(arguments.preset)
    whole = GraphMemory.open(arguments.index).retriever
    whole.search(questions[:5], 5, config)
    metadata = seconds(lambda: whole.snapshot.metadata)
    rows = []
    for share in SHARES:
        count = max(1, int(share * whole.snapshot.passages))
        drawn = np.random.default_rng(0).permutation(whole.snapshot.passages)[:count]
        started = time.perf_counter()
        chosen = Retriever(Selection(whole.snapshot, np.sort(drawn)), whole.embedder)
        chosen.search(questions[:1], 5, config)
        first = time.perf_counter() - started
        among, every = [], []
        for question in questions:  # interleaved: what else the machine does falls on both
            every.append(seconds(partial(whole.search, [question], 5, config)))
            among.append(seconds(partial(chosen.search, [question], 5, config)))
        rows.append(
            {
                "share": share,
                "passages": count,
                "first_search_ms": round(1000 * first, 1),
                "search_ms": round(1000 * statistics.median(among), 2),
                "unfiltered_ms": round(1000 * statistics.median(every), 2),
                "ratio": round(statistics.median(among) / statistics.median(every), 2),
            }
        )
    result = {
        "passages": whole.snapshot.passages,
        "cores": os.cpu_count(),
        "metadata_seconds": round(metadata, 2),
        "filters": rows,
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
