"""What people are shown of language models: answers, estimates, what was used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from graphmem.base.counts import counted
from graphmem.rendering.text import plain
from graphmem.types import Answer, Hit, Ranking

if TYPE_CHECKING:
    from graphmem.extraction.estimate import Estimate
    from graphmem.indexing.indexer import IndexReport
    from graphmem.memory import GraphMemory

_FAILURES_SHOWN = 3


def estimate_text(estimate: Estimate) -> str:
    """What a run would take, for eyes."""
    first = f"to extract: {counted(estimate.passages, 'passage')}; nothing was computed or written"
    if not estimate.calls:
        return f"{first}\ncalls to a language model: none"
    money = "unknown: give --price IN,OUT, money for a million tokens"
    if estimate.cost is not None:
        money = f"{estimate.cost:,.2f}"
    return "\n".join(
        [
            first,
            f"calls:      {estimate.calls:,}, more where an answer must be asked for again",
            f"tokens in:  about {estimate.prompt_tokens:,}",
            f"tokens out: about {estimate.completion_tokens:,}",
            f"time:       about {_duration(estimate.seconds)}, "
            "where the model writes 50 tokens a second in each call",
            f"cost:       {money}",
        ]
    )


def _duration(seconds: float) -> str:
    """Seconds, minutes or hours.

    >>> _duration(30), _duration(600), _duration(9000)
    ('30 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def extraction_lines(memory: GraphMemory, report: IndexReport) -> Iterator[str]:
    """What a person should know of an extraction that is not complete."""
    from graphmem.extraction.imported import ImportedExtractor
    from graphmem.extraction.names_and_facts import NamesAndFacts

    extractor = memory.extractor
    facts = extractor.facts if isinstance(extractor, NamesAndFacts) else extractor
    if report.missing:
        yield (
            f"{counted(report.missing, 'passage')} could not be extracted, not in the index yet: "
            "run the same command again to try them again"
        )
        for identity, error in islice(memory.failures().items(), _FAILURES_SHOWN):
            yield f"  {plain(identity)}: {plain(error)}"
    if report.empty:
        yield f"{counted(report.empty, 'passage')} in which nothing was found"
    if isinstance(facts, ImportedExtractor):
        read = facts.report
        yield (
            f"imported from {counted(read.documents, 'entry')}; skipped: "
            f"{counted(read.malformed_documents, 'malformed entry')}, "
            f"{counted(read.malformed_triples, 'triple')} of other than three strings, "
            f"{counted(read.malformed_entities, 'entity')} of no string"
        )


def usage_text(usage: Sequence[Mapping[str, Any]]) -> str:
    """Calls and tokens by model and stage."""
    if not usage:
        return f"{'usage':<26}no calls to a language model\n"
    lines = [
        f"{'usage':<26}{plain(line['model'])}, {plain(line['stage']) or 'other'}: "
        f"{counted(line['calls'], 'call')}, {counted(line['prompt_tokens'], 'token')} in, "
        f"{line['completion_tokens']:,} out, {line['seconds']:.1f} s; "
        f"{counted(line['cached'], 'answer')} from the cache\n"
        for line in usage
    ]
    return "".join(lines)


def queries_text(asked: Mapping[str, Any]) -> str:
    """What was searched for after the question, "" for nothing."""
    lines = [f"searched again: {plain(query)}\n" for query in asked.get("queries", [])[1:]]
    if asked.get("enough"):
        lines.append("the model found the evidence sufficient\n")
    return "".join(lines)


def sources_text(answer: Answer, ranking: Ranking) -> str:
    """What an answer rests on, by the numbers in its brackets, and what contradicts it."""
    cited = [hit for hit in ranking.hits if hit.passage.id in answer.passages]
    lines = []
    if cited:
        lines.append("sources:")
    elif answer.found:
        lines.append("sources: the model named none; it read:")
        cited = list(ranking.hits)
    else:
        names = ", ".join(f"[{plain(hit.passage.id)}]" for hit in ranking.hits)
        lines.append(f"read: {names or 'no passage'}")
    lines += [_source(hit) for hit in cited]
    if answer.conflicts:
        lines.append("the passages contradict each other:")
    for claim in answer.conflicts:
        names = ", ".join(f"[{plain(name)}]" for name in claim.passages)
        lines.append(f"  - {plain(claim.text)} {names}")
    return "\n".join(lines)


def _source(hit: Hit) -> str:
    title = plain(hit.passage.title)
    return f"{hit.rank:>2}. {title + ' ' if title else ''}[{plain(hit.passage.id)}]"
