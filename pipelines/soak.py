"""Readers and a writer at one index, for minutes: does every answer come from one committed state?

    python pipelines/soak.py --minutes 10 --record

A writer adds passages one by one, in rounds: passage i of round r is "r-i". After so many of them
it deletes the round and compacts. Each reader, a process of its own, sees every change as soon as
it is committed (`auto_refresh`). What BM25 finds for it must be passages 0 to n of one round, for
some n; what other presets find must be of one round. Memory and open files of each reader, and
files and bytes of the folder after each compaction, are compared between the first minute and the
end.

A JSON object goes to standard output; --record keeps it in pipelines/results/soak.json. The exit
code is 1 where an answer was of no committed state.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from itertools import count, cycle
from pathlib import Path
from typing import Any

from graphmem import GraphMemory, Passage
from graphmem.indexing.extending import SHARE, SMALLEST

RESULTS = Path(__file__).with_name("results") / "soak.json"
QUESTION = "Whom did Zorbal Quindle meet in Ostrava?"
PRESETS = ("bm25", "default", "bm25", "walk", "bm25", "dense")
ROUND = 2 * int(SMALLEST * SHARE)  # the snapshot is extended, assembled anew, and extended
WARM = 60.0
"""Seconds after which memory and open files of a reader are noted first."""


def main() -> int:
    """Build, write, read, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--record", action="store_true", help=f"keep the figures in {RESULTS}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        index = Path(folder) / "index"
        memory = GraphMemory.open(index, embedder="hashing")
        memory.add(Passage(f"base-{i}", text(-1, i)) for i in range(SMALLEST))
        end = time.time() + 60 * arguments.minutes
        with multiprocessing.get_context("spawn").Pool(arguments.readers) as pool:
            readers = [pool.apply_async(read, (str(index), end)) for _ in range(arguments.readers)]
            written = write(memory, end)
            found = [reader.get() for reader in readers]
    result = {
        "minutes": arguments.minutes,
        "cores": os.cpu_count(),
        **written,
        "searches": sum(r["searches"] for r in found),
        "states_seen": max(r["states"] for r in found),
        "of_no_committed_state": sum(r["wrong"] for r in found),
        "readers": found,
    }
    print(json.dumps(result, indent=1))
    if arguments.record:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return int(result["of_no_committed_state"] > 0)


def text(turn: int, number: int) -> str:
    """What a passage says; those that were there before the first round say something else."""
    if turn < 0:
        return f"Ferry {number} of the Harbour of Turin leaves at {number % 24} o'clock."
    return f"Zorbal Quindle met {number} others in Ostrava in round {turn}."


def write(memory: GraphMemory, end: float) -> dict[str, Any]:
    """Change the index until it is time, and tell how often, and what the folder held."""
    changes = 0
    folders: list[dict[str, int]] = []
    for turn in count():
        for number in range(ROUND):
            memory.add(Passage(f"{turn}-{number}", text(turn, number)))
            changes += 1
            if time.time() > end:
                return {"changes": changes, "folder_first": folders[0], "folder_last": folders[-1]}
        memory.delete([f"{turn}-{number}" for number in range(ROUND)])
        memory.compact()
        changes += 1
        files = [file for file in memory.path.rglob("*") if file.is_file()]
        folders.append({"files": len(files), "bytes": sum(f.stat().st_size for f in files)})
    raise AssertionError


def read(index: str, end: float) -> dict[str, Any]:
    """Search until it is time, and tell what was found of no committed state."""
    memory = GraphMemory.open(index, embedder="hashing", auto_refresh=True)
    states, searches, wrong = set(), 0, 0
    warm = time.time() + min(WARM, (end - time.time()) / 4)
    first: dict[str, int] = {}
    for preset in cycle(PRESETS):
        if time.time() > end:
            break
        hits = memory.search(QUESTION, k=3 * ROUND, preset=preset).hits
        ids = [hit.passage.id for hit in hits if not hit.passage.id.startswith("base-")]
        turns = {name.partition("-")[0] for name in ids}
        numbers = sorted(int(name.partition("-")[2]) for name in ids)
        if len(turns) > 1 or (preset == "bm25" and numbers != list(range(len(ids)))):
            wrong += 1
        if preset == "bm25":
            states.add((*turns, len(ids)))
        searches += 1
        if not first and time.time() > warm:
            first = used()
    last = used()
    return {
        "searches": searches,
        "states": len(states),
        "wrong": wrong,
        **{f"{name}_first": value for name, value in first.items()},
        **{f"{name}_last": value for name, value in last.items()},
    }


def used() -> dict[str, int]:
    """Memory and open files of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return {
        "memory_mib": round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)),
        "open_files": len(list(Path("/proc/self/fd").iterdir())),
    }


if __name__ == "__main__":
    sys.exit(main())
