"""Random histories of additions, updates, deletions and compactions: do they end as a fresh build?

    python pipelines/histories.py --histories 10000 --record
    python pipelines/histories.py --seed 7 --history 1234

A history begins with nothing, or with 1,000 passages whose snapshot is extended by what changes
(every so many-th, --large), and has up to eight steps, of up to four passages each, some of them
in a batch. Then, after compact, all bytes of the snapshot must be those of an index that was
made at once of what remains, in another order. Before that, every search must see what is there
and nothing else. The names of passages are their words with a capital.

--real N plays one history of 200 steps on N passages of wiki_43k, with the default extractor and
the embedder hashing. A fault is a line with the number of its history, by which --history plays it
again; what was tried stands in the last line, and --record keeps it in
pipelines/results/histories.json. The exit code is 1 where there was a fault.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import click
from hard_setting import DATA, DISTRACTORS, read_corpus
from tqdm import tqdm

from graphmem import GraphMemory, Passage
from graphmem.indexing.extending import SMALLEST
from graphmem.storage.current import open_current
from graphmem.types import Extraction

RESULTS = Path(__file__).with_name("results") / "histories.json"
NAMES = ("Ada", "Bob", "Cid", "Turin", "Rome", "Isle Aaa", "Zorbal Quindle")
PLACES = [f"{a}{b}{c}" for a in "BCDFGKLM" for b in "aeiou" for c in "lmnrst"]
REAL_STEPS = 200


class Capitals:
    """The words of a text that begin with a capital are its names."""

    fingerprint = "capitals"

    def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """One extraction for each passage."""
        return [
            Extraction(tuple(dict.fromkeys(w.strip(".,") for w in p.text.split() if w.istitle())))
            for p in passages
        ]


def opened(folder: Path, real: bool = False, sentences: bool = False) -> GraphMemory:
    """A memory without a model of vectors."""
    extractor: Any = "spacy" if real else Capitals()
    return GraphMemory.open(folder, embedder="hashing", extractor=extractor, sentences=sentences)


def small_text(random: Random) -> str:
    """A sentence of one to three names."""
    return " met ".join(random.sample(NAMES, random.randint(1, 3))) + " there."


def island(number: int) -> Passage:
    """A passage of those that a large history begins with."""
    here, there = PLACES[number % len(PLACES)], PLACES[number * 7 % len(PLACES)]
    return Passage(f"isle-{number}", f"{here} {number} lies near {there} and Rome.", here)


def changed(
    memory: GraphMemory,
    there: dict[str, Passage],
    random: Random,
    steps: int,
    ids: list[str],
    text: Any,
) -> Iterator[str]:
    """Play steps; after each what a reader sees that it should not, or does not see."""
    for _ in range(steps):
        some = random.sample(ids, random.randint(1, min(4, len(ids))))
        with memory.batch() if random.random() < 0.2 else nullcontext():
            if not there or random.random() < 0.6:
                new = {name: Passage(name, text(random)) for name in some}
                memory.update(new.values(), workers=1)
                there |= new
            if known := [name for name in some if name in there and random.random() < 0.5]:
                memory.delete(known)
                for name in known:
                    del there[name]
        if random.random() < 0.1:
            memory.compact()
        snapshot = open_current(memory.path)
        seen = {p.id: (p.title, p.text) for p in map(snapshot.passage, range(snapshot.passages))}
        if seen != {p.id: (p.title, p.text) for p in there.values()}:
            yield "a reader sees something else than was told"


def columns(index: Path) -> dict[str, bytes]:
    """All bytes of the live snapshot by file."""
    live = index / (index / "CURRENT").read_text("ascii").strip()
    return {str(f.relative_to(live)): f.read_bytes() for f in live.rglob("*") if f.is_file()}


def as_fresh(memory: GraphMemory, there: dict[str, Passage], random: Random, real: bool) -> str:
    """Compare with an index of what remains; what differs, "" where nothing does."""
    memory.compact()
    if problems := memory.verify().problems:
        return f"verify: {problems}"
    if not there:
        return "" if not memory.search("Ada").hits else "a hit in an empty index"
    remaining = random.sample(list(there.values()), len(there))
    fresh = opened(memory.path.with_name("fresh"), real, memory.stats()["sentences_kept"] > 0)
    fresh.add(remaining, workers=2 if real else 1)
    one, other = columns(memory.path), columns(fresh.path)
    return ", ".join(sorted(f for f in one.keys() | other.keys() if one.get(f) != other.get(f)))


def play(number: int, seed: int, large: int) -> tuple[int, int, str]:
    """Play one history: its number, its steps, and what was wrong."""
    random = Random(f"{seed} {number}")
    steps = random.randint(1, 8)
    sentences = random.random() < 0.3
    with tempfile.TemporaryDirectory() as folder:
        memory = opened(Path(folder, "index"), sentences=sentences)
        there: dict[str, Passage] = {}
        ids = list("abcdef")
        if large and number % large == 0:
            there = {p.id: p for p in map(island, range(SMALLEST + 20))}
            memory.add(there.values(), workers=1)
            ids += random.sample(sorted(there), 20)
        faults = list(changed(memory, there, random, steps, ids, small_text))
        differs = as_fresh(memory, there, random, real=False)
    return number, steps, "; ".join(faults + [differs] * bool(differs))


def play_real(count: int, seed: int) -> dict[str, Any]:
    """One long history on real passages."""
    random = Random(seed)
    passages = {p.id: p for p in islice(read_corpus(DATA / DISTRACTORS), count)}
    texts = [p.text for p in passages.values()]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        memory = opened(Path(folder, "index"), real=True)
        order = random.sample(list(passages.values()), count)
        for part in range(5):
            memory.add(order[part::5])
        ids = random.sample(sorted(passages), count // 10)
        text = partial(lambda texts, random: random.choice(texts), texts)
        faults = list(changed(memory, passages, random, REAL_STEPS, ids, text))
        differs = as_fresh(memory, passages, random, real=True)
    return {
        "passages": count,
        "remaining": len(passages),
        "steps": REAL_STEPS,
        "faults": faults + [differs] * bool(differs),
        "seconds": round(time.monotonic() - begun),
    }


@click.command(help=__doc__)
@click.option("--histories", default=300)
@click.option("--seed", default=0)
@click.option("--history", type=int, help="Only this one.")
@click.option("--large", default=100, help="Every so many-th is large; 0: none.")
@click.option("--real", default=0, help="Passages of wiki_43k for one long history.")
@click.option("--workers", default=2)
@click.option("--record", is_flag=True, help=f"Keep what was tried in {RESULTS}.")
def main(
    histories: int,
    seed: int,
    history: int | None,
    large: int,
    real: int,
    workers: int,
    record: bool,
) -> None:
    """Play them all."""
    numbers = range(histories) if history is None else [history]
    begun, steps, faults = time.monotonic(), 0, 0
    with get_context("spawn").Pool(workers) as pool:
        each = pool.imap_unordered(partial(play, seed=seed, large=large), numbers, chunksize=4)
        for number, played, fault in tqdm(each, total=len(numbers), unit="history"):
            steps += played
            if fault:
                faults += 1
                click.echo(json.dumps({"history": number, "fault": fault}))
    line: dict[str, Any] = {"seed": seed, "histories": len(numbers), "steps": steps}
    line |= {"large": -(-len(numbers) // large) if large else 0, "faults": faults}
    line["seconds"] = round(time.monotonic() - begun)
    if real:
        line["real"] = play_real(real, seed)
        faults += len(line["real"]["faults"])
    click.echo(json.dumps(line))
    if record:
        RESULTS.write_text(json.dumps(line, indent=1) + "\n", encoding="utf-8")
    sys.exit(int(faults > 0))


if __name__ == "__main__":
    main()
