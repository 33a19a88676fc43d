import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem import Extraction, GraphMemory, Passage, Triple
from graphmem.embedding.hashing import HashingEmbedder
from graphmem.errors import IndexMismatchError
from graphmem.graph.fact_graph import (
    Edges,
    FactGraph,
    assemble_facts,
    fact_adjacency,
    joining_fact,
    normalise_part,
    phrase_adjacency,
)
from graphmem.storage.current import known_synonyms, open_current

# The world of facts. Passages in brackets, phrases between them, facts as arrows:
#
#   ada lovelace --wrote--> notes            [a] and [b]
#   ada lovelace --wrote--> notes            [b] twice, in two spellings
#   notes --describe--> analytical engine    [b]
#   analytical engine --is--> analytical engine   [c]
FACTS = {
    "a": [("Ada Lovelace", "wrote", "Notes")],
    "b": [
        ("Ada Lovelace", "wrote", "Notes"),
        ("ADA  Lovelace", "Wrote", "notes."),
        ("Notes", "describe", "Analytical Engine"),
    ],
    "c": [("Analytical Engine", "is", "analytical engine"), ("?", "is", "nothing")],
    "d": [],
}
PASSAGES = [
    Passage("a", "Ada Lovelace wrote Notes."),
    Passage("b", "The Notes of Ada Lovelace describe the Analytical Engine."),
    Passage("c", "The Analytical Engine was never built."),
    Passage("d", "Bread is made of rye."),
]


class FactExtractor:
    fingerprint = "facts:1"

    def __init__(self, facts):
        self.facts = facts

    def extract(self, passages):
        return [
            Extraction((), tuple(Triple(*t) for t in self.facts.get(p.id, ()))) for p in passages
        ]


class CountingEmbedder(HashingEmbedder):
    def __init__(self):
        super().__init__()
        self.texts = []

    def embed(self, texts, kind="passage"):
        self.texts += texts
        return super().embed(texts, kind)


def memory_at(path, facts=FACTS, embedder=None):
    return GraphMemory.open(
        path, embedder=embedder or HashingEmbedder(), extractor=FactExtractor(facts)
    )


def files_of(path):
    folder = open_current(path).folder
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.fixture
def table():
    return assemble_facts(FactExtractor(FACTS).extract(PASSAGES))


def test_distinct_phrases_and_facts(table):
    assert table.phrases == ["ada lovelace", "analytical engine", "notes"]
    assert [table.triple(row) for row in range(3)] == [
        Triple("ada lovelace", "wrote", "notes"),
        Triple("analytical engine", "is", "analytical engine"),
        Triple("notes", "describe", "analytical engine"),
    ]


def test_every_kind_of_edge(table):
    def listed(edges):
        columns = edges.sources.tolist(), edges.targets.tolist(), edges.weights.tolist()
        return list(zip(*columns, strict=True))

    # A triple that a passage states twice counts once; one that two passages state counts twice.
    assert listed(table.statements) == [(0, 0, 1), (0, 1, 1), (1, 2, 1), (2, 1, 1)]
    assert listed(table.links) == [(0, 2, 2), (1, 2, 1)]
    # A fact with one phrase at both ends holds it once, and is no edge.
    assert listed(table.context) == [(0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 2, 1)] + [
        (2, 0, 1),
        (2, 1, 2),
    ]


def test_adjacency_weights_are_those_of_the_papers(table):
    synonyms = Edges(
        np.array([0], dtype=np.int32), np.array([2], dtype=np.int32), np.float32([0.9])
    )
    vectors = np.zeros((3, 1), dtype=np.float32)
    graph = FactGraph(table, synonyms, vectors, vectors)
    expected = np.zeros((7, 7))
    expected[0, 2] = 2 * 2 + 2 * 0.9
    expected[1, 2] = 2 * 1
    for phrase, passage in ((0, 0), (0, 1), (1, 1), (1, 2), (2, 0), (2, 1)):
        expected[phrase, 3 + passage] = 1
    np.testing.assert_allclose(fact_adjacency(graph, 4).toarray(), expected + expected.T, rtol=1e-6)
    plain = np.array([[0, 0, 2.9], [0, 0, 1], [2.9, 1, 0]])
    np.testing.assert_allclose(phrase_adjacency(graph).toarray(), plain, rtol=1e-6)


def test_the_fact_between_two_phrases(table):
    assert joining_fact(table, 2, 0) == "ada lovelace wrote notes"
    assert joining_fact(table, 0, 1) == ""


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("Łódź — город", "lodz город"),
        ("東京", "東 京"),
        (" The  Beatles ", "the beatles"),
        ("¿?", ""),
    ],
)
def test_phrases_of_any_script(written, normal):
    assert normalise_part(written) == normal


def test_no_triples_no_facts():
    assert assemble_facts([Extraction(("Ada",))]) is None
    assert assemble_facts([]) is None


def test_an_index_without_triples_has_no_columns_of_facts(tmp_path):
    embedder = CountingEmbedder()
    memory = memory_at(tmp_path / "plain", {}, embedder)
    memory.add(PASSAGES)
    assert open_current(tmp_path / "plain").facts is None
    assert not any("facts" in name for name in files_of(tmp_path / "plain"))
    assert len(embedder.texts) == len(PASSAGES)
    for preset in ("hipporag2", "hipporag"):
        with pytest.raises(IndexMismatchError, match="no facts.*--extractor"):
            memory.search("Who is Ada Lovelace?", preset=preset)


def test_columns_come_back_from_disk(tmp_path, table):
    memory_at(tmp_path / "i").add(PASSAGES)
    facts = open_current(tmp_path / "i").facts
    assert [facts.table.phrases[row] for row in range(3)] == table.phrases
    assert sorted(facts.table.triple(row).predicate for row in range(3)) == [
        "describe",
        "is",
        "wrote",
    ]
    assert facts.phrase_vectors.shape == facts.fact_vectors.shape == (3, 256)
    embedder = HashingEmbedder()
    np.testing.assert_array_equal(facts.phrase_vectors, embedder.embed(table.phrases))
    assert facts.table.links.weights.tolist() == [2, 1]


def test_the_same_passages_in_any_order_and_in_steps_give_the_same_bytes(tmp_path):
    memory_at(tmp_path / "once").add(PASSAGES)
    shuffled = PASSAGES[:]
    random.Random(3).shuffle(shuffled)
    memory_at(tmp_path / "shuffled").add(shuffled)
    for passage in reversed(PASSAGES):
        memory_at(tmp_path / "steps").add([passage])
    once = files_of(tmp_path / "once")
    assert files_of(tmp_path / "shuffled") == once
    assert files_of(tmp_path / "steps") == once


def test_near_phrases_of_the_live_snapshot_are_taken_over_unless_damaged(tmp_path):
    memory_at(tmp_path / "i").add(PASSAGES[:2])
    snapshot = open_current(tmp_path / "i").folder
    fingerprint = HashingEmbedder().fingerprint
    known = known_synonyms(tmp_path / "i", fingerprint)
    assert known.phrases == ["ada lovelace", "analytical engine", "notes"]
    assert known_synonyms(tmp_path / "i", "another embedder") is None
    assert known_synonyms(tmp_path / "nowhere", fingerprint) is None
    file = snapshot / "facts" / "phrases_data.npy"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + b"!")
    assert known_synonyms(tmp_path / "i", fingerprint) is None
    memory_at(tmp_path / "i").add(PASSAGES)
    memory_at(tmp_path / "fresh").add(PASSAGES)
    assert files_of(tmp_path / "i") == files_of(tmp_path / "fresh")


def test_nothing_is_embedded_twice(tmp_path):
    embedder = CountingEmbedder()
    memory = memory_at(tmp_path / "i", embedder=embedder)
    memory.add(PASSAGES[:2])
    first = list(embedder.texts)
    assert len(first) == len(set(first)) == 2 + 3 + 2  # passages, phrases, facts
    embedder.texts.clear()
    memory.add(PASSAGES)
    assert embedder.texts == [
        *(p.text for p in sorted(PASSAGES[2:], key=lambda p: embedder.texts.index(p.text))),
        "('analytical engine', 'is', 'analytical engine')",
    ]


def test_what_was_embedded_is_kept_when_a_run_breaks_off(tmp_path):
    class Breaking(CountingEmbedder):
        def embed(self, texts, kind="passage"):
            if any("describe" in text and "(" in text for text in texts):
                raise RuntimeError("killed")
            return super().embed(texts, kind)

    facts = {"a": [(f"name {i}", "precedes", f"name {i + 1}") for i in range(600)], **FACTS}
    facts["a"] = facts["a"] + [("z", "describe", "z")]
    broken = Breaking()
    with pytest.raises(RuntimeError):
        memory_at(tmp_path / "i", facts, broken).add(PASSAGES)
    again = CountingEmbedder()
    memory_at(tmp_path / "i", facts, again).add(PASSAGES)
    assert not set(again.texts) & set(broken.texts)
    memory_at(tmp_path / "fresh", facts).add(PASSAGES)
    assert files_of(tmp_path / "i") == files_of(tmp_path / "fresh")


def test_progress_tells_of_facts(tmp_path):
    told = []
    memory_at(tmp_path / "i").add(PASSAGES, progress=lambda *what: told.append(what))
    assert ("facts", 6, 6) in told
    assert ("synonymy", 1, 1) in told  # so few that all are compared


@given(
    st.lists(
        st.lists(st.tuples(*[st.sampled_from(["Ada", "ada!", "Notes", "", "é", "wrote"])] * 3)),
        max_size=5,
    )
)
def test_counts_add_up(stated):
    extractions = [Extraction((), tuple(Triple(*t) for t in triples)) for triples in stated]
    table = assemble_facts(extractions)
    distinct = {
        (i, *map(normalise_part, t))
        for i, triples in enumerate(stated)
        for t in triples
        if normalise_part(t[0]) and normalise_part(t[2])
    }
    if not distinct:
        assert table is None
        return
    assert table.statements.sources.size == len(distinct)
    assert table.links.weights.sum() == sum(s != o for _, s, _, o in distinct)
    assert table.context.weights.sum() == sum(1 + (s != o) for _, s, _, o in distinct)
    assert sorted({*table.subjects.tolist(), *table.objects.tolist()}) == list(
        range(len(table.phrases))
    )


def test_an_imported_file_is_remembered_by_the_index(tmp_path):
    documents = [
        {
            "idx": p.id,
            "passage": p.text,
            "extracted_entities": [],
            "extracted_triples": [list(t) for t in FACTS[p.id]],
        }
        for p in PASSAGES
    ]
    file = tmp_path / "openie.json"
    file.write_text(json.dumps({"docs": documents}), "utf-8")
    path = tmp_path / "i"
    memory = GraphMemory.open(path, embedder="hashing", extractor=f"import:{file}")
    memory.add(PASSAGES)
    again = GraphMemory.open(path)
    assert again.search("What did Ada Lovelace write?", preset="hipporag2").route == "graph"
    assert not again.add(PASSAGES).changed
    file.unlink()  # a search needs it no more
    assert GraphMemory.open(path).search("Who wrote Notes?", preset="hipporag2").facts
