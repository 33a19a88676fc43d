"""Index the development sets through the command line, search them, and check recall@k.

    python pipelines/check_quality.py                 all sets, a table, exit code 1 below a floor
    python pipelines/check_quality.py --set hotpot_train100 --keep /tmp/indexes

Expected values and how far a result may fall are in pipelines/expected/retrieval.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from graphmem.evaluation.datasets.trec_ids import trec_id
from graphmem.evaluation.runs.trec import read_run

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
EXPECTED = Path(__file__).with_name("expected") / "retrieval.json"
CUTS = (2, 5, 10, 20)


def main() -> int:
    """Run the check; 0 where every floor holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--set", action="append", dest="sets", help="only this set (repeatable)")
    parser.add_argument("--keep", type=Path, help="keep indexes and runs in this folder")
    parser.add_argument("--json", type=Path, help="write the scores here")
    arguments = parser.parse_args()
    expected = json.loads(EXPECTED.read_text())
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.keep or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        rows = [
            row
            for name in arguments.sets or expected
            for row in check_set(arguments.data, name, expected[name], work)
        ]
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    show(rows)
    failed = [row for row in rows if not row["holds"]]
    print(f"{len(rows) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


def check_set(
    data: Path, name: str, expected: dict[str, Any], work: Path
) -> Iterable[dict[str, Any]]:
    """Index one set, run every preset over its questions, and score the runs.

    NAME+triples is the set with spaCy's names and the triples of its openie.json, NAME+EMBEDDER
    that with vectors of this embedder; PRESET+lower asks its questions in small letters.
    """
    set_name, _, variant = name.partition("+")
    folder = data / set_name
    index = work / f"{name}.index"
    options: list[str] = []
    if variant == "triples":
        options = ["--extractor", f"spacy+import:{folder / 'openie.json'}"]
    elif variant:
        options = ["--embedder", variant]
    started = time.monotonic()
    graphmem("index", folder / "corpus.jsonl", "--index", index, *options)
    seconds = time.monotonic() - started
    written = folder / "questions.jsonl"
    lower = work / f"{name}.lower.jsonl"
    records = [json.loads(line) for line in written.open(encoding="utf-8")]
    lower.write_text(
        "".join(json.dumps({**r, "question": r["question"].lower()}) + "\n" for r in records)
    )
    gold = {trec_id(str(r["id"])): set(map(trec_id, r["gold"])) for r in records}
    for preset, bounds in expected.items():
        run = work / f"{name}.{preset}.trec"
        queries = lower if preset.endswith("+lower") else written
        ranked = ("--run", run, "--preset", preset.removesuffix("+lower"))
        graphmem("search", index, "--queries", queries, *ranked)
        scores = recall(read_run(run), gold)
        at = scores["recall@5"]
        low, high = bounds["recall@5"]
        yield {
            "set": name,
            "preset": preset,
            **scores,
            "bounds": [low, high],
            "holds": low <= at <= high,
            "index_seconds": round(seconds, 1),
        }


def graphmem(*arguments: object) -> None:
    """Run the command line as a user would."""
    command = [sys.executable, "-m", "graphmem", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def recall(run: dict[str, list[str]], gold: dict[str, set[str]]) -> dict[str, float]:
    """Share of gold in the first k in percent, averaged; a question missing from the run is 0."""
    return {
        f"recall@{k}": round(
            100
            * sum(len(g & set(run.get(q, [])[:k])) / len(g) for q, g in gold.items())
            / len(gold),
            1,
        )
        for k in CUTS
    }


def show(rows: list[dict[str, Any]]) -> None:
    """Print the scores as a table."""
    table = Table(title="recall, percent")
    for column in ("set", "preset", *(f"@{k}" for k in CUTS), "recall@5 must be", "", "index s"):
        table.add_column(column)
    for row in rows:
        low, high = row["bounds"]
        table.add_row(
            row["set"],
            row["preset"],
            *(f"{row[f'recall@{k}']:.1f}" for k in CUTS),
            f">= {low:.1f}" if high >= 100 else f"{low:.1f} to {high:.1f}",
            "OK" if row["holds"] else "FAIL",
            f"{row['index_seconds']:.0f}",
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.exit(main())
