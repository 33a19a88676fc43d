"""The graph of the tiny world by hand, and that order does not matter."""

import random
from math import log

import numpy as np
import pytest
from scipy.sparse import csr_array
from worlds import TINY, TINY_NAMES, ScriptedExtractor, island_world

from graphmem.graph.entity_graph import assemble_graph, context_graph, context_weights, subject_name
from graphmem.types import Extraction, Passage


def assemble(passages, names=TINY_NAMES):
    return assemble_graph(passages, ScriptedExtractor(names).extract(passages))


def edges(graph, passages):
    """(entity, passage id) -> (count, is subject)."""
    e = graph.context
    return {
        (graph.names[entity], passages[passage].id): (count, subject)
        for entity, passage, count, subject in zip(
            e.entities.tolist(),
            e.passages.tolist(),
            e.counts.tolist(),
            e.subjects.tolist(),
            strict=True,
        )
    }


def test_the_tiny_world():
    graph = assemble(TINY)
    assert sorted(graph.names) == [
        *("1974", "1984", "alien", "gladiator", "los angeles"),
        *("ridley scott", "scott glenn", "south shields", "tyne and wear"),
    ]
    assert edges(graph, TINY) == {
        ("1974", "p5"): (1, False),
        ("1984", "p8"): (1, False),
        ("alien", "p1"): (1, True),
        ("gladiator", "p2"): (1, False),
        ("gladiator", "p4"): (2, True),
        ("los angeles", "p4"): (1, False),
        ("los angeles", "p8"): (1, True),
        ("ridley scott", "p1"): (1, False),
        ("ridley scott", "p2"): (2, True),
        ("scott glenn", "p7"): (1, True),
        ("south shields", "p2"): (1, False),
        ("south shields", "p3"): (2, True),
        ("tyne and wear", "p3"): (1, False),
        ("tyne and wear", "p5"): (1, True),
    }
    assert graph.labels[graph.names.index("alien")] == "Alien"
    assert graph.labels[graph.names.index("tyne and wear")] == "Tyne and Wear"


def test_weights_by_hand():
    graph = assemble(TINY)
    weights = context_weights(graph.context, len(graph.names), len(TINY)).toarray()
    at = {name: row for row, name in enumerate(graph.names)}
    expected = {
        ("ridley scott", 0): log(2) * log(5),
        ("ridley scott", 1): 3 * log(3) * log(5),
        ("south shields", 1): log(2) * log(5),
        ("south shields", 2): 3 * log(3) * log(5),
        ("alien", 0): 3 * log(2) * log(9),
        ("1974", 4): log(2) * log(9),
    }
    for (name, passage), weight in expected.items():
        assert weights[at[name], passage] == pytest.approx(weight, rel=1e-6)
    assert np.count_nonzero(weights) == 14
    assert not weights[:, 5].any()  # bread


def test_adjacency_is_symmetric_and_links_entities_only_to_passages():
    graph = assemble(TINY)
    weights = context_weights(graph.context, 9, 8)
    matrix = context_graph(weights).adjacency().toarray()
    assert matrix.shape == (17, 17)
    assert np.array_equal(matrix, matrix.T)
    assert np.array_equal(matrix[:9, 9:], weights.toarray())
    assert not matrix[:9, :9].any() and not matrix[9:, 9:].any()


def test_a_name_found_in_one_passage_is_found_in_all():
    passages = [Passage("a", "Kyoto is old."), Passage("b", "She lives in Kyoto now.")]
    extractions = [Extraction(("Kyoto",)), Extraction()]
    assert edges(assemble_graph(passages, extractions), passages) == {
        ("kyoto", "a"): (1, True),
        ("kyoto", "b"): (1, True),
    }


def test_without_a_title_a_passage_is_about_the_name_it_begins_with():
    passages = [
        Passage("a", "In Kyoto and Osaka it rains."),
        Passage("b", "In Kyoto and Osaka it rains.", "Weather"),
    ]
    found = edges(assemble(passages, ["Kyoto", "Osaka"]), passages)
    assert {key for key, (_, subject) in found.items() if subject} == {
        ("kyoto", "a"),
        ("weather", "b"),
    }


def test_what_was_extracted_is_an_edge_even_inside_a_longer_name():
    passages = [Passage("a", "He studied at York University.")]
    graph = assemble_graph(passages, [Extraction(("York University", "York"))])
    assert edges(graph, passages)["york", "a"] == (1, False)


def test_the_same_name_written_differently_is_one_entity_with_the_commonest_label():
    passages = [Passage(str(i), "x") for i in range(3)]
    found = [Extraction(("THE BEATLES",)), Extraction(("Beatles",)), Extraction(("Beatles",))]
    graph = assemble_graph(passages, found)
    assert graph.names == ["beatles"]
    assert graph.labels == ["Beatles"]


def test_no_name_at_all():
    graph = assemble([Passage("a", "bread"), Passage("b", "rye", "(!)")], ())
    assert graph.names == [] and graph.context.entities.size == 0
    walkable = context_graph(context_weights(graph.context, 0, 2))
    assert walkable.adjacency().shape == (2, 2)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Steve McQueen (director)", "Steve McQueen"),
        ("(director)", "(director)"),
        ("A (b) c", "A (b) c"),
        ("A (b) (c)", "A (b)"),
        ("東京（都市）", "東京"),
        ("", ""),
    ],
)
def test_the_name_in_a_title(title, name):
    assert subject_name(title) == name


@pytest.mark.parametrize("seed", range(5))
def test_rows_move_with_the_passages_and_nothing_else_changes(seed):
    passages, names = island_world(60)
    shuffled = random.Random(seed).sample(passages, len(passages))
    left, right = assemble(passages, names), assemble(shuffled, names[::-1])
    assert left.names == right.names and left.labels == right.labels
    assert edges(left, passages) == edges(right, shuffled)
    assert np.array_equal(left.dictionary.names, right.dictionary.names)
    assert np.array_equal(left.dictionary.rows, right.dictionary.rows)


def test_chunks_do_not_show(monkeypatch):
    passages, names = island_world(50)
    whole = assemble(passages, names)
    monkeypatch.setattr("graphmem.graph.entity_graph._CHUNK", 7)
    parts = assemble(passages, names)
    assert edges(whole, passages) == edges(parts, passages)
    assert np.array_equal(whole.context.entities, parts.context.entities)


def test_entities_of_several_passages_stand_first():
    graph = assemble(TINY)
    df = np.bincount(graph.context.entities)
    assert df.tolist() == [2, 2, 2, 2, 2, 1, 1, 1, 1]
    assert graph.names[:5] == sorted(graph.names[:5]) and graph.names[5:] == sorted(graph.names[5:])
    weights = context_weights(graph.context, 9, 8)
    with pytest.raises(ValueError, match="must come first"):
        context_graph(weights[::-1].tocsr())


@pytest.mark.parametrize("seed", range(4))
def test_shared_edges_are_those_of_entities_of_several_passages(seed):
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((20, 12)) < 0.2, rng.random((20, 12)), 0).astype(np.float32)
    df = np.count_nonzero(weights, axis=1)
    several = weights[df > 1]
    shared = context_graph(csr_array(np.vstack([several, weights[df == 1]]))).shared
    placed = several[np.ix_(shared.entities, shared.passages)]
    assert np.array_equal(shared.to_entities.toarray(), placed)
    assert np.array_equal(shared.to_passages.toarray(), placed.T)
    assert np.array_equal(shared.passages[shared.places], np.arange(12))
    for edges in (shared.to_entities, shared.to_passages):
        assert (np.diff(edges.indptr, 2) >= 0).all()  # rows of one length follow each other
    counts, entities = shared.entities_of(np.array([7, 0, 7]))
    expected = [np.flatnonzero(several[:, passage]) for passage in (7, 0, 7)]
    assert counts.tolist() == [rows.size for rows in expected]
    found = np.split(entities, np.cumsum(counts)[:-1])
    assert [sorted(rows) for rows in found] == [rows.tolist() for rows in expected]
