"""A source that adds many passages to be found weighs less, where `source_size` says so."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import HOPS, TINY, TINY_NAMES, ScriptedExtractor

from graphmem import GraphMemory, Passage
from graphmem.config import PRESETS, RetrievalConfig
from graphmem.graph.entity_graph import context_weights
from graphmem.rendering.json import explanation_json
from graphmem.rendering.text import explanation_text
from graphmem.storage.snapshot import source_of
from graphmem.storage.weighted import source_weights, weigh_sources

ROUTES = ("default", "walk", "dense", "bm25")
FLOOD = [
    Passage(
        f"flood-{i}",
        f"Ridley Scott, Alien, South Shields: in which county is the birthplace, maker {i}?",
        ("Ridley Scott", "South Shields", "")[i % 3],
        metadata={"source": "flood"},
    )
    for i in range(60)
]


def made(path, passages, **options):
    extractor = ScriptedExtractor([*TINY_NAMES, "Quindle"])
    memory = GraphMemory.open(path, embedder="hashing", extractor=extractor, **options)
    memory.add(passages)
    return memory


def explained(memory, name, k):
    return memory.explain(HOPS, k, weighing(name)).hits


def ids(ranking):
    return [hit.passage.id for hit in ranking.hits]


def weighing(name, size=4):
    return replace(PRESETS[name], source_size=size)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    return made(tmp_path_factory.mktemp("honest") / "i", TINY)


@pytest.fixture(scope="module")
def flooded(tmp_path_factory):
    return made(tmp_path_factory.mktemp("flooded") / "i", [*TINY, *FLOOD])


@pytest.mark.parametrize("name", ROUTES)
def test_a_flood_is_among_the_first_hits_without_and_not_with_it(flooded, honest, name):
    def poisoned(preset):
        return [i for i in ids(flooded.search(HOPS, 2, preset)) if i.startswith("flood")]

    assert poisoned(name)
    assert not poisoned(weighing(name))
    found, wanted = flooded.search(HOPS, 2, weighing(name)), honest.search(HOPS, 2, name)
    assert set(ids(found)) == set(ids(wanted))


def test_names_are_as_rare_as_without_the_flood(flooded, honest):
    def df(snapshot):
        return {snapshot.labels[row]: int(snapshot.df[row]) for row in range(snapshot.entities)}

    before = df(honest.retriever.snapshot)
    after = df(flooded.retriever.weighed(weighing("walk")).snapshot)
    assert {name: after[name] for name in before} == before
    assert df(flooded.retriever.snapshot)["Ridley Scott"] > before["Ridley Scott"] + 50


@pytest.mark.parametrize("name", ["default", "walk", "bm25"])
def test_what_only_a_large_source_says_is_found(tmp_path, name):
    last = Passage("flood-last", "Quindle rows a boat.", metadata={"source": "flood"})
    memory = made(tmp_path / "i", [*TINY, *FLOOD, last])
    assert ids(memory.search("Who is Quindle?", 1, weighing(name))) == ["flood-last"]


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("count", [1, 2])
def test_sources_of_one_size_weigh_the_same_bit_by_bit(tmp_path, name, count):
    passages = [replace(p, document=f"d{i % count}", position=i) for i, p in enumerate(TINY)]
    memory = made(tmp_path / "i", passages)
    plain, weighed = (memory.search(HOPS, 8, config) for config in (name, weighing(name, 1)))
    assert plain == weighed


def test_small_sources_weigh_the_same_whatever_they_are(honest):
    assert honest.search(HOPS, 8, weighing("default")) == honest.search(HOPS, 8)


@pytest.mark.parametrize("name", ROUTES)
def test_explained_and_batched_as_searched(flooded, name):
    config = weighing(name)
    alone = flooded.search(HOPS, 5, config)
    assert flooded.search(["Who made Alien?", HOPS], 5, config)[1] == alone
    explanation = flooded.explain(HOPS, 5, config)
    assert explanation.ranking == alone
    for hit in explanation.hits[:2]:
        steps = [hit.start, *(step.target for step in hit.path)]
        assert not [node for node in steps if node and node.id.startswith("flood")]


def test_a_filter_counts_the_chosen_alone(tmp_path):
    """Of what is chosen all sources are of one passage: the rest of the flood is not there."""
    flood = [replace(p, metadata={"source": "flood", "last": i == 59}) for i, p in enumerate(FLOOD)]
    memory = made(tmp_path / "i", [*(replace(p, metadata={"last": True}) for p in TINY), *flood])
    chosen = {"last": True}
    with_it = memory.search(HOPS, 9, weighing("walk"), filter=chosen)
    assert with_it == memory.search(HOPS, 9, "walk", filter=chosen)
    assert "flood-59" in ids(with_it)


def test_a_filter_that_leaves_the_source_out_ranks_as_without_it(flooded, honest):
    words_apart = RetrievalConfig(lexical_share=0, word_preference=0, candidates=0)
    left = flooded.search(HOPS, 8, words_apart, filter={"source": {"$ne": "flood"}})
    assert ids(left) == ids(honest.search(HOPS, 8, words_apart))


def test_a_reranker_reads_once_what_was_weighed(tmp_path):
    memory = made(tmp_path / "i", [*TINY, *FLOOD], reranker="words", rerank_depth=3)
    found = memory.search(HOPS, 5, weighing("walk"))
    assert found.reranked == 3
    assert not [i for i in ids(found)[:3] if i.startswith("flood")]


def test_an_index_of_nothing_is_weighed(tmp_path):
    memory = made(tmp_path / "i", TINY[:1])
    memory.delete("p1")
    assert memory.search(HOPS, 5, weighing("default")).hits == ()


def test_weights_by_hand():
    """Sources of 1, 1, 2 and 8 passages; the median is 1.5, twice that is fair."""
    sources = np.repeat(np.arange(4), [1, 1, 2, 8])
    assert source_weights(sources, 2).tolist() == pytest.approx([1] * 4 + [(3 / 8) ** 4] * 8)
    huge = np.repeat(np.arange(4), [1, 1, 1, 100_000])
    assert source_weights(huge, 1)[-1] == np.float32(1e-6)


def test_the_size_of_one_source_does_not_move_what_is_fair():
    ones = np.arange(9)
    for flood in (100, 10_000):
        weights = source_weights(np.concatenate([ones, np.full(flood, 9)]), 5)
        assert (weights[:9] == 1).all()
        assert (weights[9:] < 1e-4).all()


def test_weights_of_one_change_no_edge(honest):
    snapshot = honest.retriever.snapshot
    sizes = snapshot.entities, snapshot.passages
    ones = np.ones(snapshot.passages, dtype=np.float32)
    plain, weighed = (context_weights(snapshot.edges, *sizes, prior=p) for p in (None, ones))
    assert np.array_equal(plain.data, weighed.data)


def test_a_snapshot_is_not_changed_by_what_weighs_it(flooded):
    snapshot = flooded.retriever.snapshot
    before = snapshot.df.copy(), snapshot.graph.weights.data.copy(), snapshot.adjacency.sum()
    other = weigh_sources(snapshot, 2)
    assert other.adjacency.sum() < before[2]
    assert snapshot.prior is None
    assert np.array_equal(snapshot.df, before[0])
    assert np.array_equal(snapshot.graph.weights.data, before[1])


@pytest.mark.parametrize(
    ("passage", "source"),
    [
        (Passage("1", "x", metadata={"source": 7}), ("source", "7")),
        (Passage("1", "x", metadata={"source": "7"}), ("source", '"7"')),
        (Passage("1", "x", metadata={"source": ["a", "b"]}), ("source", '["a", "b"]')),
        (Passage("1#2", "x", document="1", metadata={"source": ""}), ("document", "1")),
        (Passage("1", "x", metadata={"source": None}), ("document", "1")),
    ],
)
def test_who_says_it(passage, source):
    assert source_of(passage) == source


@pytest.mark.parametrize("name", ROUTES)
def test_explain_says_what_a_large_source_weighs(flooded, name):
    hits = explained(flooded, name, len(TINY) + len(FLOOD))
    weights = {hit.hit.passage.id: hit.weight for hit in hits}
    assert weights["p1"] == 1 and 0 < weights["flood-0"] < 0.01
    assert all(hit.weight == 1 for hit in flooded.explain(HOPS, 5, name).hits)
    text = explanation_text(flooded.explain(HOPS, len(weights), weighing(name)))
    assert text.count("one of a large source: weighs") == len(FLOOD)
    last = explanation_json(flooded.explain(HOPS, len(weights), weighing(name)))["hits"][-1]
    assert last["weight"] == weights[last["id"]]
