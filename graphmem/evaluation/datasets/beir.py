"""BEIR's folders with qrels, and MultiHop-RAG's news."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from graphmem.base.counts import counted
from graphmem.base.text import content_hash
from graphmem.errors import DataError
from graphmem.evaluation.datasets.dataset import Dataset, JudgedQuestion, strings
from graphmem.evaluation.datasets.published import Pool, need, read_items
from graphmem.sources.files import read_objects, read_records


def read_beir(path: Path, name: str = "", split: str = "test") -> Dataset:
    """BEIR: corpus.jsonl, queries.jsonl ({"_id", "text"}) and qrels/SPLIT.tsv with a header.

    Questions without a judgement in this split are left out. Passages with grade 0 are not gold.

    Raises:
        DataError: A file is missing or malformed.
    """
    qrels = path / "qrels" / f"{split}.tsv"
    if not qrels.is_file():
        found = ", ".join(sorted(f.stem for f in qrels.parent.glob("*.tsv"))) or "none"
        raise DataError(f"no such file; the splits here are: {found}", str(qrels))
    grades = _read_qrels(qrels)
    passages = tuple(p for p in read_records([_file(path, "corpus.jsonl")]) if p.text)
    questions, unjudged = [], 0
    for place, record in read_objects(str(_file(path, "queries.jsonl"))):
        id_ = str(record.get("_id", record.get("id", "")))
        if id_ not in grades:
            unjudged += 1
            continue
        gold = {passage: grade for passage, grade in grades[id_].items() if grade > 0}
        questions.append(
            JudgedQuestion(
                id=id_,
                text=need(record, "text", str, place).strip(),
                gold=tuple(gold),
                hops=len(gold),
                grades={passage: grade for passage, grade in gold.items() if grade != 1},
            )
        )
    notes = (
        (f"{counted(unjudged, 'question')} without a judgement in {split} left out",)
        if unjudged
        else ()
    )
    return Dataset(name or path.resolve().name, passages, tuple(questions), notes)


def _file(folder: Path, name: str) -> Path:
    found = [f for f in (folder / name, folder / f"{name}.gz") if f.is_file()]
    if not found:
        raise DataError(f"expected {name} in this folder", str(folder))
    return found[0]


def _read_qrels(path: Path) -> dict[str, dict[str, int]]:
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    lines = path.read_text("utf-8-sig").splitlines()
    for number, line in enumerate(lines, start=1):
        cells = line.split("\t")
        if number == 1 and cells[:1] == ["query-id"] or not line.strip():
            continue
        try:
            question, passage, grade = cells
            grades[question][passage] = int(float(grade))
        except ValueError as error:
            expected = "expected question, passage and grade, separated by tabs"
            raise DataError(expected, str(path), number) from error
    return dict(grades)


def read_multihop_rag(path: Path, name: str = "") -> Dataset:
    """MultiHop-RAG: a folder with corpus.json (articles) and MultiHopRAG.json (questions).

    An article is {"title", "body", "url", "source", "author", "category", "published_at"}, a
    question {"query", "answer", "question_type", "evidence_list"}; its gold passages are the
    articles of its evidence. Questions without evidence ("null_query") are left out.

    Raises:
        DataError: A file is missing or malformed, or an article of the evidence is not there.
    """
    pool, by_url = Pool(), {}
    for place, record in read_items(path / "corpus.json"):
        metadata: dict[str, Any] = {
            key: record[key]
            for key in ("source", "author", "category", "url", "published_at")
            if record.get(key)
        }
        id_ = pool.add(str(record.get("title") or ""), need(record, "body", str, place), **metadata)
        by_url[record.get("url")] = id_
    questions, null = [], 0
    for place, record in read_items(path / "MultiHopRAG.json"):
        evidence = need(record, "evidence_list", list, place)
        if not evidence:
            null += 1
            continue
        gold: dict[str, None] = {}
        for item in evidence:
            id_ = by_url.get(item.get("url")) or pool.find(str(item.get("title") or "")) or ""
            if not id_:
                raise place.error(f"the article {item.get('title')!r} is not in corpus.json")
            gold[id_] = None
        text = need(record, "query", str, place)
        questions.append(
            JudgedQuestion(
                id=content_hash(text)[:16],
                text=text.strip(),
                gold=tuple(gold),
                answers=strings(record.get("answer", []), "answer", place),
                type=str(record.get("question_type") or "").removesuffix("_query"),
                hops=len(gold),
            )
        )
    notes = (f"{counted(null, 'question')} without evidence left out",) if null else ()
    return Dataset(
        name or path.resolve().name, tuple(pool.passages.values()), tuple(questions), notes
    )
