"""Index rate: wall time of `graphmem index` against the CPU time of its two expensive parts.

    python pipelines/benchmarks/indexing.py ../shared/data/musique_train100/corpus.jsonl
    python pipelines/benchmarks/indexing.py ../shared/data/wiki_43k/corpus.jsonl.gz --first 10000

Everything is measured in this run on this machine. The ratio that the project promises to keep at
or below 1.2 is wall seconds of the command / ((CPU seconds of embedding the passages alone + CPU
seconds of extracting from them alone) / cores).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from graphmem.embedding.onnx import OnnxEmbedder
from graphmem.extraction.spacy import SpacyExtractor
from graphmem.sources.files import read_passages
from graphmem.types import Passage


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--first", type=int, help="only the first N records")
    parser.add_argument("--keep", type=Path, help="keep the index here")
    parser.add_argument("--only-index", action="store_true", help="peak memory and wall time only")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        corpus = _first(arguments.corpus, arguments.first, Path(temporary))
        result: dict[str, Any] = {"corpus": str(arguments.corpus), "cores": os.cpu_count()}
        if not arguments.only_index:
            result |= measure_parts(corpus)
        index = arguments.keep or Path(temporary) / "index"
        result |= measure_command(["index", str(corpus), "--index", str(index)])
        if not arguments.only_index:
            parts = result["cpu_seconds_embedding"] + result["cpu_seconds_extraction"]
            result["ratio"] = round(result["wall_seconds"] / (parts / result["cores"]), 3)
    print(json.dumps(result, indent=1))


def _first(corpus: Path, count: int | None, folder: Path) -> Path:
    if count is None:
        return corpus
    import gzip

    part = folder / "corpus.jsonl"
    opener: Callable[..., Any] = gzip.open if corpus.suffix == ".gz" else open
    with opener(corpus, "rt", encoding="utf-8") as lines:
        part.write_text("".join(itertools.islice(lines, count)), encoding="utf-8")
    return part


def measure_parts(corpus: Path) -> dict[str, Any]:
    """CPU seconds of both parts alone, models loaded and warm, one thread each."""
    embedder, extractor = OnnxEmbedder.default(threads=1), SpacyExtractor()
    passages = list(
        read_passages(
            [str(corpus)],
            count_tokens=embedder.count_tokens,
            passage_tokens=embedder.max_tokens,
        )
    )
    texts = [f"{p.title}\n{p.text}" if p.title else p.text for p in passages]
    embedder.embed(texts[:4])
    extractor.extract(passages[:4])
    return {
        "passages": len(passages),
        "cpu_seconds_embedding": _cpu_seconds(lambda part: embedder.embed(part), texts),
        "cpu_seconds_extraction": _cpu_seconds(lambda part: extractor.extract(part), passages),
    }


def _cpu_seconds(work: Callable[[Any], object], items: Sequence[str] | Sequence[Passage]) -> float:
    before = time.process_time()
    for start in range(0, len(items), 256):
        work(items[start : start + 256])
    return round(time.process_time() - before, 2)


def measure_command(arguments: list[str]) -> dict[str, Any]:
    """Wall seconds, and peak memory of the process with its workers (PSS: shared pages once)."""
    started = time.monotonic()
    process = psutil.Popen(
        [sys.executable, "-m", "graphmem", *arguments], stdout=subprocess.DEVNULL
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, _tree_memory(process))
        time.sleep(1)  # each look takes some of the time that is measured
    if process.returncode:
        raise SystemExit(f"graphmem {' '.join(arguments)} failed")
    return {
        "wall_seconds": round(time.monotonic() - started, 2),
        "peak_memory_mib": round(peak / 2**20),
    }


def _tree_memory(process: psutil.Process) -> int:
    total = 0
    try:
        for member in [process, *process.children(recursive=True)]:
            total += member.memory_full_info().pss
    except psutil.NoSuchProcess:
        pass  # one of them ended while it was looked at; the next look counts
    return total


if __name__ == "__main__":
    main()
