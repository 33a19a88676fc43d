"""HippoRAG 2 by hand and by igraph: which numbers of its code are kept, and which are not.

Kept: the tuple's words as a fact's text; min-max scaled cosines over all facts; the five best
facts, then the five best phrases; score / passages, averaged over a phrase's facts, both ends
counted; 0.05 * min-max scaled cosine for every passage; 2 * count, 2 * cosine and 1 as weights
of the undirected edges; no edge from a phrase to itself; damping 0.5; dense where no fact is left.

Not kept, each with a test below:
  1. letters other than a-z are dropped there, so that phrases of other scripts are all "";
  2. a synonymy edge replaces the fact edge between the same phrases;
  3. of two phrases, one too short for synonyms, the other still gets half an edge to it;
  4. phrases may get 101 synonyms, for the test comes after the count;
  5. ties among phrases are broken by the order of a set, which changes with PYTHONHASHSEED;
  6. a triple that differs only in case or punctuation counts again in its passage;
  7. one fact, or equal cosines, make 0 / 0; here the score is 1;
  8. passages with the same text are one node.
"""

import igraph
import numpy as np
import pytest

from graphmem import Extraction, Triple
from graphmem.config import HippoRag2Config, HippoRagConfig
from graphmem.graph.fact_graph import (
    Edges,
    FactGraph,
    assemble_facts,
    fact_text,
    passages_per_phrase,
)
from graphmem.graph.synonymy import eligible_phrases, find_synonyms
from graphmem.searching.hipporag import FactSearcher, phrase_seeds, within_margin

# Passages 0 to 3. Facts, sorted, with the cosine that each has with the question:
#   0  alien       is a          film           0.2
#   1  alien       directed by   ridley scott   0.8   passages 0 and 1
#   2  r scott     made          alien          0.6
#   3  r scott     born in       shields        0.5   (sorted: "born in" before "made")
#   4  shields     lies in       england        0.0
STATED = [
    [("Alien", "directed by", "Ridley Scott"), ("Alien", "is a", "film")],
    [("Alien", "directed by", "Ridley Scott"), ("R. Scott", "made", "Alien")],
    [("R. Scott", "born in", "Shields")],
    [("Shields", "lies in", "England")],
]
COSINES = {"directed by": 0.8, "is a": 0.2, "made": 0.6, "born in": 0.5, "lies in": 0.0}
PASSAGE_COSINES = np.array([0.5, 0.4, 0.1, 0.3], dtype=np.float32)


def extractions(stated=STATED):
    return [Extraction((), tuple(Triple(*t) for t in triples)) for triples in stated]


@pytest.fixture
def graph():
    table = assemble_facts(extractions())
    phrases = [table.phrases[i] for i in range(len(table.phrases))]
    assert phrases == ["alien", "england", "film", "r scott", "ridley scott", "shields"]
    synonyms = Edges(np.int32([3]), np.int32([4]), np.float32([0.9]))
    # The question is (1, 0): a fact's first component is its cosine.
    cosines = np.array([COSINES[p] for p in table.predicates])
    facts = np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1).astype(np.float32)
    return FactGraph(table, synonyms, np.eye(6, dtype=np.float32), facts)


@pytest.fixture
def searcher(graph):
    return FactSearcher(graph, 4)


QUESTION = np.array([1, 0], dtype=np.float32)


def by_igraph(searcher, restart, edges):
    """PageRank of the reference's library over undirected edges listed one direction at a time."""
    phrases = len(searcher.table.phrases)
    walk = igraph.Graph(n=phrases + 4, edges=[e[:2] for e in edges], directed=False)
    walk.es["weight"] = [e[2] for e in edges]
    return np.array(
        walk.personalized_pagerank(
            damping=0.5, directed=False, weights="weight", reset=restart, implementation="prpack"
        )
    )


def reference_edges(searcher):
    """What its code adds: fact and synonymy edges in both directions, context edges once."""
    table = searcher.table
    edges = []
    for kind in (table.links, searcher.graph.synonyms):
        for s, t, w in zip(kind.sources, kind.targets, kind.weights, strict=True):
            edges += [(int(s), int(t), float(w)), (int(t), int(s), float(w))]
    for s, t in zip(table.context.sources, table.context.targets, strict=True):
        edges.append((len(table.phrases) + int(t), int(s), 1.0))
    return edges


def test_fact_text_is_a_tuple_in_words(graph):
    assert fact_text(graph.table.triple(1)) == "('alien', 'is a', 'film')"


def test_best_facts_are_scaled_over_all_facts(searcher):
    rows, cosines, scaled = searcher.best_facts(QUESTION, 3)
    assert [searcher.table.predicates[int(row)] for row in rows] == [
        "directed by",
        "made",
        "born in",
    ]
    np.testing.assert_allclose(cosines, [0.8, 0.6, 0.5], atol=1e-6)
    np.testing.assert_allclose(scaled, [1.0, 0.75, 0.625], atol=1e-6)


def test_phrase_weights_by_hand(searcher):
    rows, _, scaled = searcher.best_facts(QUESTION, 3)
    phrases, weights = phrase_seeds(
        searcher.table, passages_per_phrase(searcher.table), rows, scaled, most=5
    )
    found = {
        searcher.table.phrases[int(p)]: float(w) for p, w in zip(phrases, weights, strict=True)
    }
    # alien: 2 passages; facts 1.0 and 0.75. r scott: 2 passages; 0.75 and 0.625.
    expected = {
        "alien": (1.0 / 2 + 0.75 / 2) / 2,
        "r scott": (0.75 / 2 + 0.625 / 2) / 2,
        "ridley scott": 1.0 / 2,
        "shields": 0.625 / 2,
    }
    assert found == pytest.approx(expected, abs=1e-6)
    few, _ = phrase_seeds(searcher.table, passages_per_phrase(searcher.table), rows, scaled, most=2)
    assert [searcher.table.phrases[int(p)] for p in few] == ["ridley scott", "alien"]


def test_walk_agrees_with_igraph(searcher):
    rows, _, scaled = searcher.best_facts(QUESTION, 5)
    walk = searcher.walk_from_facts(rows, scaled, PASSAGE_COSINES, HippoRag2Config())
    passages = walk.restart[6:] / walk.restart[6]
    np.testing.assert_allclose(passages, [1, 0.75, 0, 0.5], atol=1e-6)
    expected = by_igraph(searcher, walk.restart.astype(np.float64), reference_edges(searcher))
    np.testing.assert_allclose(walk.mass(), expected, atol=2e-5)
    assert np.argsort(-walk.mass()[6:])[0] == np.argsort(-expected[6:])[0]


def test_restart_weighs_phrases_and_passages_as_the_code_does(searcher):
    walk = searcher.walk_from_facts(
        np.array([0]), np.float32([1.0]), PASSAGE_COSINES, HippoRag2Config()
    )
    # Fact 0, "alien directed by ridley scott": both phrases 1 / 2; passages 0.05, 0.0375, 0, 0.025.
    whole = 0.5 + 0.5 + 0.05 + 0.0375 + 0.025
    assert walk.restart[0] == pytest.approx(0.5 / whole, rel=1e-5)
    assert walk.restart[4] == pytest.approx(0.5 / whole, rel=1e-5)
    np.testing.assert_allclose(
        walk.restart[6:], np.array([0.05, 0.0375, 0, 0.025]) / whole, rtol=1e-5
    )


def test_version_1_agrees_with_igraph(searcher):
    seeds = np.array([0, 3])
    mass = searcher.walk_over_phrases(seeds, HippoRagConfig()).mass()
    scores = searcher.score_by_phrases(mass)
    edges = [e for e in reference_edges(searcher) if max(e[:2]) < 6]
    restart = np.zeros(10)
    restart[seeds] = 0.5  # 1 / passages: both stand in two
    mass = by_igraph(searcher, restart, edges)
    # alien has two facts in passage 0 and two in passage 1.
    expected = [
        2 * mass[0] + mass[4] + mass[2],
        2 * mass[0] + mass[4] + mass[3],
        mass[3] + mass[5],
        mass[5] + mass[1],
    ]
    np.testing.assert_allclose(scores, expected, atol=2e-5)


def test_filter_without_a_model_keeps_what_is_near_the_best():
    cosines = np.float32([0.8, 0.75, 0.5])
    assert within_margin(cosines, 2.0, -1.0).tolist() == [0, 1, 2]
    assert within_margin(cosines, 0.1, -1.0).tolist() == [0, 1]
    assert within_margin(cosines, 0.0, -1.0).tolist() == [0]
    assert within_margin(cosines, 2.0, 0.9).tolist() == []
    assert within_margin(cosines[:0], 2.0, -1.0).tolist() == []


# -- what is not kept ---------------------------------------------------------------------------


def test_1_other_scripts_stay():
    table = assemble_facts(
        extractions([[("Гагарин", "полетел в", "космос"), ("東京", "は", "首都")]])
    )
    assert table.phrases == ["гагарин", "космос", "東 京", "首 都"]


def test_2_a_fact_edge_and_a_synonymy_edge_add_up():
    table = assemble_facts(extractions([[("r scott", "is", "ridley scott")]]))
    synonyms = Edges(np.int32([0]), np.int32([1]), np.float32([0.9]))
    vectors = np.zeros((2, 1), dtype=np.float32)
    adjacency = FactSearcher(FactGraph(table, synonyms, vectors, vectors[:1]), 1).adjacency
    assert adjacency[0, 1] == pytest.approx(2 * 1 + 2 * 0.9)


def test_3_short_phrases_have_no_synonyms_at_all():
    assert eligible_phrases(["us", "usa"]).tolist() == [1]
    same = np.ones((2, 1), dtype=np.float32)
    assert find_synonyms(["usa"], same, np.array([1])).edges.sources.size == 0


def test_4_a_phrase_asks_for_100_synonyms():
    # One hub in the middle of 150 spokes, which are like it but not like each other.
    spokes = np.eye(151, dtype=np.float32) * np.float32(0.5)
    spokes[:, 0] = np.sqrt(0.75)
    spokes[0] = 0
    spokes[0, 0] = 1
    names = [f"{i:03}" for i in range(151)]
    edges = find_synonyms(names, spokes, np.arange(151), most=100).edges
    assert edges.sources.size == 150  # the spokes ask too
    alone = find_synonyms(names[:102], spokes, np.arange(102), most=100).edges
    assert alone.sources.size == 101


def test_5_ties_are_broken_by_name():
    table = assemble_facts(extractions([[("b", "x", "a"), ("d", "x", "c")]]))
    phrases, _ = phrase_seeds(
        table, passages_per_phrase(table), np.array([0, 1]), np.float32([1, 1]), most=3
    )
    assert phrases.tolist() == [0, 1, 2]


def test_6_spellings_of_one_triple_count_once():
    table = assemble_facts(extractions([[("Alien", "is a", "film"), ("ALIEN", "is a", "film.")]]))
    assert table.links.weights.tolist() == [1]


def test_7_one_fact_scores_1():
    table = assemble_facts(extractions([[("alien", "is a", "film")]]))
    none = Edges(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.float32))
    graph = FactGraph(table, none, np.eye(2, dtype=np.float32), np.float32([[0.3, 0.9]]))
    _, _, scaled = FactSearcher(graph, 1).best_facts(QUESTION, 5)
    assert scaled.tolist() == [1.0]


def test_8_equal_passages_stay_apart():
    table = assemble_facts(extractions([STATED[0], STATED[0]]))
    assert passages_per_phrase(table).tolist() == [2, 2, 2]
