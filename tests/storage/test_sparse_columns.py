"""Learned words kept in an index: how near they are, weighed once, the same whatever happens."""

import json
import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from tiny_models import make_tiny_model
from worlds import ScriptedExtractor, island_world, live_snapshot, snapshot_bytes

from graphmem import GraphMemory, Passage, preset
from graphmem.embedding.hashing import HashingEmbedder
from graphmem.embedding.sparse import SparseEncoder, WordWeights, load_sparse
from graphmem.errors import IndexMismatchError, ModelError, StorageError
from graphmem.indexing import sparse as weighing
from graphmem.searching.word_search import WordScorer, sum_of_words
from graphmem.storage.current import open_current
from graphmem.storage.sparse_columns import SparseIndex, pack_words, unpack_words

PASSAGES = [
    Passage("a", "Ada Byron wrote the first query", "Ada Byron"),
    Passage("b", "The ship sails to port: Ada Byron", metadata={"year": 1833}),
    Passage("c", "the first passage to port"),
    Passage("d", "The query of Ada Byron sails", metadata={"year": 1834}),
]
QUESTION = "To which port sails Ada Byron?"
QUESTIONS = [QUESTION, "Who wrote the first query?", "Ada Byron?", "which ship"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return [str(make_tiny_model(folder / name, head="words", hidden=h)) for name, h in MODELS]


MODELS = (("one", 32), ("other", 64))


@pytest.fixture
def model(models):
    return models[0]


def memory_at(path, sparse=False):
    extractor = ScriptedExtractor(("Ada Byron",))
    return GraphMemory.open(path, embedder=HashingEmbedder(), extractor=extractor, sparse=sparse)


@pytest.fixture
def weighed(monkeypatch):
    """The texts that were weighed, in their order."""
    asked = []
    encode = SparseEncoder.encode

    def watched(self, texts):
        asked.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(SparseEncoder, "encode", watched)
    return asked


def some_words(rng, width=50):
    words = np.sort(rng.choice(width, rng.integers(0, 9), replace=False)).astype(np.int32)
    return WordWeights(words, rng.random(words.size).astype(np.float32) + np.float32(0.1))


def test_scores_are_products_of_all_weights():
    rng = np.random.default_rng(3)
    texts, question = [some_words(rng) for _ in range(40)], some_words(rng, 70)
    dense = np.zeros((40, 70))
    for row, found in enumerate(texts):
        dense[row, found.words] = found.weights
    asked = np.zeros(70)
    asked[question.words] = question.weights
    index = SparseIndex.build(texts)
    assert question.words.size and np.allclose(index.scores(question), dense @ asked, atol=1e-5)
    rows = np.array([2, 3, 17, 39])
    few = index.select(rows)
    assert np.array_equal(few.scores(question), index.scores(question)[rows])
    assert np.array_equal(few.select(np.array([1, 3])).scores(question), few.scores(question)[1::2])
    for found in texts:
        again = unpack_words(pack_words(found))
        assert np.array_equal(again.words, found.words)
        assert np.array_equal(again.weights, found.weights)
    assert SparseIndex.build([]).scores(question).tolist() == []


def test_a_search_uses_them_beside_bm25(tmp_path, model):
    memory_at(tmp_path / "with", model).add(PASSAGES)
    memory_at(tmp_path / "without").add(PASSAGES)
    with_words, without = memory_at(tmp_path / "with"), memory_at(tmp_path / "without")
    snapshot, encoder = with_words.retriever.snapshot, load_sparse(model)
    assert without.retriever.snapshot.sparse is None
    (words,) = encoder.encode([QUESTION])
    bm25 = snapshot.lexical.scores(QUESTION, 4)
    expected = (
        bm25 / bm25.max() + snapshot.sparse.scores(words) / snapshot.sparse.scores(words).max()
    )
    (found,) = WordScorer(snapshot).scores([QUESTION])
    assert np.allclose(found / bm25.max(), expected, atol=1e-5)
    for name in ("default", "walk"):
        rankings = [memory.search(QUESTION, 4, name) for memory in (with_words, without)]
        scores = [{hit.passage.id: hit.score for hit in r.hits} for r in rankings]
        assert scores[0].keys() == scores[1].keys() and scores[0] != scores[1]
        assert {ranking.route for ranking in rankings} == {"graph"}
    nameless = [memory.search("which ship", 4) for memory in (with_words, without)]
    assert nameless[0].route == nameless[1].route == "dense" and nameless[0] != nameless[1]
    for name in ("dense", "bm25", "rrf"):  # which have no part in it
        assert with_words.search(QUESTIONS, 4, name) == without.search(QUESTIONS, 4, name)


def test_a_question_finds_the_same_alone_and_among_many(tmp_path, model):
    memory = memory_at(tmp_path / "i", model)
    memory.add(PASSAGES)
    for name in ("default", "walk"):
        together = memory.search(QUESTIONS * 20, 4, name)
        alone = [memory.search(question, 4, name) for question in QUESTIONS]
        assert together == alone * 20


def test_words_that_no_passage_shares_leave_the_other_kind():
    none, some = np.zeros(3, dtype=np.float32), np.array([0, 2, 1], dtype=np.float32)
    assert sum_of_words(some, none).tolist() == sum_of_words(none, some).tolist() == some.tolist()
    assert sum_of_words(none, none).tolist() == none.tolist()


def test_a_filtered_and_a_weighed_search(tmp_path, model):
    memory = memory_at(tmp_path / "i", model)
    memory.add(PASSAGES)
    few = {"year": {"$gte": 1833}}
    assert {hit.passage.id for hit in memory.search(QUESTION, 4, filter=few).hits} == {"b", "d"}
    selected = memory._selecting(few).snapshot
    (words,), whole = load_sparse(model).encode([QUESTION]), memory.retriever.snapshot
    rows = [row for row in range(4) if whole.passage(row).id in "bd"]
    assert np.array_equal(selected.sparse.scores(words), whole.sparse.scores(words)[rows])
    config = replace(preset("default"), source_size=1)
    assert memory.search(QUESTION, 4, config).route == "graph"


def test_every_text_is_weighed_once(tmp_path, model, weighed):
    memory = memory_at(tmp_path / "i", model)
    memory.add(PASSAGES[:2])
    memory.add(PASSAGES)
    memory.add([*PASSAGES, Passage("again", PASSAGES[2].text)])
    texts = [f"{p.title}\n{p.text}" if p.title else p.text for p in PASSAGES]
    assert sorted(weighed) == sorted(texts)


def test_any_steps_give_the_bytes_of_a_fresh_index(tmp_path, model):
    memory_at(tmp_path / "once", model).add(PASSAGES)
    once = snapshot_bytes(tmp_path / "once")
    assert {f"sparse/{name}.npy" for name in ("indptr", "passages", "weights")} <= set(once)
    shuffled = PASSAGES[:]
    random.Random(3).shuffle(shuffled)
    steps = memory_at(tmp_path / "steps", model)
    steps.add([Passage("e", "a ship that is deleted"), Passage("a", "another text")])
    for passage in shuffled:
        steps.update([passage])
    steps.delete(ids=["e"])
    assert snapshot_bytes(tmp_path / "steps") == once
    assert steps.verify(deep=True).problems == []
    steps.compact()
    assert snapshot_bytes(tmp_path / "steps") == once
    with closing(sqlite3.connect(tmp_path / "steps" / "store.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM words").fetchone() == (4,)


def test_an_index_that_is_large_enough_to_be_extended_is_assembled(tmp_path, model):
    passages, names = island_world(1010)
    extractor = ScriptedExtractor(names)
    made = []
    for parts in ([passages], [passages[:1005], passages[1005:]]):
        path = tmp_path / str(len(parts))
        memory = GraphMemory.open(
            path, embedder=HashingEmbedder(), extractor=extractor, sparse=model
        )
        for part in parts:
            memory.add(part, workers=2)
        assert memory.stats()["passages_beside"] == 0
        made.append(snapshot_bytes(path))
    assert made[0] == made[1]


def test_workers_weigh_the_same(tmp_path, model, monkeypatch):
    passages, _ = island_world(40)
    for workers in (1, 2):
        monkeypatch.setattr(weighing, "_FEW", 0)
        monkeypatch.setattr(weighing, "BATCH", 8)
        memory_at(tmp_path / str(workers), model).add(passages, workers=workers)
    assert snapshot_bytes(tmp_path / "1") == snapshot_bytes(tmp_path / "2")


def test_an_index_goes_on_keeping_them_and_can_begin_later(tmp_path, model, weighed):
    memory_at(tmp_path / "fresh", model).add(PASSAGES)
    memory_at(tmp_path / "later").add(PASSAGES[:2])
    assert memory_at(tmp_path / "later").stats()["learned_words"] == 0
    del weighed[:]
    assert memory_at(tmp_path / "later", model).add([]).changed
    assert len(weighed) == 2
    memory_at(tmp_path / "later").add(PASSAGES)
    assert snapshot_bytes(tmp_path / "later") == snapshot_bytes(tmp_path / "fresh")
    assert memory_at(tmp_path / "later").stats()["learned_words"] > 4


def test_another_model_is_refused(tmp_path, models):
    memory_at(tmp_path / "i", models[0]).add(PASSAGES)
    with pytest.raises(IndexMismatchError, match="made with the sparse one:30:"):
        memory_at(tmp_path / "i", models[1]).add(PASSAGES)
    file = live_snapshot(tmp_path / "i") / "manifest.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "sparse": "one:30:0:older"}))
    with pytest.raises(IndexMismatchError, match="made with the sparse one:30:0:older"):
        memory_at(tmp_path / "i").search(QUESTION)


def test_a_killed_run_goes_on(tmp_path, model, monkeypatch, weighed):
    memory_at(tmp_path / "fresh", model).add(PASSAGES)
    monkeypatch.setattr(weighing, "BATCH", 2)
    stages = []

    def killed(stage, done, total):
        stages.append((stage, done, total))
        if (stage, done) == ("sparse", 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        memory_at(tmp_path / "i", model).add(PASSAGES, progress=killed)
    assert ("sparse", 0, 4) in stages
    del weighed[:]
    memory_at(tmp_path / "i", model).add(PASSAGES)
    assert len(weighed) == 2
    assert snapshot_bytes(tmp_path / "i") == snapshot_bytes(tmp_path / "fresh")


def test_an_index_without_passages_any_more(tmp_path, model):
    memory = memory_at(tmp_path / "i", model)
    memory.add(PASSAGES)
    memory.delete(ids=[passage.id for passage in PASSAGES])
    assert memory.search(QUESTION).hits == ()
    memory.add(PASSAGES[:1])
    assert memory.search(QUESTION).hits[0].passage.id == "a"


@pytest.mark.parametrize("name", ["indptr", "passages", "weights"])
def test_a_damaged_column_is_found_and_mended(tmp_path, model, name):
    memory = memory_at(tmp_path / "i", model)
    memory.add(PASSAGES)
    good = snapshot_bytes(tmp_path / "i")
    file = live_snapshot(tmp_path / "i") / "sparse" / f"{name}.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 0x55
    file.write_bytes(data)
    (problem,) = memory.verify().problems
    assert f"{name}.npy" in problem.place
    if name != "weights":  # a row that does not exist is not followed
        with pytest.raises(StorageError, match=f"{name}.npy"):
            memory_at(tmp_path / "i").search(QUESTION)
    memory.repair()
    assert memory.verify(deep=True).problems == []
    assert snapshot_bytes(tmp_path / "i") == good


@pytest.mark.parametrize(
    "column",
    [np.zeros(3), np.zeros(2, dtype=np.int64), np.zeros((2, 2), dtype=np.int32)],
    ids=["kind", "size", "shape"],
)
def test_a_column_of_another_kind_or_size_is_refused(tmp_path, model, column):
    memory_at(tmp_path / "i", model).add(PASSAGES)
    folder = live_snapshot(tmp_path / "i")
    np.save(folder / "sparse" / "passages.npy", column)
    said = json.loads((folder / "manifest.json").read_text())
    said["files"]["sparse/passages.npy"]["bytes"] = (
        (folder / "sparse" / "passages.npy").stat().st_size
    )
    (folder / "manifest.json").write_text(json.dumps(said))
    with pytest.raises(StorageError, match="sparse/"):
        memory_at(tmp_path / "i").search(QUESTION)


BAD = [
    b"12345",
    "text",
    pack_words(WordWeights(np.array([3, 1], np.int32), np.ones(2, np.float32))),
    pack_words(WordWeights(np.array([-3], np.int32), np.ones(1, np.float32))),
    pack_words(WordWeights(np.array([3], np.int32), np.array([np.nan], np.float32))),
]


@pytest.mark.parametrize("bad", BAD, ids=["size", "type", "order", "below 0", "no number"])
def test_damage_in_the_store_is_found_and_mended(tmp_path, model, bad):
    memory = memory_at(tmp_path / "i", model)
    memory.add(PASSAGES)
    good = snapshot_bytes(tmp_path / "i")
    with closing(sqlite3.connect(tmp_path / "i" / "store.sqlite")) as db:
        db.execute("UPDATE words SET data = ? WHERE hash = (SELECT min(hash) FROM words)", (bad,))
        db.commit()
    (problem,) = memory.verify().problems
    assert "words of text" in problem.what and "are no learned words" in problem.what
    memory.repair()
    assert memory.verify(deep=True).problems == []
    assert snapshot_bytes(tmp_path / "i") == good


def test_verify_computes_nothing_that_is_missing(tmp_path, model, weighed):
    memory = memory_at(tmp_path / "i", model)
    memory.add(PASSAGES)
    with closing(sqlite3.connect(tmp_path / "i" / "store.sqlite")) as db:
        db.execute("DELETE FROM words")
        db.commit()
    del weighed[:]
    (problem,) = memory.verify(deep=True).problems
    assert "the store lacks learned words of 4 texts" in problem.what
    assert weighed == []


def test_a_backup_holds_them(tmp_path, model):
    memory = memory_at(tmp_path / "i", model)
    memory.add(PASSAGES)
    memory.backup(tmp_path / "file.tar")
    GraphMemory.restore(tmp_path / "file.tar", tmp_path / "other")
    found = [memory_at(tmp_path / name).search(QUESTIONS, 4) for name in ("i", "other")]
    assert found[0] == found[1]


def test_a_model_that_fails_leaves_what_was_there(tmp_path, model, monkeypatch):
    memory = memory_at(tmp_path / "i", model)
    memory.add(PASSAGES[:2])
    before = snapshot_bytes(tmp_path / "i")

    def fails(self, texts):
        raise ModelError("no weights")

    with monkeypatch.context() as patch:
        patch.setattr(SparseEncoder, "encode", fails)
        with pytest.raises(ModelError, match="no weights"):
            memory.add(PASSAGES)
        with pytest.raises(ModelError, match="no weights"):
            memory.search(QUESTION)
        assert memory.search(QUESTION, 2, "bm25").hits
    assert snapshot_bytes(tmp_path / "i") == before
    memory.add(PASSAGES)
    assert open_current(tmp_path / "i").passages == 4


def test_columns_rise():
    rng = np.random.default_rng(5)
    index = SparseIndex.build([some_words(rng) for _ in range(9)])
    for start, end in pairwise(index.indptr.tolist()):
        assert (np.diff(index.passages[start:end]) > 0).all()
    assert index.indptr.dtype == np.int64 and index.passages.dtype == np.int32
