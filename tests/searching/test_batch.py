"""Many questions in one call get what each gets alone: passages, order and scores, bit by bit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import QUESTIONS, SAMPLE, Neighbours

from graphmem import GraphMemory
from graphmem.config import PRESETS
from graphmem.embedding.onnx import OnnxEmbedder
from graphmem.searching import retriever as retriever_module


@pytest.fixture(scope="module")
def retriever(tmp_path_factory):
    memory = GraphMemory.open(
        tmp_path_factory.mktemp("batch") / "index",
        embedder=OnnxEmbedder.default(),
        extractor=Neighbours(),
    )
    memory.add(SAMPLE / "corpus.jsonl")
    return memory.retriever


@pytest.fixture(scope="module")
def alone(retriever):
    return {
        name: {q: retriever.search([q], 120, config)[0] for q in QUESTIONS}
        for name, config in PRESETS.items()
    }


@pytest.mark.parametrize("name", PRESETS)
@settings(max_examples=8, deadline=None)
@given(
    questions=st.lists(st.sampled_from(QUESTIONS), min_size=2, max_size=60),
    embedded=st.integers(1, 70),
    block=st.integers(1, 40),
)
def test_a_batch_is_the_same_as_one_by_one(retriever, alone, name, questions, embedded, block):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retriever_module, "_EMBEDDED", embedded)
        patched.setattr(retriever_module, "_BLOCK", block)
        found = retriever.search(questions, 120, PRESETS[name])
    assert found == [alone[name][question] for question in questions]


def test_the_presets_rank_by_all_their_routes(alone):
    routes = {name: {r.route for r in found.values()} for name, found in alone.items()}
    for name in ("default", "walk", "hipporag", "linearrag"):
        assert routes[name] == {"graph", "dense"}
    assert routes["hipporag2"] == {"graph"} and routes["bm25"] == {"lexical"}
    assert len({tuple(h.passage.id for h in r[QUESTIONS[0]].hits) for r in alone.values()}) > 4


def test_few_passages_of_a_large_index_at_a_time(retriever, monkeypatch, alone):
    """Blocks shrink where there are many passages, down to one question."""
    monkeypatch.setattr(retriever_module, "_BLOCK_CELLS", 1)
    found = retriever.search(QUESTIONS, 120, PRESETS["default"])
    assert found == list(alone["default"].values())


def test_the_same_passage_is_parsed_once(retriever, monkeypatch):
    parsed = []
    passage = retriever.snapshot.passage
    monkeypatch.setattr(
        retriever.snapshot, "passage", lambda row: parsed.append(row) or passage(row)
    )
    retriever.search(QUESTIONS, 120, PRESETS["bm25"])
    assert len(parsed) == len(set(parsed)) == 120
