"""The sample corpus that comes with the package, and what the demo asks of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from graphmem.errors import StorageError

HITS = 4
_ASKED = ("q46", "q13", "q09")  # three and four hops, each in another corner of the sample


@dataclass(frozen=True, slots=True)
class SampleQuestion:
    """A question of the sample, its answer, and the ids of the passages that it takes."""

    text: str
    answer: str
    gold: tuple[str, ...]


def sample_folder() -> Path:
    """The folder with the sample's corpus.jsonl and questions.jsonl.

    Raises:
        StorageError: It was not installed.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "sample", package.parent / "data" / "sample"):
        if (folder / "corpus.jsonl").is_file():
            return folder
    raise StorageError("the sample corpus is not installed: install graphmem again")


def demo_questions() -> list[SampleQuestion]:
    """What the demo asks, in its order."""
    text = (sample_folder() / "questions.jsonl").read_text("utf-8")
    records = {record["id"]: record for record in map(json.loads, text.splitlines())}
    return [
        SampleQuestion(record["question"], record["answers"][0], tuple(record["gold"]))
        for record in (records[name] for name in _ASKED)
    ]
