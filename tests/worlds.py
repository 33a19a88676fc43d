"""Worlds and models for the tests: small, scripted, known by heart."""

import json
from pathlib import Path

import regex

from graphmem.types import Extraction, Passage, Triple


class ScriptedExtractor:
    """Finds the names of a list, as written, where a passage holds them."""

    fingerprint = "scripted:1"

    def __init__(self, names):
        self.names = tuple(names)
        self.calls = []  # texts, in the order in which they were asked for

    def extract(self, passages):
        self.calls += [passage.text for passage in passages]
        return [
            Extraction(tuple(n for n in self.names if n in f"{p.title}\n{p.text}"))
            for p in passages
        ]


TINY_NAMES = (
    "Ridley Scott",
    "South Shields",
    "Gladiator",
    "Tyne and Wear",
    "Los Angeles",
    "1974",
    "1984",
)
TINY = (
    Passage("p1", "It was directed by Ridley Scott.", "Alien (film)", metadata={"year": 1979}),
    Passage("p2", "Ridley Scott comes from South Shields. He made Gladiator.", "Ridley Scott"),
    Passage("p3", "South Shields is a town in Tyne and Wear.", "South Shields"),
    Passage("p4", "Gladiator had its first night in Los Angeles.", "Gladiator"),
    Passage("p5", "The county exists since 1974.", "Tyne and Wear"),
    Passage("p6", "bread is baked from rye and water"),
    Passage("p7", "Glenn plays Scott, not the director.", "Scott Glenn"),
    Passage("p8", "The city held the games of 1984.", "Los Angeles"),
)

HOPS = "In which county is the birthplace of the maker of Alien?"


def island_world(count, names=None):
    """`count` passages about a chain of islands, each a neighbour of the next; all different."""
    names = names or [f"Isle {chr(65 + i // 26)}{chr(97 + i % 26)}" for i in range(count + 1)]
    passages = [
        Passage(
            f"isle-{i}",
            f"{names[i]} lies near {names[i + 1]}. Its {i}th ferry leaves at {i % 24} o'clock.",
            names[i] if i % 3 else "",
            metadata={"number": i},
        )
        for i in range(count)
    ]
    return passages, names


def live_snapshot(index):
    return Path(index) / (Path(index) / "CURRENT").read_text()


def snapshot_bytes(index):
    """Name -> bytes of every file of the live snapshot."""
    folder = live_snapshot(index)
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


# What a model may be given.
ODD_TEXTS = [
    "Ada Byron wrote the first query.",
    "",
    " \n\t ",
    "the ship sails to the second port",
    "a\x00b",
    "🙂🚀 emoji 👩‍👩‍👧",
    "東京タワーは1958年に完成した。",
    "lone \ud800 surrogate",
    "the ship " * 2000,
    "x" * 3000,
    "Port",
]

# The sample corpus, what is asked of it, and names in it without a model.
SAMPLE = Path(__file__).parents[1] / "data" / "sample"
QUESTIONS = [
    *[json.loads(line)["question"] for line in (SAMPLE / "questions.jsonl").open()],
    *("bread?", "東京", "who wrote it", "Ulysses", "1656"),  # one name, none, another script
]


class Neighbours:
    """Names are runs of words with capitals; two that follow each other in a text are a fact."""

    fingerprint = "neighbours:1"

    def extract(self, passages):
        found = [regex.findall(r"[A-Z][a-z]+(?: [A-Z][a-z]+)*", p.text) for p in passages]
        return [
            Extraction(
                tuple(dict.fromkeys(names)),
                tuple(Triple(a, "then", b) for a, b in zip(names, names[1:], strict=False)),
            )
            for names in found
        ]
