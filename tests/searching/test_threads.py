"""Threads that share a memory find what each would find alone, in every preset."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from test_hipporag import PASSAGES, QUESTION, Extractor

from graphmem import GraphMemory, Passage
from graphmem.config import PRESETS
from graphmem.embedding.hashing import HashingEmbedder
from graphmem.searching import linearrag

THREADS = 16
QUESTIONS = [
    QUESTION,
    "Where does South Shields lie?",
    "Was Tyne and Wear made before Alien?",
    "Who is Ridley Scott?",
    "what is bread made of?",
] * 8


@pytest.fixture
def memory(tmp_path):
    memory = GraphMemory.open(
        tmp_path / "chain.index", embedder=HashingEmbedder(), extractor=Extractor()
    )
    memory.add(PASSAGES)
    return memory


@pytest.fixture
def hurried(monkeypatch):
    """Threads take turns as often as they can, and memory for sentences is short."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    monkeypatch.setattr(linearrag, "_KEPT", 1)
    yield
    sys.setswitchinterval(before)


def reopened(memory):
    return GraphMemory.open(memory.path, embedder=HashingEmbedder(), extractor=Extractor())


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_many_threads_find_what_one_finds(memory, preset, hurried):
    alone = [memory.search(question, 5, preset) for question in QUESTIONS]
    shared = reopened(memory)
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda q: shared.search(q, 5, preset), QUESTIONS))
    assert together == alone


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_while_one_adds_the_others_find_the_state_before_or_after(memory, preset, hurried):
    more = Passage("cat", "Jones is a cat in Alien.", "Jones")
    before = [memory.search(question, 6, preset) for question in QUESTIONS]
    with ThreadPoolExecutor(THREADS) as pool:
        found = [pool.submit(memory.search, question, 6, preset) for question in QUESTIONS]
        pool.submit(memory.add, [more], workers=1).result()
        found += [pool.submit(memory.search, question, 6, preset) for question in QUESTIONS]
    after = [reopened(memory).search(question, 6, preset) for question in QUESTIONS]
    assert before != after
    results = [future.result() for future in found]
    for ranking, *allowed in zip(results, before * 2, after * 2, strict=True):
        assert ranking in allowed
    assert results[len(QUESTIONS) :] == after
