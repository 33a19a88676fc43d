"""What facts add to the second stage."""

from __future__ import annotations

import numpy as np
import pytest

from graphmem import Extraction, GraphMemory, Passage, Triple
from graphmem.config import RetrievalConfig
from graphmem.embedding.hashing import HashingEmbedder
from graphmem.graph.fact_graph import Edges, FactGraph, assemble_facts
from graphmem.searching.fact_evidence import FACT_FEATURES, fact_evidence
from graphmem.searching.hipporag import FactSearcher

# Passage 0 says who made the film, 1 where that man was born, 2 what bread is made of, 3 nothing.
EXTRACTIONS = [
    Extraction(triples=(Triple("Alien", "directed by", "Scott"), Triple("Alien", "has", "a cat"))),
    Extraction(triples=(Triple("Scott", "born in", "South Shields"),)),
    Extraction(triples=(Triple("bread", "is made of", "rye"),)),
    Extraction(),
]
BORN = ("scott", "born in", "south shields")


def searcher() -> FactSearcher:
    """Facts whose vectors are axes: what is asked is as near to one as a test wants."""
    table = assemble_facts(EXTRACTIONS)
    assert table is not None
    nothing = np.zeros(0, dtype=np.int32)
    vectors = np.eye(len(table.predicates), 8, dtype=np.float32)
    phrases = np.eye(len(table.phrases), 8, dtype=np.float32)
    synonyms = Edges(nothing, nothing, nothing.astype(np.float32))
    return FactSearcher(FactGraph(table, synonyms, phrases, vectors), len(EXTRACTIONS))


def evidence(
    names: list[str], asked: str | None = None, rows: tuple[int, ...] = (0, 1, 2, 3)
) -> np.ndarray:
    facts = searcher()
    vector = np.zeros(8, dtype=np.float32)
    for row in range(len(facts.table.predicates)):
        vector[row] = facts.table.triple(row).predicate == asked
    return fact_evidence(
        facts,
        np.array(rows),
        facts.phrases_named(names),
        np.ones(len(names), dtype=np.float32),
        vector,
        0.75,
    )


def test_names_become_phrases_where_facts_hold_them():
    facts = searcher()
    found = facts.phrases_named(["ALIEN", "Nobody", "South  Shields", "zzz"])
    assert [facts.table.phrases[row] if row >= 0 else None for row in found] == [
        "alien",
        None,
        "south shields",
        None,
    ]


def test_who_states_what_is_asked_stands_out():
    stated = evidence(["Alien"], "born in")[:, 0]
    assert stated.argmax() == 1
    assert stated.mean() == pytest.approx(0, abs=1e-6)
    assert stated.std() == pytest.approx(1, abs=1e-6)
    assert stated[0] == stated[2] == stated[3]


def test_facts_lead_from_the_names_over_other_passages_to_what_is_asked():
    _, led = evidence(["Alien"], "born in").T
    # The walk comes to the birth by way of the director; never to the bread, nor to silence.
    assert led[0] > led[2] and led[1] > led[2]
    assert led[2] == led[3]


def test_likeness_to_what_is_asked_draws_the_walk():
    _, drawn = evidence(["Scott"], "born in").T
    _, other = evidence(["Scott"], "directed by").T
    assert drawn[1] > drawn[0]
    assert other[0] > other[1]


def test_only_the_facts_of_candidates_count():
    # Without the passage on the film no fact joins its name to the birth.
    _, led = evidence(["Alien"], "born in", rows=(1, 2)).T
    assert led.tolist() == [0, 0]


@pytest.mark.parametrize("rows", [(3,), (), (2,)])
def test_candidates_that_are_alike_get_nothing(rows):
    assert not evidence(["Alien"], "born in", rows).any()
    assert evidence(["Alien"], "born in", rows).shape == (len(rows), len(FACT_FEATURES))


def test_a_name_that_no_fact_holds_leads_nowhere():
    stated, led = evidence(["Nobody"], "born in").T
    assert stated.argmax() == 1
    assert not led.any()


PASSAGES = [
    Passage("film", "Alien was made by Ridley Scott, who was born in England.", "Alien"),
    Passage("one", "Ridley Scott came to the world in South Shields.", "Ridley Scott in the north"),
    Passage("two", "Ridley Scott lives in the city of Los Angeles.", "Ridley Scott in the west"),
]
FACTS = {
    "film": Triple("Alien", "directed by", "Ridley Scott"),
    "one": Triple("Ridley Scott", "was born in the town of", "South Shields"),
    "two": Triple("Ridley Scott", "lives in", "Los Angeles"),
}


class Extractor:
    fingerprint = "facts:1"

    def __init__(self, facts: dict[str, Triple]) -> None:
        self.facts = facts

    def extract(self, passages):
        names = ("Alien", "Ridley Scott")
        return [
            Extraction(names, (self.facts[p.id],) if p.id in self.facts else ()) for p in passages
        ]


def memory(folder, facts: dict[str, Triple]) -> GraphMemory:
    found = GraphMemory.open(folder, embedder=HashingEmbedder(), extractor=Extractor(facts))
    found.add(PASSAGES)
    return found


QUESTION = "In which town was the director of Alien born?"


def test_facts_move_the_default_ranking_and_say_by_how_much(tmp_path):
    with_facts = memory(tmp_path / "i", FACTS)
    plain = RetrievalConfig(fact_weight=0)

    def score(config: RetrievalConfig, id_: str) -> float:
        hits = with_facts.search(QUESTION, 3, config).hits
        return next(hit.score for hit in hits if hit.passage.id == id_)

    gain = {id_: score(RetrievalConfig(), id_) - score(plain, id_) for id_ in ("one", "two")}
    assert gain["one"] > 0 > gain["two"]
    parts = {
        hit.hit.passage.id: {part.feature: part.odds for part in hit.evidence}
        for hit in with_facts.explain(QUESTION, 3, RetrievalConfig(fact_weight=20)).hits
    }
    assert parts["one"]["states what is asked"] > 0 > parts["two"]["states what is asked"]


def test_what_a_question_gets_from_facts_is_the_same_alone(tmp_path):
    with_facts = memory(tmp_path / "i", FACTS)
    questions = [QUESTION, "Where does Ridley Scott live?", "Alien", "what is bread made of?"]
    together = with_facts.search(questions, 3)
    assert together == [with_facts.search(question, 3) for question in questions]


def test_an_index_without_facts_is_ranked_without_them(tmp_path):
    without = memory(tmp_path / "i", {})
    plain = without.search(QUESTION, 3, RetrievalConfig(fact_weight=0))
    assert without.search(QUESTION, 3, RetrievalConfig(fact_weight=20)) == plain
