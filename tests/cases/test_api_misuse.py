"""Misuse of the Python API: each is refused by an error that names what is wrong and helps."""

import datetime

import pytest

from graphmem import GraphMemory, Passage
from graphmem.errors import GraphmemError

DAY = datetime.date(2020, 1, 1)


@pytest.fixture
def memory(tmp_path):
    memory = GraphMemory.open(tmp_path / "i", embedder="hashing")
    memory.add([Passage("a", "Edmund Ravenscroft grew up in Penderwick.")], workers=1)
    return memory


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["some text"], "Passage"),
        ([{"id": "1", "text": "x"}], r"Passage\("),
        ({"text": "x"}, "without the key 'id'; make Passage"),
        ([{}], "item 1: .* without the keys 'id' and 'text'"),
        ([{"id": "1", "content": "x"}], r"the key 'text'; .*text=item\['content'\], title=...\)$"),
        (
            [{"id": "1", "body": "x", "n": 1}],
            r"text=item\['body'\].*; 'n' belong into its metadata",
        ),
        ("", "expected a path, found an empty string"),
        ([""], "expected a path, found an empty string"),
        ([("1", "x")], r"Passage\("),
        (None, "Passage"),
        (5, "Passage"),
        ([Passage("d", "b", metadata={"when": DAY})], r"metadata\['when'\]"),
        ([Passage("s", "b", metadata={"kept": {"tags": {1}}})], r"metadata\['kept'\]\['tags'\]"),
        ([Passage("s", "b", metadata={"kept": ["a", {2: 3}]})], r"metadata\['kept'\]\[1\].*keys"),
        ([Passage("l", "b", metadata=["x"])], "a mapping"),
        ([Passage("k", "b", metadata={1: 2})], "strings as keys"),
        ([Passage("n", None)], "'text' must be a string, it is None"),
        ([Passage("n", "b", title=3)], "'title' must be a string"),
        ([Passage(3, "x y")], "'id' must be a string"),
    ],
)
def test_what_cannot_be_added(memory, given, said):
    with pytest.raises(GraphmemError, match=said):
        memory.add(given)
    assert memory.stats()["passages"] == 1


@pytest.mark.parametrize("workers", [0, -1, "2", 1.5])
def test_workers(memory, workers):
    with pytest.raises(GraphmemError, match="workers must be"):
        memory.add([Passage("w", "x y")], workers=workers)


@pytest.mark.parametrize(
    ("question", "options", "said"),
    [
        (None, {}, "question is a string"),
        (3, {}, "question is a string"),
        (b"Who?", {}, "question is a string"),
        ([None], {}, "question 1 must be a string"),
        (["Who?", {"id": "1", "question": "Who?"}], {}, "question 2 must be a string"),
        ("Who?", {"k": "5"}, "k must be an integer, not '5'"),
        ("Who?", {"k": 2.5}, "k must be an integer"),
        ("Who?", {"k": True}, "k must be an integer"),
        ("Who?", {"preset": None}, "preset must be a name"),
        ("Who?", {"preset": 3}, "preset must be a name"),
        ("Who?", {"filter": "by=me"}, "a filter is a mapping"),
    ],
)
def test_what_cannot_be_asked(memory, question, options, said):
    with pytest.raises(GraphmemError, match=said):
        memory.search(question, **options)
    if not isinstance(question, list):
        with pytest.raises(GraphmemError, match=said.replace("question is", "question must be")):
            memory.explain(question, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"embedder": 3}, "embedder must be a name or an object with the method embed"),
        ({"extractor": 3}, "extractor must be"),
        ({"fact_filter": 3}, "fact_filter must be"),
        ({"reranker": 3}, "reranker must be"),
        ({"rerank_depth": "3"}, "rerank depth must be"),
    ],
)
def test_what_cannot_be_opened(tmp_path, options, said):
    with pytest.raises(GraphmemError, match=said):
        GraphMemory.open(tmp_path / "new", **{"embedder": "hashing", **options})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("path", [None, 3, b"folder"])
def test_a_path_is_a_path(path):
    with pytest.raises(GraphmemError, match="path must name a folder"):
        GraphMemory.open(path)
