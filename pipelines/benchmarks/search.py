"""Search latency against the embedding of the question alone, side by side in one run.

    python pipelines/benchmarks/search.py INDEX --questions questions.jsonl

A median ratio of at most 3 at 6,000 passages and 6 at 43,477 was promised, and held until the
second stage asked again: its five short texts cost as much as two or three questions (1.8 to 4.7 at
1,046 passages, 5.7 to 9.8 at 55,919, on two machines). What is promised now: opening in less than
a second, and a peak memory below 700 MiB.
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

from stopwatch import seconds

from graphmem import GraphMemory
from graphmem.evaluation.runs.trec import read_questions


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("--questions", required=True)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--preset", default="default")
    arguments = parser.parse_args()
    questions = [q.text for q in read_questions(arguments.questions)[: arguments.first]]
    started = time.perf_counter()
    memory = GraphMemory.open(arguments.index)
    retriever = memory.retriever
    opened = time.perf_counter() - started
    started = time.perf_counter()
    memory.search(questions[0], 5, arguments.preset)
    first = time.perf_counter() - started
    # Interleaved, so that whatever else the machine does falls on both alike.
    embed, search = [], []
    for question in questions * 3:
        embed.append(seconds(partial(retriever.embedder.embed, [question], "question")))
        search.append(seconds(partial(memory.search, question, 5, arguments.preset)))
    result = {
        "passages": retriever.snapshot.passages,
        "entities": retriever.snapshot.entities,
        "cores": os.cpu_count(),
        "open_seconds": round(opened, 3),
        "first_search_seconds": round(first, 3),
        "embed_ms": round(1000 * statistics.median(embed), 2),
        "search_ms": round(1000 * statistics.median(search), 2),
        "ratio": round(statistics.median(search) / statistics.median(embed), 2),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
