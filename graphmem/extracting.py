"""Extraction passage by passage, in this process: each success is committed as it comes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import overload

from graphmem.errors import BudgetExceeded
from graphmem.failures import check_failures
from graphmem.protocols import EachExtractor, Progress
from graphmem.store import Store, text_hash
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


class _Texts(Sequence[Passage]):
    """The texts of these hashes, read when their turn comes."""

    def __init__(self, store: Store, hashes: Sequence[str]) -> None:
        self._store = store
        self._hashes = hashes

    def __len__(self) -> int:
        return len(self._hashes)

    @overload
    def __getitem__(self, row: int) -> Passage: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[Passage]: ...

    def __getitem__(self, row: int | slice) -> Passage | Sequence[Passage]:
        if isinstance(row, slice):
            return _Texts(self._store, self._hashes[row])
        return self._store.texts([self._hashes[row]])[0]


def extract_each(
    store: Store, extractor: EachExtractor, max_failures: float, tell: Progress
) -> Extracted:
    """Extract every text that lacks it, those that failed before too; failures are recorded.

    Args:
        store: Where texts come from and extractions go.
        extractor: Asks a model, with threads of its own.
        max_failures: Below 1 a share of the texts, judged from the twentieth on; from 1 a number.
        tell: Told of every text, as stage "extract".

    Raises:
        TooManyFailures: More texts failed; what succeeded is kept.
        EndpointError: Every call would fail alike; what succeeded is kept.
    """
    name = extractor.fingerprint
    pending = set(store.unextracted(name))
    handed = _whole_packs(store, pending, extractor.pack)
    done = empty = failed = 0
    tell("extract", 0, len(pending))
    try:
        with closing(extractor.extract_each(_Texts(store, handed))) as outcomes:
            for position, outcome in outcomes:
                if handed[position] not in pending:
                    continue
                if isinstance(outcome, Extraction):
                    store.save_extraction(handed[position], name, outcome)
                    done += 1
                    empty += is_empty(outcome)
                else:
                    store.save_failure(handed[position], name, str(outcome))
                    failed += 1
                    check_failures(failed, done + failed, max_failures)
                tell("extract", done + failed, len(pending))
    except BudgetExceeded as error:
        return Extracted(done, empty, failed, error)
    return Extracted(done, empty, failed)


def _whole_packs(store: Store, pending: set[str], pack: int) -> list[str]:
    """Hashes of the pending texts, with all others of their packs.

    Packs are cut from all texts, whatever is done: then a run that was killed asks again what was
    asked before, and the answers come from the cache.
    """
    if pack == 1:
        return sorted(pending)
    everything = store.unextracted("")  # the name of no extractor
    packs = [everything[start : start + pack] for start in range(0, len(everything), pack)]
    return [digest for together in packs if pending.intersection(together) for digest in together]


def sample_unextracted(
    store: Store | None, passages: Iterable[Passage], fingerprint: str, most: int = 200
) -> tuple[list[Passage], int]:
    """A sample of the texts that adding `passages` would have extracted, and how many they are.

    Args:
        store: What is there already, None for nothing.
        passages: What would be added.
        fingerprint: The extractor's.
        most: Size of the sample, which is drawn evenly and always the same.
    """
    there = store.passages() if store else []
    extracted = {text_hash(p) for p in store.passages(fingerprint)} if store else set()
    rng = random.Random(0)
    seen = set(extracted)
    sample: list[Passage] = []
    for passage in chain(there, passages):
        digest = text_hash(passage)
        if digest in seen:
            continue
        seen.add(digest)
        count = len(seen) - len(extracted)
        if count <= most:
            sample.append(passage)
        elif (place := rng.randrange(count)) < most:
            sample[place] = passage
    return sample, len(seen) - len(extracted)


def is_empty(extraction: Extraction) -> bool:
    """Whether nothing was found."""
    return not extraction.entities and not extraction.triples
