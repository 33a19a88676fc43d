"""The hard setting: corpora joined by text, pieces folded, recall of the joined ids."""

import json
from pathlib import Path

import pytest

from graphmem.types import Passage

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"


@pytest.fixture
def hard(monkeypatch):
    monkeypatch.syspath_prepend(str(PIPELINES))
    import hard_setting

    return hard_setting


def write(folder, passages, questions=()):
    folder.mkdir()
    for name, records in (("corpus", passages), ("questions", questions)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


@pytest.fixture
def data(tmp_path):
    """Sets a and b share the text of a/2; the other corpus has that of a/1, and three more."""
    folder = tmp_path / "data"
    folder.mkdir()
    alien = {"id": "1", "title": "Alien", "text": "Alien was made by Ridley Scott."}
    scott = {"id": "2", "title": "Ridley Scott", "text": "Ridley Scott is of South Shields."}
    asked = {"id": "q", "question": "Where is the maker of Alien from?", "gold": ["1", "2"]}
    write(folder / "a", [alien, scott], [asked])
    write(
        folder / "b",
        [{**scott, "id": "9"}],
        [{"id": "q", "question": "Bread number?", "gold": ["9"]}],
    )
    more = [{"id": str(i), "title": f"T{i}", "text": f"Bread number {i}."} for i in range(3)]
    write(folder / "wiki", [{**alien, "id": "77", "text": alien["text"] + " "}, *more])
    return folder


def test_one_text_is_one_passage_and_gold_leads_to_it(hard, data):
    corpus = hard.join(data, ("a", "b"), distractors="wiki")
    assert corpus.places == {"a/1": "a/1", "a/2": "a/2", "b/9": "a/2"}
    ids = [passage.id for passage in corpus.passages]
    assert ids[:2] == ["a/1", "a/2"] and sorted(ids[2:]) == ["wiki/0", "wiki/1", "wiki/2"]


def test_a_larger_corpus_holds_every_smaller_one(hard, data):
    sizes = [
        {p.id for p in hard.join(data, ("a", "b"), size, "wiki").passages} for size in (1, 3, 4, 0)
    ]
    assert [len(ids) for ids in sizes] == [2, 3, 4, 5]
    assert all(small < large for small, large in zip(sizes, sizes[1:], strict=False))


def test_the_key_is_of_the_content_not_of_the_order(hard):
    one, two = Passage("1", "Alien."), Passage("2", "Scott.")
    assert hard.key([one, two]) == hard.key([two, one]) != hard.key([one])


def test_pieces_are_folded_into_the_best_one(hard):
    pieces = [Passage("x#1", "b", document="x"), Passage("y", "c"), Passage("x#0", "a", "", "x")]
    assert hard.fold(pieces) == ["x", "y"]


def test_recall_is_of_the_joined_passages(hard, data, make, tmp_path):
    corpus = hard.join(data, ("a", "b"), distractors="wiki")
    memory = make(tmp_path / "hard.index", ("Alien", "Ridley Scott", "South Shields"))
    memory.add(corpus.passages)
    scores = {name: hard.evaluate(memory, data / name, corpus.places) for name in ("a", "b")}
    assert set(scores["a"]) == {"walk", "default", "dense", "bm25"}
    assert scores["a"]["walk"] == {"recall@2": 100, "recall@5": 100, "recall@10": 100}
    assert scores["b"]["bm25"]["recall@2"] == 0  # three others speak of bread
    assert "| a | 100.0 / 100.0 / 100.0 |" in hard.table(5, scores)
