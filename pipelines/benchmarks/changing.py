"""What one more passage costs, at several sizes: extending a snapshot beside assembling it anew.

    python pipelines/benchmarks/changing.py INDEX --sizes 1000 10000 0

INDEX, made with spaCy, is copied, and passages drawn by chance are deleted from the copy until
there are SIZE (0: all are left). Then passages are added, one and ten at once, and deleted. Side by
side: these changes, the first search after each, what extracting and embedding the same texts takes
by itself (it is part of the change), and assembling all anew, which each change took before
snapshots were extended.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from stopwatch import seconds

from graphmem import GraphMemory, Passage
from graphmem.base.layout import STORE
from graphmem.indexing.indexer import assemble_index
from graphmem.indexing.writer_lock import writer_lock
from graphmem.storage.store import Store

TIMES = 5


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("--sizes", nargs="+", type=int, default=[1000, 10_000, 0])
    arguments = parser.parse_args()
    rows = []
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "index"
            shutil.copytree(arguments.index, copy)
            rows.append(measure(copy, size))
    result = {
        "cores": os.cpu_count(),
        "sizes": rows,
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    print(json.dumps(result, indent=1))


def measure(index: Path, size: int) -> dict[str, float | int]:
    """The times of one size, in milliseconds but for the whole, each the median of some."""
    memory = GraphMemory.open(index)
    snapshot = memory.retriever.snapshot
    if size:
        drawn = np.random.default_rng(0).permutation(snapshot.passages)[size:]
        memory.delete([snapshot.passage(int(row)).id for row in drawn])
    memory.compact()
    passages = memory.retriever.snapshot.passages
    memory.add(made(0, 1))  # loads the models
    one, ten, gone, found, computed = [], [], [], [], []
    for turn in range(1, TIMES + 1):
        new = made(turn, 1)
        one.append(seconds(partial(memory.add, new)))
        found.append(seconds(partial(memory.search, f"Whom did Zorbal Quindle {turn} meet?")))
        computed.append(seconds(partial(compute, memory, made(turn + 100, 1))))
        ten.append(seconds(partial(memory.add, made(turn, 10))))
        gone.append(seconds(partial(memory.delete, new[0].id)))
    with writer_lock(index), Store.open(index / STORE) as store:
        anew = seconds(partial(assemble_index, index, store, memory.retriever.embedder, whole=True))
    middle = {
        "add_one": one,
        "of_it_extract_and_embed": computed,
        "first_search_after": found,
        "add_ten": ten,
        "delete_one": gone,
    }
    times = {f"{name}_ms": round(1000 * statistics.median(t)) for name, t in middle.items()}
    return {
        "passages": passages,
        **times,
        "assemble_anew_seconds": round(anew, 2),
        "ratio": round(anew / statistics.median(one), 1),
    }


def made(turn: int, count: int) -> list[Passage]:
    """Passages that no other turn makes."""
    return [
        Passage(
            f"made-{turn}-{count}-{i}",
            f"On day {turn} Zorbal Quindle {turn} met Ada Lovelace and {i} others near Ostrava.",
            f"Meeting {turn}.{i}",
        )
        for i in range(count)
    ]


def compute(memory: GraphMemory, passages: list[Passage]) -> None:
    """Extract and embed, and keep nothing."""
    memory.extractor.extract(passages)
    memory.retriever.embedder.embed([f"{p.title}\n{p.text}" for p in passages])


if __name__ == "__main__":
    main()
