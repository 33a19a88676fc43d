"""Throughput of many questions in one call against one by one, side by side in one process.

    python pipelines/benchmarks/batch.py INDEX --questions questions.jsonl

The rankings must be the same: passages, order and scores. The ratio wished for 1,000 questions at
6,000 passages was 3. On two quiet cores it was 2.3 before the second stage asked again, and is 1.8
since: much of the work is the encoder's, and both cores share it in either way.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from graphmem import GraphMemory
from graphmem.evaluation.runs.trec import read_questions
from graphmem.types import Ranking


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("--questions", required=True)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("-k", type=int, default=5)
    parser.add_argument("--preset", default="default")
    arguments = parser.parse_args()
    questions = [q.text for q in read_questions(arguments.questions)[: arguments.first]]
    memory = GraphMemory.open(arguments.index)
    k, preset = arguments.k, arguments.preset

    def one_by_one() -> list[Ranking]:
        return [memory.search(question, k, preset) for question in questions]

    def together() -> list[Ranking]:
        return memory.search(questions, k, preset)

    memory.search(questions[:200], k, preset)
    memory.search(questions[0], k, preset)
    ratios, cpu_ratios, seconds = [], [], []
    same = True
    for _ in range(arguments.repeats):
        alone, alone_wall, alone_cpu = _timed(one_by_one)
        batch, batch_wall, batch_cpu = _timed(together)
        same &= alone == batch
        ratios.append(alone_wall / batch_wall)
        cpu_ratios.append(alone_cpu / batch_cpu)
        seconds.append((alone_wall, batch_wall))
    result = {
        "passages": memory.retriever.snapshot.passages,
        "questions": len(questions),
        "preset": preset,
        "k": k,
        "cores": os.cpu_count(),
        "one_by_one_ms": round(statistics.median(s[0] for s in seconds) * 1000 / len(questions), 2),
        "batch_ms": round(statistics.median(s[1] for s in seconds) * 1000 / len(questions), 2),
        "ratio": round(statistics.median(ratios), 2),
        "cpu_ratio": round(statistics.median(cpu_ratios), 2),
        "same_rankings": same,
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(result, indent=1))


def _timed(work: Callable[[], list[Ranking]]) -> tuple[list[Ranking], float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
