"""Results for programs: JSON values, and their text, which is always valid JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import regex

from graphmem.types import Answer, Hit, Passage, Ranking

if TYPE_CHECKING:
    from graphmem.explaining.explain import Explanation, HitExplanation
    from graphmem.extraction.estimate import Estimate
    from graphmem.indexing.indexer import IndexReport
    from graphmem.sources.options import ReadReport

_JSON_CONTROL = regex.compile(r"[\x7f-\x9f\p{Cs}]")  # the others are escaped in any JSON


def json_text(value: Any, indent: int | None = None) -> str:
    r"""JSON in Unicode, with every control character escaped.

    >>> json_text({"title": "Åsa\x9b31m"})
    '{"title": "Åsa\\u009b31m"}'
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _JSON_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def index_json(report: IndexReport, read: ReadReport) -> dict[str, Any]:
    """Counts of an index run, and what it left out."""
    said = asdict(read)
    del said["whole"]
    counts = ("files", "records", "passages", "skipped_empty", "skipped_files")
    return {**asdict(report), "read": {name: said.pop(name) for name in counts}, **said}


def passage_json(passage: Passage) -> dict[str, Any]:
    """All fields of a passage."""
    return {
        "id": passage.id,
        "title": passage.title,
        "text": passage.text,
        "document": passage.document,
        "position": passage.position,
        "metadata": dict(passage.metadata),
    }


def _hit_json(hit: Hit) -> dict[str, Any]:
    said = {"rank": hit.rank, "score": hit.score, **passage_json(hit.passage)}
    return {**said, "copies": list(hit.copies)} if hit.copies else said


def ranking_json(ranking: Ranking) -> dict[str, Any]:
    """A ranking with all its hits."""
    return {
        "question": ranking.question,
        "route": ranking.route,
        **reranker_json(ranking),
        "entities": list(ranking.entities),
        "hits": [_hit_json(hit) for hit in ranking.hits],
    }


def reranker_json(ranking: Ranking) -> dict[str, Any]:
    """Which reranker ordered how many hits; nothing where there was none."""
    if not ranking.reranker:
        return {}
    return {"reranker": ranking.reranker, "reranked": ranking.reranked}


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """An explanation; each hit carries its shares and its path."""
    return {
        "question": explanation.ranking.question,
        "route": explanation.ranking.route,
        **reranker_json(explanation.ranking),
        "entities": list(explanation.ranking.entities),
        "seeds": [asdict(share) for share in explanation.seeds],
        "hits": [_reason_json(reason) for reason in explanation.hits],
    }


def _reason_json(reason: HitExplanation) -> dict[str, Any]:
    return {
        **_hit_json(reason.hit),
        "entity_share": reason.entity_share,
        "passage_share": reason.passage_share,
        "shares": [asdict(share) for share in reason.shares],
        "start": asdict(reason.start) if reason.start else None,
        "path": [asdict(step) for step in reason.path],
        "evidence": [asdict(part) for part in reason.evidence],
        "asked_again": reason.asked_again,
        "reread": asdict(reason.reread) if reason.reread else None,
        "weight": reason.weight,
    }


def estimate_json(estimate: Estimate) -> dict[str, Any]:
    """What a run would take."""
    return asdict(estimate)


def answer_json(answer: Answer, ranking: Ranking) -> dict[str, Any]:
    """An answer, the passages it rests on, and all that were read."""
    hits = {hit.passage.id: hit for hit in ranking.hits}
    return {
        "question": answer.question,
        "answer": answer.text,
        "found": answer.found,
        "route": ranking.route,
        **reranker_json(ranking),
        "sources": [
            {"rank": hits[i].rank, "id": i, "title": hits[i].passage.title} for i in answer.passages
        ],
        "conflicts": [
            {"claim": claim.text, "passages": list(claim.passages)} for claim in answer.conflicts
        ],
        "read": [hit.passage.id for hit in ranking.hits],
    }
