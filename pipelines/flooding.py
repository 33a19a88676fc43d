r"""What one hostile source can do: how much recall it costs, and how often it is among the hits.

    python pipelines/flooding.py --indexes /tmp/flood
    python pipelines/flooding.py --indexes /tmp/flood --record

Questions of a set are asked in its own corpus, and again after a flood: passages that one source
(metadata "source") adds to be found. A flood knows the questions and the names of the index, and
nothing else; it is the same in every run. FLOODS has them all. For each preset: recall@5
without a flood, the points of it that are lost, and the percentage of questions that have a passage
of the flood among the first five; by defence: none, `source_size`, and a filter that leaves the
source out.

Then what the defence costs where there is no flood: HONEST are sets of long sources, where each
conversation is one, alone and mixed with articles.

A line for each goes to standard output; --record keeps all in pipelines/results/flooding.json.
Indexes are kept in --indexes, each under a key of its texts, and used again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from hard_setting import DATA, fold, key, read_lines

from graphmem import GraphMemory, Passage
from graphmem.config import RetrievalConfig, preset
from graphmem.storage.filters import Filter

RESULTS = Path(__file__).with_name("results") / "flooding.json"
SETS: Final = ("musique_train100", "hotpot_train100", "2wiki_dev146")
PRESETS: Final = ("default", "walk", "dense", "bm25")
K: Final = 5
DEPTH: Final = 4 * K
"""Hits asked for, pieces of one passage among them."""
SOURCE: Final = "flood"
HONEST: Final = ("locomo_dev3", "musique_train100+locomo_dev3")
"""Joined by "+": the questions of each are scored by themselves."""
SIZE: Final = 10


Defence = tuple[str, int, Filter | None]
DEFENCES: Final[tuple[Defence, ...]] = (
    ("none", 0, None),
    (f"size {SIZE}", SIZE, None),
    ("filter", 0, {"source": {"$ne": SOURCE}}),
)
"""Name, `source_size`, and filter."""


@dataclass(frozen=True)
class Target:
    """What a flood knows.

    Attributes:
        questions: The questions.
        named: The names of each in the index, the rarest first.
        frequent: Names of the index, those of most passages first.
    """

    questions: list[str]
    named: list[list[str]]
    frequent: list[str]

    @property
    def main(self) -> list[str]:
        """The rarest name of each question that names something."""
        return [names[0] for names in self.named if names]

    def names(self, questions: int) -> list[str]:
        """The names of the first questions, each once."""
        return list(dict.fromkeys(name for names in self.named[:questions] for name in names))


def frequent_names(target: Target) -> list[str]:
    """One passage of the 200 most frequent names."""
    return [", ".join(target.frequent[:200]) + "."]


def names_of_questions(target: Target) -> list[str]:
    """One passage of the names of 50 questions; a text is cut where the embedder's window ends."""
    return [", ".join(target.names(50)) + "."]


def names_in_sentences(target: Target) -> list[str]:
    """The same, two in a sentence."""
    names = target.names(50)
    pairs = zip(names[::2], names[1::2], strict=False)
    verbs = ("met", "wrote about", "left", "knew", "saw")
    return [" ".join(f"{a} {verbs[i % 5]} {b}." for i, (a, b) in enumerate(pairs))]


def names_of_all(target: Target) -> list[str]:
    """One passage of the names of all questions."""
    return [", ".join(target.names(len(target.named))) + "."]


def main_names(target: Target) -> list[tuple[str, str]]:
    """200 passages, each of a question's rarest name and nonsense, with the name as title."""
    names = [target.main[i % len(target.main)] for i in range(200)]
    return [(name, f"{name} {nonsense(i, 20)}") for i, name in enumerate(names)]


def main_names_untitled(target: Target) -> list[str]:
    """The same without titles."""
    return [text for _, text in main_names(target)]


def main_names_fluent(target: Target) -> list[tuple[str, str]]:
    """The same titles over a sentence or two of plain English that say nothing."""
    return [
        (name, f"{name} is widely known, and much has been said about {name} over the years. "
         f"Those who want to learn more about it should read on in entry {i}.")
        for i, (name, _) in enumerate(main_names(target))
    ]  # fmt: skip


def copies(target: Target) -> list[str]:
    """A copy of every question."""
    return list(target.questions)


def questions_and_more(target: Target) -> list[str]:
    """Every question with as much nonsense behind it."""
    return [f"{q} {nonsense(i, len(q.split()))}" for i, q in enumerate(target.questions)]


def one_name(target: Target) -> list[str]:
    """1,000 passages that repeat the name which most questions have."""
    every = [name for names in target.named for name in names]
    name = min(set(every), key=lambda n: (-every.count(n), n))
    return [f"{' '.join([name] * (1 + i % 20))} {nonsense(i, 2)}" for i in range(1000)]


FLOODS: Final[Mapping[str, Callable[[Target], Sequence[str | tuple[str, str]]]]] = {
    function.__name__: function
    for function in (
        frequent_names,
        names_of_questions,
        names_in_sentences,
        names_of_all,
        main_names,
        main_names_untitled,
        main_names_fluent,
        copies,
        questions_and_more,
        one_name,
    )
}
"""Texts, or pairs of title and text."""


def main() -> int:
    """Index, ask, flood, ask again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--indexes", type=Path, required=True, help="folder that keeps indexes")
    parser.add_argument("--sets", nargs="*", default=SETS)
    parser.add_argument("--floods", nargs="*", default=list(FLOODS), choices=list(FLOODS))
    parser.add_argument("--honest", nargs="*", default=HONEST)
    parser.add_argument("--record", action="store_true", help=f"keep the figures in {RESULTS}")
    arguments = parser.parse_args()
    arguments.indexes.mkdir(parents=True, exist_ok=True)
    data, indexes = arguments.data, arguments.indexes
    found = {
        "flooded": {s: flooded(data / s, indexes, arguments.floods) for s in arguments.sets},
        "honest": {sets: honest(data, sets, indexes) for sets in arguments.honest},
    }
    if arguments.record:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def flooded(folder: Path, indexes: Path, floods: Iterable[str]) -> dict[str, Any]:
    """Recall and poisoned questions of one set, by flood ("" is none), defence and preset."""
    passages = list(read_passages(folder))
    asked = read_questions(folder)
    memory = indexed(indexes, folder.name, passages)
    target = aim(memory, list(asked))
    found = {"": ask(memory, asked, DEFENCES)}
    show(folder.name, "", found[""], found[""])
    for flood in floods:
        poison = list(as_passages(FLOODS[flood](target)))
        memory = indexed(indexes, f"{folder.name}-{flood}", passages, poison)
        found[flood] = ask(memory, asked, DEFENCES)
        show(folder.name, flood, found[flood], found[""])
    return found


def honest(data: Path, sets: str, indexes: Path) -> dict[str, Any]:
    """Recall of each of some sets in one index, by set, defence and preset; no flood."""
    names = sets.split("+")
    memory = indexed(indexes, sets, [p for name in names for p in read_passages(data / name)])
    found = {}
    for name in names:
        found[name] = ask(memory, read_questions(data / name), DEFENCES[:2])
        show(f"{name} in {sets}", "", found[name], found[name])
    return found


def indexed(
    indexes: Path, name: str, passages: Sequence[Passage], poison: Sequence[Passage] = ()
) -> GraphMemory:
    """The index of some passages, and of others that came after them."""
    path = indexes / f"{name}-{key([*passages, *poison])}"
    if poison and not path.exists():
        shutil.copytree(indexed(indexes, name.partition("-")[0], passages).path, path)
    memory = GraphMemory.open(path)
    memory.add([*passages, *poison])
    return memory


def read_questions(folder: Path) -> dict[str, set[str]]:
    """The gold ids of every question."""
    questions = read_lines(folder / "questions.jsonl")
    return {str(q["question"]): set(map(str, q["gold"])) for q in questions}


def read_passages(folder: Path) -> Iterable[Passage]:
    """Passages of a set; a turn of a conversation has that as its source."""
    for record in read_lines(folder / "corpus.jsonl"):
        source = {"source": record["conversation"]} if "conversation" in record else {}
        yield Passage(record["id"], record["text"], record.get("title", ""), metadata=source)


def as_passages(texts: Iterable[str | tuple[str, str]]) -> Iterable[Passage]:
    """What a flood says, as passages of one source."""
    for number, said in enumerate(texts):
        title, text = said if isinstance(said, tuple) else ("", said)
        yield Passage(f"{SOURCE}-{number}", text, title, metadata={"source": SOURCE})


def aim(memory: GraphMemory, questions: list[str]) -> Target:
    """What a flood can know of an index and of questions."""
    retriever = memory.retriever
    df, labels = retriever.snapshot.df, retriever.snapshot.labels
    named = [
        [labels[int(row)] for row in sorted(linked.entities.tolist(), key=lambda r: (df[r], r))]
        for linked in retriever.names.link(questions)
    ]
    frequent = [labels[int(row)] for row in np.argsort(-df, kind="stable")[:200]]
    return Target(questions, named, frequent)


def nonsense(seed: int, words: int) -> str:
    """Words that nobody uses, the same for the same seed."""
    digits = hashlib.shake_256(f"flood {seed}".encode()).digest(4 * words)
    syllables = [f"{'bdfgklmnprstvz'[d % 14]}{'aeiou'[d // 14 % 5]}" for d in digits]
    return " ".join("".join(syllables[i : i + 4]) for i in range(0, len(syllables), 4)) + "."


def ask(
    memory: GraphMemory, asked: Mapping[str, set[str]], defences: Sequence[Defence]
) -> dict[str, dict[str, list[float]]]:
    """Recall@5 and questions with a poisoned hit, in percent, by defence and preset."""
    scores: dict[str, dict[str, list[float]]] = {}
    for name, size, filter_ in defences:
        for preset_ in PRESETS:
            config = preset(preset_)
            assert isinstance(config, RetrievalConfig)
            config = replace(config, source_size=size)
            rankings = memory.search(list(asked), k=DEPTH, preset=config, filter=filter_)
            hits = [fold(hit.passage for hit in ranking.hits)[:K] for ranking in rankings]
            recall = [
                len(gold & set(ids)) / len(gold)
                for gold, ids in zip(asked.values(), hits, strict=True)
            ]
            poisoned = [any(id_.startswith(f"{SOURCE}-") for id_ in ids) for ids in hits]
            scores.setdefault(name, {})[preset_] = [
                round(100 * sum(recall) / len(recall), 2),
                round(100 * sum(poisoned) / len(poisoned), 1),
            ]
    return scores


def show(
    name: str,
    flood: str,
    scores: Mapping[str, Mapping[str, list[float]]],
    before: Mapping[str, Mapping[str, list[float]]],
) -> None:
    """Print a line for each defence: recall@5, or with a flood what is lost of it (poisoned)."""
    for defence, by_preset in scores.items():
        cells = [
            f"{recall - before['none'][p][0]:+6.2f} ({poisoned:5.1f})"
            if flood
            else f"{recall:14.2f}"
            for p, (recall, poisoned) in by_preset.items()
        ]
        print(f"{name:18} {flood:20} {defence:12} {' | '.join(cells)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
