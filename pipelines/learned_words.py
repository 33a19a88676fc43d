"""What learned words (--sparse) bring and cost, beside the same index without them.

    python pipelines/learned_words.py --json pipelines/results/learned_words.json
    python pipelines/learned_words.py --indexes /tmp/indexes     keeps them, and takes those there

Recall of the walk and of default on the development sets of `check_quality.py`; milliseconds of
processor time of a passage and of a question beside those of the embedder, on one thread, so that
other work on the machine does not count; bytes of the snapshot a passage.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from check_quality import CUTS, DATA, graphmem, recall

from graphmem import GraphMemory, Ranking
from graphmem.embedding import load_embedder
from graphmem.embedding.onnx import OnnxEmbedder
from graphmem.embedding.sparse import SparseEncoder
from graphmem.evaluation.runs.trec import source_id
from graphmem.evaluation.scores.bootstrap import interval, resampled_means
from graphmem.storage.current import open_current

SETS = ("musique_train100", "hotpot_train100", "2wiki_dev146", "locomo_dev3")
PRESETS = ("walk", "default")
DEPTH = 60
"""Hits asked for: pieces of one text count once."""
TIMED = 60
"""Passages and questions that are timed."""


def main() -> int:
    """Measure, and write or print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--set", action="append", dest="sets", help="only this set (repeatable)")
    parser.add_argument("--indexes", type=Path, help="keep indexes in this folder")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.indexes or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        sets = {name: measure(arguments.data / name, work) for name in arguments.sets or SETS}
    found = {"cores": os.cpu_count(), "sets": sets}
    text = json.dumps(found, indent=1) + "\n"
    if arguments.json:
        arguments.json.write_text(text, encoding="utf-8")
    print(text)
    return 0


def measure(data: Path, work: Path) -> dict[str, Any]:
    """One set without and with learned words."""
    plain, sparse = (work / f"{data.name}{end}" for end in (".index", ".sparse.index"))
    if not plain.exists():
        graphmem("index", data / "corpus.jsonl", "--index", plain)
    if not sparse.exists():
        shutil.copytree(plain, sparse)
        graphmem("index", data / "corpus.jsonl", "--index", sparse, "--sparse")
    asked = [json.loads(line) for line in (data / "questions.jsonl").open(encoding="utf-8")]
    questions = [record["question"] for record in asked]
    gold = {str(place): set(record["gold"]) for place, record in enumerate(asked)}
    memories = [GraphMemory.open(path) for path in (plain, sparse)]
    measures: dict[str, Any] = {}
    for preset in PRESETS:
        without, with_words = (
            [_sources(ranking) for ranking in memory.search(questions, DEPTH, preset)]
            for memory in memories
        )
        shares = [
            [
                len(gold[str(place)] & set(ids[:5])) / len(gold[str(place)])
                for place, ids in enumerate(run)
            ]
            for run in (with_words, without)
        ]
        gains = np.subtract(*map(np.array, shares))
        lead = interval(float(gains.mean()), resampled_means(gains[:, None], seed=0)[:, 0])
        measures[preset] = {
            "without": recall(dict(zip(gold, without, strict=True)), gold),
            "with": recall(dict(zip(gold, with_words, strict=True)), gold),
            "difference@5": [round(100 * x, 1) for x in (gains.mean(), lead.low, lead.high)],
        }
    return {
        "passages": open_current(plain).passages,
        "questions": len(questions),
        "presets": measures,
        **costs((plain, sparse), questions),
    }


def costs(indexes: Sequence[Path], questions: Sequence[str]) -> dict[str, Any]:
    """What a passage and a question cost.

    Args:
        indexes: Without learned words, and with them.
        questions: Those of the set.
    """
    snapshots = [open_current(path) for path in indexes]
    count = snapshots[0].passages
    texts = [snapshots[0].passage(row).text for row in range(min(TIMED, count))]
    embedder = load_embedder("default")
    if not isinstance(embedder, OnnxEmbedder):
        raise TypeError("the default embedder is another")
    vectors, words = embedder.with_threads(1).embed, SparseEncoder(threads=1).encode
    return {
        "embedder_ms": [_processor_ms(vectors, part) for part in (texts, questions[:TIMED])],
        "words_ms": [_processor_ms(words, part) for part in (texts, questions[:TIMED])],
        "bytes_passage": [round(snapshot.size() / count) for snapshot in snapshots],
    }


def _sources(ranking: Ranking) -> list[str]:
    """The texts of a ranking, each once."""
    return list(dict.fromkeys(source_id(hit.passage) for hit in ranking.hits))[: max(CUTS)]


def _processor_ms(work: Callable[[Sequence[str]], object], texts: Sequence[str]) -> float:
    """Least processor time of three runs over some texts, by text."""
    work(texts[:1])
    taken = []
    for _ in range(3):
        begun = time.process_time()
        for text in texts:
            work([text])
        taken.append(time.process_time() - begun)
    return round(1000 * min(taken) / len(texts), 1)


if __name__ == "__main__":
    sys.exit(main())
