"""Extraction passage by passage, in this process: each success is committed as it comes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import overload

from graphmem.base.failure_limit import check_failures
from graphmem.errors import BudgetExceeded
from graphmem.extraction.checked import check_outcomes
from graphmem.protocols import EachExtractor, Progress
from graphmem.storage.rows import text_hash
from graphmem.storage.store import Store
from graphmem.types import Extraction, Passage


@dataclass(frozen=True, slots=True)
class Extracted:
    """What one run of extraction did.

    Attributes:
        done: Texts that were extracted.
        empty: Those of them in which nothing was found.
        failed: Texts that could not be extracted; recorded, and tried again by the next run.
        stopped: The budget's end, None where all was tried.
    """

    done: int = 0
    empty: int = 0
    failed: int = 0
    stopped: BudgetExceeded | None = None


class _Packs(Sequence[Sequence[Passage]]):
    """The texts of these hashes, read when their turn comes."""

    def __init__(self, store: Store, packs: Sequence[Sequence[str]]) -> None:
        self._store = store
        self._packs = packs

    def __len__(self) -> int:
        return len(self._packs)

    @overload
    def __getitem__(self, number: int) -> Sequence[Passage]: ...

    @overload
    def __getitem__(self, number: slice) -> Sequence[Sequence[Passage]]: ...

    def __getitem__(self, number: int | slice) -> Sequence[Passage] | Sequence[Sequence[Passage]]:
        if isinstance(number, slice):
            return _Packs(self._store, self._packs[number])
        return self._store.texts(self._packs[number])


def extract_each(
    store: Store, extractor: EachExtractor, max_failures: float, tell: Progress
) -> Extracted:
    """Extract every text that lacks it, those that failed before too; failures are recorded.

    Packs are recorded before the first call and committed whole: after a kill the same are asked
    again, whatever was added meanwhile, so that what was in flight comes from a cache.

    Args:
        store: Where texts come from and extractions go.
        extractor: Asks a model, with threads of its own.
        max_failures: Below 1 a share of the texts, judged from the twentieth on; from 1 a number.
        tell: Told of every text, as stage "extract".

    Raises:
        ModelError: The extractor gave something else than an outcome for every passage.
        TooManyFailures: More texts failed; what succeeded is kept.
        EndpointError: Every call would fail alike; what succeeded is kept.
    """
    name = extractor.fingerprint
    pending = store.unextracted(name)
    packs = _cut_packs(pending, store.packs(name), extractor.pack)
    if extractor.pack > 1:
        store.save_packs(name, packs)
    done = empty = failed = 0
    tell("extract", 0, len(pending))
    try:
        with closing(extractor.extract_each(_Packs(store, packs))) as results:
            for number, outcomes in results:
                check_outcomes(extractor, store.texts(packs[number]), outcomes)
                store.save_outcomes(name, dict(zip(packs[number], outcomes, strict=True)))
                found = [outcome for outcome in outcomes if isinstance(outcome, Extraction)]
                done += len(found)
                empty += sum(map(is_empty, found))
                failed += len(outcomes) - len(found)
                check_failures(failed, done + failed, max_failures)
                tell("extract", done + failed, len(pending))
    except BudgetExceeded as error:
        return Extracted(done, empty, failed, error)
    return Extracted(done, empty, failed)


def _cut_packs(pending: Sequence[str], waiting: Mapping[str, str], pack: int) -> list[list[str]]:
    """The pending texts as they are asked about together, by the hash of the first of each pack.

    Packs that wait stay as they are. A text that failed waits in a pack of its own: together with
    others it would get the same answer from a cache, and its neighbours need none. What is in no
    pack is cut into new ones.

    Args:
        pending: Hashes of the texts, sorted.
        waiting: The name of the pack of those that are in one.
        pack: How many are at most in a new pack.

    >>> _cut_packs(["a", "b", "c", "d", "e"], {"b": "b", "d": "b"}, 2)
    [['a', 'c'], ['b', 'd'], ['e']]
    """
    new = [digest for digest in pending if digest not in waiting]
    packs = {new[start]: new[start : start + pack] for start in range(0, len(new), pack)}
    for digest in pending:
        if digest in waiting:
            packs.setdefault(waiting[digest], []).append(digest)
    return [packs[name] for name in sorted(packs)]


def planned_packs(
    store: Store | None, passages: Iterable[Passage], fingerprint: str, pack: int
) -> list[list[Passage]]:
    """What adding `passages` would have extracted, in the packs that it would be asked in.

    Args:
        store: What is there already, None for nothing.
        passages: What would be added.
        fingerprint: The extractor's.
        pack: How many texts it asks about together.
    """
    there = store.passages() if store else []
    texts = {text_hash(passage): passage for passage in chain(there, passages)}
    for passage in store.passages(fingerprint) if store else ():
        texts.pop(text_hash(passage), None)  # two passages can have one text
    packs = _cut_packs(sorted(texts), store.packs(fingerprint) if store else {}, pack)
    return [[texts[digest] for digest in together] for together in packs]


def is_empty(extraction: Extraction) -> bool:
    """Whether nothing was found."""
    return not extraction.entities and not extraction.triples
