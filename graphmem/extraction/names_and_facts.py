"""Names by one extractor, facts by another: the better of both."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace

from graphmem.extraction.checked import checked_extractions
from graphmem.extraction.openie import LlmExtractor, Outcome
from graphmem.protocols import Extractor
from graphmem.types import Extraction, Passage


class NamesAndFacts:
    """Entities by `names`, triples by `facts`; what else `facts` lists as entities is left out.

    The subjects of triples become names of the graph all the same (graph.py). With the
    entities that GPT-3.5 listed too, recall fell (docs/figures.md).

    Args:
        names: Finds the entities.
        facts: Finds the triples.
    """

    def __init__(self, names: Extractor, facts: Extractor) -> None:
        """Take both."""
        self.names = names
        self.facts = facts

    @property
    def fingerprint(self) -> str:
        """Those of both."""
        return f"{self.names.fingerprint}+{self.facts.fingerprint}"

    def extract(self, passages: Sequence[Passage]) -> list[Extraction]:
        """Extract every passage.

        Raises:
            DataError: As from `facts`.
            ModelError: As from either.
        """
        return self._joined(passages, checked_extractions(self.facts, passages))

    def _joined(self, passages: Sequence[Passage], facts: Sequence[Extraction]) -> list[Extraction]:
        names = checked_extractions(self.names, passages)
        return [replace(n, triples=f.triples) for n, f in zip(names, facts, strict=True)]


class NamesAndModelFacts(NamesAndFacts):
    """The same where a model finds the triples, and passages succeed or fail one by one."""

    facts: LlmExtractor

    @property
    def pack(self) -> int:
        """That of the model's extractor."""
        return self.facts.pack

    def extract_each(
        self, packs: Sequence[Sequence[Passage]]
    ) -> Generator[tuple[int, list[Outcome]], None, None]:
        """Number of a pack and the outcomes of its passages, as they come.

        Raises:
            BudgetExceeded: As from `facts`.
            EndpointError: As from `facts`.
        """
        with closing(self.facts.extract_each(packs)) as results:
            for number, outcomes in results:
                good = {
                    i: found for i, found in enumerate(outcomes) if isinstance(found, Extraction)
                }
                pack = packs[number] if good else ()  # read from the store
                joined = self._joined([pack[i] for i in good], list(good.values()))
                good.update(zip(good, joined, strict=True))
                yield number, [good.get(i, outcome) for i, outcome in enumerate(outcomes)]
