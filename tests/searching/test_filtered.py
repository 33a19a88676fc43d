"""A filtered search is a search among the passages that the filter chooses, and names no other."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from cli_helpers import run, write_lines
from hypothesis import given, settings
from hypothesis import strategies as st
from test_hipporag import PASSAGES, QUESTION, Extractor
from worlds import live_snapshot

from graphmem import Extraction, GraphMemory, Passage, Triple
from graphmem.config import PRESETS, RetrievalConfig
from graphmem.errors import ConfigError
from graphmem.storage.current import open_current
from graphmem.storage.selection import Selection, select

NAMES = ("Ada", "Bob", "Cid", "Turin", "Oslo")
# What ranks without BM25, whose rarity of words stays that of the whole index.
WORDLESS = [
    "dense",
    "linearrag",
    "hipporag",
    "hipporag2",
    RetrievalConfig(lexical_share=0, word_preference=0, nameless_words=0, candidates=0),
]


class KnowsEachOther:
    """Finds the names above, and that each two in a row know each other."""

    fingerprint = "knows-each-other:1"

    def extract(self, passages):
        found = [[w for w in p.text.strip(".").split() if w in NAMES] for p in passages]
        return [
            Extraction(
                tuple(dict.fromkeys(names)),
                tuple(Triple(a, "knows", b) for a, b in zip(names, names[1:], strict=False)),
            )
            for names in found
        ]


def made(path, passages):
    options = {"embedder": "hashing", "extractor": KnowsEachOther(), "sentences": True}
    memory = GraphMemory.open(path, **options)
    memory.add(passages)
    return memory


def by_name(snapshot):
    """What a snapshot says of its entities, without their rows."""
    labels = [snapshot.labels[row] for row in range(len(snapshot.labels))]
    weights = snapshot.graph.weights.toarray()
    edges = {
        (labels[e], snapshot.passage(int(p)).id): round(float(weights[e, p]), 5)
        for e, p in zip(*np.nonzero(weights), strict=True)
    }
    subjects = {
        snapshot.passage(p).id: labels[row] if row >= 0 else ""
        for p, row in enumerate(snapshot.subjects.tolist())
    }
    return dict(zip(labels, snapshot.df.tolist(), strict=True)), edges, subjects


texts = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(
    lambda names: f"{' '.join(names)} met."
)
passages_and_choice = st.lists(st.tuples(texts, st.booleans()), min_size=2, max_size=7).filter(
    lambda drawn: any(chosen for _, chosen in drawn)
)


@settings(max_examples=25)
@given(passages_and_choice)
def test_a_selection_is_an_index_of_its_passages_alone(tmp_path_factory, drawn):
    folder = tmp_path_factory.mktemp("selection")
    passages = [
        Passage(f"p{i}", text, metadata={"in": chosen}) for i, (text, chosen) in enumerate(drawn)
    ]
    whole = made(folder / "whole", passages)
    alone = made(folder / "alone", [p for p in passages if p.metadata["in"]])
    selected, fresh = select(open_current(whole.path), {"in": True}), open_current(alone.path)
    assert by_name(selected) == by_name(fresh)
    assert selected.copied.tolist() == fresh.copied.tolist()
    every = np.arange(fresh.passages)
    assert np.array_equal(selected.vectors.take(every), fresh.vectors.take(every))
    for preset in WORDLESS:
        for question in ("Who knows Ada in Turin?", "Does Bob know Cid?"):
            if preset in ("hipporag", "hipporag2") and fresh.facts is None:
                continue
            there = whole.search(question, 9, preset, filter={"in": True})
            here = alone.search(question, 9, preset)
            assert (there.route, set(there.entities)) == (here.route, set(here.entities))
            assert set(there.facts) == set(here.facts)
            scores = {hit.passage.id: hit.score for hit in there.hits}
            expected = {hit.passage.id: hit.score for hit in here.hits}
            assert scores == pytest.approx(expected, abs=1e-4), (preset, question)


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    path = tmp_path_factory.mktemp("filtered") / "chain.index"
    memory = GraphMemory.open(path, embedder="hashing", extractor=Extractor(), sentences=True)
    lands = {"film": "space", "bread": "kitchen"}
    memory.add(
        Passage(p.id, p.text, p.title, metadata={"land": lands.get(p.id, "england"), "length": i})
        for i, p in enumerate(PASSAGES)
    )
    return memory


FILTERS = [
    ({"land": "england"}, {"man", "town", "county"}),
    ({"length": {"$lt": 2}}, {"film", "man"}),
    ({"$or": [{"land": "kitchen"}, {"land": "space"}]}, {"film", "bread"}),
]


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize(("where", "inside"), FILTERS)
def test_nothing_from_outside_is_named(chain, preset, where, inside):
    found = chain.explain(QUESTION, 9, preset, filter=where)
    assert {hit.passage.id for hit in found.ranking.hits} <= inside
    assert found.ranking == chain.search(QUESTION, 9, preset, filter=where)
    text = " ".join(f"{p.title} {p.text}" for p in PASSAGES if p.id in inside).lower()
    nodes = [share.seed for share in found.seeds]
    for reason in found.hits:
        nodes += [share.seed for share in reason.shares]
        nodes += [node for step in reason.path for node in (step.source, step.target)]
        words = " ".join(step.sentence for step in reason.path).lower().split()
        assert all(word in text for word in words)
        assert reason.asked_again.lower() in text
    assert all(node.id in inside for node in nodes if node.kind == "passage")
    assert all(node.name.lower() in text for node in nodes if node.kind == "entity")
    assert all(name.lower() in text for name in found.ranking.entities)
    assert all(fact.subject in text and fact.object in text for fact in found.ranking.facts)


@pytest.mark.parametrize(("where", "inside"), FILTERS)
def test_dense_is_brute_force_over_what_is_chosen(chain, where, inside):
    every = chain.search(QUESTION, 9, "dense").hits
    found = chain.search(QUESTION, 9, "dense", filter=where).hits
    expected = [(hit.passage, hit.score) for hit in every if hit.passage.id in inside]
    assert [(hit.passage, hit.score) for hit in found] == expected


def test_many_questions_and_threads_find_what_one_finds(chain):
    where = FILTERS[0][0]
    alone = [chain.search(q, 5, filter=where) for q in (QUESTION, "What is Tyne and Wear?")]
    assert chain.search([r.question for r in alone], 5, filter=where) == alone
    shared = GraphMemory.open(chain.path, embedder="hashing")
    asked = [(r.question, where) for r in alone] * 8
    asked += [(QUESTION, other) for other, _ in FILTERS] * 8
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda a: shared.search(a[0], 5, filter=a[1]), asked))
    assert found == [chain.search(question, 5, filter=where) for question, where in asked]


def test_a_filter_that_chooses_nothing_or_everything(chain):
    assert not chain.search(QUESTION, filter={"land": "mars"}).hits
    assert not chain.explain(QUESTION, filter={"land": "mars"}).hits
    every = chain.search(QUESTION, filter={"length": {"$gte": 0}})
    assert every == chain.search(QUESTION) == chain.search(QUESTION, filter={})
    whole = open_current(chain.path)
    assert select(whole, {"length": {"$gte": 0}}) is whole
    assert isinstance(select(whole, {"land": "space"}), Selection)


@pytest.mark.parametrize("where", [{"a": {"$x": 1}}, {"a": {1, 2}}, [("a", 1)]])
def test_what_is_no_filter_is_refused(chain, where):
    with pytest.raises(ConfigError, match="filter"):
        chain.search(QUESTION, filter=where)


def test_what_changes_is_seen_by_filters_too(tmp_path):
    memory = made(tmp_path / "i", [Passage("1", "Ada met Bob.", metadata={"by": "a"})])
    assert memory.search("Where is Ada?", filter={"by": "b"}).hits == ()
    memory.add([Passage("2", "Ada is in Turin.", metadata={"by": "b"})])
    assert [h.passage.id for h in memory.search("Where is Ada?", filter={"by": "b"}).hits] == ["2"]
    memory.update([Passage("1", "Ada met Bob.", metadata={"by": "b"})])
    assert len(memory.search("Where is Ada?", filter={"by": "b"}).hits) == 2
    memory.delete(where={"by": {"$in": ["b", "c"]}})
    assert memory.search("Where is Ada?", filter={"by": "b"}).hits == ()


def test_a_reader_refreshes_when_asked_or_always(tmp_path):
    writer = made(tmp_path / "i", [Passage("1", "Ada met Bob.")])
    kept, always = (
        GraphMemory.open(writer.path, embedder="hashing", auto_refresh=auto)
        for auto in (False, True)
    )
    assert len(kept.search("Where is Ada?").hits) == len(always.search("Where is Ada?").hits) == 1
    assert not kept.refresh()
    before = live_snapshot(writer.path)
    writer.add([Passage("2", "Ada is in Turin.")])
    assert live_snapshot(writer.path) != before
    assert len(kept.search("Where is Ada?").hits) == 1
    assert len(always.search("Where is Ada?").hits) == 2
    assert kept.refresh() and not kept.refresh()
    assert len(kept.search("Where is Ada?").hits) == 2


def test_on_the_command_line(tmp_path):
    records = [
        {"id": "1", "text": "Ada met Bob in Turin.", "by": "a", "year": 1843},
        {"id": "2", "text": "Ada met Cid in Oslo.", "by": "b", "year": 1850},
        {"id": "3", "text": "Ada met nobody.", "by": "b"},
    ]
    index = tmp_path / "i"
    run(
        *("index", write_lines(tmp_path / "c.jsonl", records), "--index", index),
        *("--embedder", "hashing"),
    )

    def found(*where):
        options = [part for condition in where for part in ("--where", condition)]
        said = run("search", index, "Whom did Ada meet?", "--json", *options).output
        return sorted(hit["id"] for hit in json.loads(said)["hits"])

    assert found() == ["1", "2", "3"]
    assert found("by=b") == ["2", "3"]
    assert found("by=b", "year>=1850") == ["2"]
    assert found("year<1850") == ["1"] and found("year!=1850") == ["1", "3"]
    assert found('{"$or": [{"by": "a"}, {"year": {"$gt": 1849}}]}') == ["1", "2"]
    assert "[2]" in run("explain", index, "Whom did Ada meet?", "--where", "year>1849").output
    questions = write_lines(tmp_path / "q.jsonl", [{"id": "q", "question": "Whom did Ada meet?"}])
    run("search", index, "--queries", questions, "--run", tmp_path / "r", "--where", "by=a")
    assert [line.split()[2] for line in (tmp_path / "r").read_text().splitlines()] == ["1"]
    assert "among what --where" in run("search", index, "Ada?", "--where", "by=z").output
    assert "$near" in run("search", index, "Ada?", "--where", '{"a":{"$near":1}}', code=2).output
    run("delete", index, "--where", "year<1850")
    assert found() == ["2", "3"]
