"""The border of every extractor: what it answers is checked before it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from graphmem.base.counts import counted
from graphmem.errors import ExtractionError, ModelError
from graphmem.protocols import EachExtractor, Extractor
from graphmem.types import Extraction, Passage, Triple

Outcome = TypeVar("Outcome", bound=Extraction | ExtractionError | ModelError)


def checked_extractions(extractor: Extractor, passages: Sequence[Passage]) -> list[Extraction]:
    """Extract passages, and refuse what could not be stored or read again.

    Args:
        extractor: Any, also one that is not ours.
        passages: n passages.

    Returns:
        n extractions.

    Raises:
        ModelError: They are not n extractions of strings that UTF-8 can hold; names the passage
            and the extractor. Or the extractor's own errors.
    """
    found = extractor.extract(passages)
    check_outcomes(extractor, passages, found, (Extraction,))
    return list(found)


def check_outcomes(
    extractor: Extractor | EachExtractor,
    passages: Sequence[Passage],
    outcomes: Sequence[Any],
    kinds: tuple[type, ...] = (Extraction, ExtractionError, ModelError),
) -> None:
    """Refuse outcomes that are not one for each passage, or of another kind.

    Raises:
        ModelError: They are; names the passage and the extractor.
    """
    if not isinstance(outcomes, list | tuple) or len(outcomes) != len(passages):
        count = len(outcomes) if isinstance(outcomes, list | tuple) else f"{type(outcomes)} and no"
        raise ModelError(
            f"extractor {extractor.fingerprint}: gave {count} extractions for "
            f"{counted(len(passages), 'passage')}, the first of them {passages[0].id!r}"
        )
    for passage, outcome in zip(passages, outcomes, strict=True):
        fault = None if isinstance(outcome, kinds) else f"{type(outcome).__name__}, no Extraction"
        if isinstance(outcome, Extraction):
            fault = _fault(outcome)
        if fault:
            raise ModelError(
                f"extractor {extractor.fingerprint}: gave {fault}, for the passage {passage.id!r}"
            )


def _fault(extraction: Extraction) -> str | None:
    """What is wrong with an extraction, None where it can be stored."""
    if not isinstance(extraction.entities, list | tuple):
        return "entities that are no list"
    if not isinstance(extraction.triples, list | tuple):
        return "triples that are no list"
    strings: list[Any] = list(extraction.entities)
    for triple in extraction.triples:
        if not isinstance(triple, Triple):
            return f"{triple!r} among the triples"
        strings += (triple.subject, triple.predicate, triple.object)
    for string in strings:
        if not isinstance(string, str):
            return f"{string!r} where a string is expected"
        try:
            string.encode()
        except UnicodeEncodeError:
            return f"{string!r}, which holds a lone surrogate"
    return None
