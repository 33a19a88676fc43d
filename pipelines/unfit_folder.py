"""A folder of files that nobody can read: is every one of 10,000 named or read, and no more said?

    python pipelines/unfit_folder.py --record

Random bytes under every ending that is read, samples of every format cut off somewhere or changed,
and what is made to be too much: archives that unpack to more than there is memory, entities of
entities, HTML, XML, JSON and mails nested a hundred thousand deep, 100 MB in one line
(`pipelines/fuzz.py` makes them too, one at a time, and says which is slow). One command indexes all
of it, with a good note among it: it must end with exit code 3 and no traceback, every file must
have a passage (or nothing but records that others have too) or be named, and the note be found.

A JSON object goes to standard output; --record keeps it in pipelines/results/unfit_folder.json. The
exit code is 1 where anything else came. Linux.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from fuzz import bombs, changed_sample, samples
from mixed_folder import left_out, machine, passages_of

from graphmem import GraphMemory
from graphmem.sources.files import FILE_TYPES, read_records
from graphmem.sources.options import ReadOptions

RESULTS = Path(__file__).with_name("results") / "unfit_folder.json"
LINE = b"Ada wrote to Bo, "
LINE_BYTES = 100_000_000
LINES = ("txt", "md", "html", "json", "jsonl", "csv", "log", "xml")
"""Endings of the files of one line."""
GOOD = "The Larkmoor Bridge was designed by Ilse Ravenscroft."
QUESTION = "Who designed the Larkmoor Bridge?"
REASONS = 12
"""Kinds of reasons that are shown, the most frequent first."""


def main() -> int:
    """Make, index, compare, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=10_000, help="beside the bombs [10000]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-bombs", action="store_true", help="without what is large")
    parser.add_argument("--record", action="store_true", help=f"keep the figures in {RESULTS}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "files"
        make(folder, arguments.files, Random(arguments.seed), large=not arguments.no_bombs)
        result = measured(folder, Path(scratch) / "index")
    text = json.dumps(result, indent=1, ensure_ascii=False)
    print(text)
    if arguments.record:
        RESULTS.write_text(text + "\n", encoding="utf-8")
    return int(bool(result["faults"]))


def make(folder: Path, count: int, random: Random, *, large: bool) -> None:
    """Write the files, a hundred to a folder, and a good one."""
    known = list(samples().items())
    for number in range(count):
        match number % 10:
            case 0 | 1 | 2 | 3 | 4:
                name = f"a{random.choice(FILE_TYPES)}"
                data = random.randbytes(random.randrange(9000))
            case 5 | 6 | 7 | 8:
                name, whole = random.choice(known)
                data = whole[: random.randrange(len(whole))]
            case _:
                name, data = changed_sample(random)
        write(folder / f"{number // 100}" / f"{number}-{name}", data)
    write(folder / "good.txt", GOOD.encode())
    if large:
        for number, (name, made) in enumerate(bombs()):
            if not name.startswith("line"):  # half as long as those below
                write(folder / "bombs" / f"{number}-{name}", made())
        for ending in LINES:
            write(folder / "lines" / f"line.{ending}", LINE * (LINE_BYTES // len(LINE)))


def write(path: Path, data: bytes) -> None:
    """Write a file, and the folder that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def measured(folder: Path, index: Path) -> dict[str, Any]:
    """Index the folder, and say what became of its files."""
    command = ["index", str(folder), "--index", str(index), "--embedder", "hashing", "--json"]
    command += ["--passage-tokens", "256"]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "graphmem", *command], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    faults = []
    if done.returncode != 3:
        faults.append(f"exit code {done.returncode}: {done.stderr[-2000:]}")
    if "Traceback" in done.stderr:
        faults.append(f"a traceback: {done.stderr[done.stderr.index('Traceback') :][:2000]}")
    files = [path for path in folder.rglob("*") if path.is_file()]
    passages, named = {}, {}
    if done.returncode == 3:
        named, passages = left_out(json.loads(done.stdout), folder), passages_of(index)
        silent = [path for path in files if path not in passages]
        relative = {path: path.relative_to(folder).as_posix() for path in silent}
        ids = {name.partition("#")[0] for names in passages.values() for name in names}
        faults += [
            f"lost: {relative[path]}"
            for path in silent
            if relative[path] not in named and not (set() < ids_of(path) <= ids)
        ]
        hits = GraphMemory.open(index).search(QUESTION, k=1).hits
        if not hits or hits[0].passage.text != GOOD:
            faults.append("the good note is not the first hit")
    reasons = Counter(reason.split(":")[0][:60] for reason in named.values())
    return {
        "machine": machine(),
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "read": sum(path in passages for path in files),
        "named": len(named),
        "passages": sum(map(len, passages.values())),
        "seconds": round(seconds, 1),
        "peak_memory_mib": round(peak / 1024),
        "reasons": dict(reasons.most_common(REASONS)),
        "faults": faults,
    }


def ids_of(file: Path) -> set[str]:
    """Ids of what can be read of a file."""
    return {passage.id for passage in read_records([file], options=ReadOptions())}


if __name__ == "__main__":
    sys.exit(main())
