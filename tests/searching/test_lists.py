"""A passage that lists names which have nothing to do with each other vouches for none of them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array
from worlds import ScriptedExtractor

from graphmem import GraphMemory, Passage
from graphmem.config import RetrievalConfig, preset
from graphmem.graph.entity_graph import context_graph
from graphmem.searching.candidates import Candidates, lists
from graphmem.searching.second_stage import FEATURES
from graphmem.searching.walk_evidence import WALK_FEATURES, subject_mentions, walk_evidence

MENTIONED = ("mentioned", "mentioned by cosine", "mentioned by walk", "mentioned by first two")


def graph_of(passages):
    """The graph of passages, each the rows of its entities; with df."""
    weights = np.zeros((1 + max(max(names) for names in passages), len(passages)), np.float32)
    for row, names in enumerate(passages):
        weights[names, row] = 1
    order = np.argsort(np.count_nonzero(weights, axis=1) < 2, kind="stable")
    graph = context_graph(csr_array(weights[order]))
    return graph, np.diff(graph.weights.indptr)


def told_apart(passages):
    graph, df = graph_of(passages)
    rows = np.arange(len(passages))
    return lists(graph, df, rows).tolist()


@pytest.mark.parametrize(("names", "listed"), [(10, False), (11, True), (50, True)])
def test_many_names_of_which_no_passage_has_two_are_a_list(names, listed):
    alone = [[name] for name in range(names)]
    assert told_apart([[*range(names)], *alone]) == [listed] + [False] * names


@pytest.mark.parametrize("names", [11, 50])
def test_names_that_stand_together_elsewhere_are_no_list(names):
    """Casts and filmographies: each name stands beside another one of the same text."""
    pairs = [[name, (name + 1) % names] for name in range(names)]
    assert not any(told_apart([[*range(names)], *pairs]))


def test_copies_of_a_list_relate_nothing():
    copies = [[*range(20)], [*range(20)], [*range(1, 20)]]
    assert told_apart([*copies, *([name] for name in range(20))]) == [True] * 3 + [False] * 20


def test_a_hub_relates_nothing_and_is_not_lone():
    """Entity 20 stands in all 221 passages."""
    beside_hub = [[name, 20] for name in range(20)]
    passages = [[*range(21)], *beside_hub, *([20] for _ in range(200))]
    assert told_apart(passages) == [True] + [False] * 220


def test_frequent_names_are_not_lone():
    """Ten names of two passages, and eleven of twelve, which nothing relates."""
    frequent = [[10 + i % 11] for i in range(121)]
    assert not any(told_apart([[*range(21)], *([name] for name in range(10)), *frequent]))


def test_what_a_list_mentions_is_not_mentioned():
    """Passage 0 names the subjects of all others; passage 21 names that of passage 1."""
    graph, df = graph_of([[*range(20)], *([name] for name in range(20)), [0, 20], [20]])
    rows = np.arange(23)
    found = Candidates(
        rows=rows,
        mass=np.linspace(1, 0.1, 23, dtype=np.float32),
        cosine=np.linspace(0.9, 0.1, 23, dtype=np.float32),
        lexical=np.ones(23, dtype=np.float32),
        vectors=np.eye(23, dtype=np.float32),
        subjects=np.array([-1, *range(20), -1, 20]),
        subject_mass=np.ones(23, dtype=np.float32),
        question=np.array([0]),
        question_weights=np.ones(1, dtype=np.float32),
        asked="",
        words=np.zeros(23, dtype=np.float32),
        held=np.zeros((23, 0), dtype=np.bool_),
        held_weights=np.zeros(0, dtype=np.float32),
        names=np.zeros(0, dtype=np.int64),
        name_mass=np.zeros(0, dtype=np.float32),
    )
    listed = lists(graph, df, rows)
    evidence = walk_evidence(graph, df, found, subject_mentions(graph, found, listed))
    columns = evidence[:, [WALK_FEATURES.index(name) for name in MENTIONED]]
    nobody = pytest.approx([0, -0.2, -16, 0])
    assert columns[2].tolist() == nobody
    assert columns[1].tolist() == pytest.approx(
        [0, found.cosine[21], np.log(found.mass[21] / found.mass[0]), 0]
    )
    # With one name in two passages for each of the others it is no list.
    other = graph_of(
        [[*range(20)], *([name, (name + 1) % 20] for name in range(20)), [0, 20], [20]]
    )
    mentions = subject_mentions(other[0], found, lists(*other, rows))
    assert walk_evidence(*other, found, mentions)[2, WALK_FEATURES.index("mentioned")] >= 1


def test_a_list_is_found_by_what_it_says(tmp_path):
    """It vouches for nothing, but is a passage like others."""
    names = [f"Quin{letter}" for letter in "abcdefghijklmnopqrst"]
    passages = [Passage(f"p{i}", f"{name} rows a boat.", name) for i, name in enumerate(names)]
    crews = Passage("list", f"The crews were {', '.join(names)}.", "Regatta Crews")
    memory = GraphMemory.open(
        tmp_path / "i", embedder="hashing", extractor=ScriptedExtractor([*names, "Regatta Crews"])
    )
    memory.add([*passages, crews])
    snapshot = memory.retriever.snapshot
    rows = np.arange(snapshot.passages)
    (listed,) = np.flatnonzero(lists(snapshot.graph, snapshot.df, rows))
    assert snapshot.passage(int(listed)).id == "list"
    for name in ("default", "walk"):
        config = replace(preset(name), source_size=0)
        found = memory.search("Who were the Regatta Crews?", 1, config)
        assert found.hits[0].passage.id == "list"


def test_the_words_of_a_list_are_new_in_a_passage_after_it(tmp_path):
    """It holds all words of the question, and would leave the others nothing new to say."""
    names = [f"Quin{letter}" for letter in "abcdefghijklmnopqrst"]
    passages = [Passage(f"p{i}", f"{name} rows.", name) for i, name in enumerate(names)]
    crews = Passage("list", f"Quinc rows a boat to {', '.join(names)}.", "Quinc")
    memory = GraphMemory.open(
        tmp_path / "i", embedder="hashing", extractor=ScriptedExtractor(names)
    )
    memory.add([*passages, crews])
    retriever, config = memory.retriever, RetrievalConfig()
    (found,) = retriever.candidates(["Which boat does Quinc row to Quind?"], config)
    (evidence,) = retriever.evidence([found])
    place = {retriever.snapshot.passage(int(row)).id: i for i, row in enumerate(found.rows)}
    assert place["list"] < place["p3"] and found.held[place["list"]].all()
    assert evidence[place["p3"], FEATURES.index("new words")] > 0
