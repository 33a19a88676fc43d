"""Several ways of searching on the same questions: who finds all that an answer takes?

python examples/compare_presets.py

`graphmem eval` does the same with intervals, significance and a report; this shows the parts.
"""

import json
import tempfile
from pathlib import Path

from graphmem import GraphMemory

SAMPLE = Path(__file__).resolve().parents[1] / "data" / "sample"
PRESETS = ("bm25", "dense", "walk", "default")


def main() -> None:
    """Index the sample corpus, ask its questions in one call for each preset, count the gold."""
    lines = (SAMPLE / "questions.jsonl").read_text("utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    texts = [question["question"] for question in questions]
    gold = [set(question["gold"]) for question in questions]
    with tempfile.TemporaryDirectory() as folder:
        memory = GraphMemory.open(Path(folder) / "sample.index")
        memory.add(SAMPLE / "corpus.jsonl")
        print(f"{len(texts)} questions, recall@5")
        for preset in PRESETS:
            rankings = memory.search(texts, k=5, preset=preset)
            found = [{hit.passage.id for hit in ranking.hits} for ranking in rankings]
            shares = [len(ids & want) / len(want) for ids, want in zip(found, gold, strict=True)]
            print(f"{preset:8} {100 * sum(shares) / len(shares):5.1f} %")


if __name__ == "__main__":
    main()
