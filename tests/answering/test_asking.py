"""The facade with a chat model: extraction, answers, budgets, and where things are kept."""

import json
import sqlite3

import pytest
from worlds import TINY, ScriptedExtractor, snapshot_bytes

from graphmem import ChatSettings, GraphMemory, Passage
from graphmem.errors import (
    BudgetExceeded,
    ConfigError,
    ExtractionError,
    IndexMismatchError,
    ModelError,
    StorageError,
    TooManyFailures,
)
from graphmem.llm.fact_filter import ModelFactFilter
from graphmem.llm.response_cache import read_usage
from graphmem.llm.scripted import ScriptedChat
from graphmem.llm.usage import Budget
from graphmem.storage.rows import text_hash
from graphmem.storage.store import Store
from graphmem.types import Price, Triple

PASSAGES = [Passage(f"p{i}", f"Town {i} lies on River {i}.", f"Town {i}") for i in range(5)]


class Model:
    """Extracts what the passages say, answers "River 1"; passages in `bad` get prose."""

    def __init__(self):
        self.bad = set()

    def __call__(self, request):
        if request.stage in ("entities", "triples"):
            text = request.messages[3].content
            (i,) = [p.id[1] for p in PASSAGES if p.text in text]
            if f"p{i}" in self.bad:
                return "Once upon a time"
            if request.stage == "entities":
                return json.dumps({"entities": [f"Town {i}", f"River {i}"]})
            return json.dumps({"triples": [[f"Town {i}", "lies on", f"River {i}"]]})
        if request.stage == "residual":
            return '{"question": "Where is Town 2?"}'
        if request.stage == "facts":
            return '{"facts": [1]}'
        if request.schema is None:
            return "<think>\nHm.</think>\nRiver 1 [1]"
        return '{"found": true, "answer": "River 1", "passages": [1], "conflicts": []}'


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def chat(model):
    return ScriptedChat(model)


def opened(path, chat, **options):
    options = {"embedder": "hashing", "extractor": "llm", "chat": chat, **options}
    return GraphMemory.open(path, **options)


def stages(chat):
    return [request.stage for request in chat.requests]


def test_answers_are_kept_for_every_memory_of_the_index(tmp_path, chat):
    memory = opened(tmp_path / "i", chat)
    report = memory.add(PASSAGES)
    assert (report.passages, report.computed, report.failed, report.missing) == (5, 5, 0, 0)
    answer = memory.ask("Where is Town 1?", k=2)
    assert (answer.text, answer.found, answer.passages) == ("River 1", True, ("p1",))
    asked = len(chat.requests)
    again = GraphMemory.open(tmp_path / "i", chat=chat)
    assert again.ask("Where is Town 1?", k=2) == answer
    assert len(chat.requests) == asked == 11
    (line,) = [
        line for line in read_usage(tmp_path / "i/responses.sqlite") if line.stage == "answer"
    ]
    assert (line.calls, line.cached) == (1, 1)
    assert again.stats()["usage"][0]["model"] == "scripted"


def test_a_stream_shows_no_thinking(tmp_path, chat):
    memory = opened(tmp_path / "i", chat)
    memory.add(PASSAGES)
    pieces = memory.stream_answer(memory.search("Where is Town 1?", 2))
    shown = []
    with pytest.raises(StopIteration) as stop:
        while True:
            shown.append(next(pieces))
    assert "".join(shown) == "River 1 [1]" and stop.value.value.passages == ("p1",)


def test_searching_again(tmp_path, chat):
    memory = opened(tmp_path / "i", chat)
    memory.add(PASSAGES)
    found = memory.search_again("Where is Town 1?", 2, "walk", method="residual")
    assert found.queries == ("Where is Town 1?", "Where is Town 2?")
    assert {hit.passage.id for hit in found.ranking.hits} == {"p1", "p2"}
    assert memory.ask("Where is Town 1?", 2, method="residual").text == "River 1"
    with pytest.raises(ConfigError, match="no method 'guess': choose from ircot"):
        memory.search_again("Where?", method="guess")
    with pytest.raises(ConfigError, match="k must be 1"):
        memory.search_again("Where?", 0, method="clues")


def test_the_same_bytes_whatever_failed_on_the_way(tmp_path, model, chat):
    model.bad = {"p1", "p3"}
    memory = opened(tmp_path / "a", chat)
    report = memory.add(PASSAGES)
    assert (report.passages, report.computed, report.failed, report.missing) == (3, 3, 2, 2)
    assert list(memory.failures()) == ["p1", "p3"]
    assert "scripted did not give its entities" in memory.failures()["p1"]
    assert {h.passage.id for h in memory.search("Town 1", 5).hits} == {"p0", "p2", "p4"}
    model.bad = set()
    assert opened(tmp_path / "a", chat).add([]).missing == 0
    calm = opened(tmp_path / "b", ScriptedChat(model))
    calm.add(PASSAGES)
    assert snapshot_bytes(tmp_path / "a") == snapshot_bytes(tmp_path / "b")
    assert memory.failures() == {}


def test_a_budget_and_its_end(tmp_path, chat):
    settings = ChatSettings(chat, concurrency=1, budget=Budget(tokens=100))
    memory = opened(tmp_path / "i", settings)
    with pytest.raises(BudgetExceeded, match="no passage is extracted yet"):
        memory.add(PASSAGES)
    assert chat.requests == []
    assert opened(tmp_path / "i", chat).add([]).passages == 5


def test_too_many_failures_keep_what_succeeded(tmp_path, model, chat):
    model.bad = {"p0", "p1", "p2", "p3"}
    with pytest.raises(TooManyFailures, match="more than the 0%"):
        opened(tmp_path / "i", chat).add(PASSAGES, max_failures=0)
    model.bad = set()
    assert opened(tmp_path / "i", chat).add([]).passages == 5


def test_an_estimate_counts_what_is_new(tmp_path, chat):
    memory = opened(tmp_path / "i", chat)
    found = memory.estimate([*PASSAGES, PASSAGES[0]], price=Price(1.0, 1.0))
    assert (found.passages, found.calls) == (5, 10) and found.cost > 0
    assert not (tmp_path / "i").exists() and chat.requests == []
    memory.add(PASSAGES[:3])
    assert memory.estimate(PASSAGES).passages == 2
    spacy = GraphMemory.open(tmp_path / "s", embedder="hashing").estimate(PASSAGES)
    assert (spacy.passages, spacy.calls) == (5, 0)
    with pytest.raises(IndexMismatchError):
        GraphMemory.open(tmp_path / "i", extractor="spacy").estimate(PASSAGES)


def test_fact_filters(tmp_path, chat):
    opened(tmp_path / "i", chat).add(PASSAGES)
    for name, called in (("none", 0), ("margin", 0), ("model", 1)):
        memory = GraphMemory.open(tmp_path / "i", chat=chat, fact_filter=name)
        ranking = memory.search("Where does Town 1 lie?", 2, "hipporag2")
        assert ranking.route == "graph" and len(ranking.facts) <= 5
        assert stages(chat).count("facts") == called
    with pytest.raises(ConfigError, match="no fact filter"):
        GraphMemory.open(tmp_path / "i", fact_filter="magic")


def test_a_model_chooses_facts():
    facts = [Triple("a", "b", str(i)) for i in range(5)]
    script = ScriptedChat(['{"facts": [3, 3, 9, "1", 2, 4, 5]}'])
    assert ModelFactFilter(script).keep(["Which?"], [facts]) == [[2, 0, 1, 3]]
    assert ModelFactFilter(ScriptedChat([])).keep(["Which?"], [[]]) == [[]]
    both = ScriptedChat(lambda request: '{"facts": []}')
    assert ModelFactFilter(both).keep(["One?", "Two?"], [facts, facts]) == [[], []]
    for wrong in ('{"facts": "all"}', '{"facts": [77]}', "os.system('ls')"):
        with pytest.raises(ModelError, match="the fact filter gave none, asked twice"):
            ModelFactFilter(ScriptedChat([wrong, wrong])).keep(["Which?"], [facts])
    with pytest.raises(ConfigError):
        ModelFactFilter(both, limit=0)


def test_an_index_of_another_extractor_needs_no_model_to_be_searched(tmp_path, chat, monkeypatch):
    monkeypatch.delenv("GRAPHMEM_MODEL", raising=False)
    opened(tmp_path / "i", chat).add(PASSAGES)
    assert GraphMemory.open(tmp_path / "i").search("Town 1", 1).hits[0].passage.id == "p1"
    plain = GraphMemory.open(
        tmp_path / "p", embedder="hashing", extractor=ScriptedExtractor(["Alien"])
    )
    plain.add(TINY)
    with pytest.raises(ConfigError, match="--model NAME, or set GRAPHMEM_MODEL"):
        plain.ask("Who?")


def test_a_store_of_before_failures_were_recorded(tmp_path):
    path = tmp_path / "store.sqlite"
    with Store.open(path) as store:
        store.add(PASSAGES)
    db = sqlite3.connect(path)
    db.execute("DROP TABLE failures")
    db.close()
    with Store.open(path) as store:
        store.save_outcomes("x", {text_hash(PASSAGES[0]): ExtractionError("no")})
        assert store.failures("x") == {"p0": "no"}


def test_a_ledger_that_is_none(tmp_path):
    assert read_usage(tmp_path / "none.sqlite") == []
    (tmp_path / "bad.sqlite").write_text("x" * 5000)
    with pytest.raises(StorageError):
        read_usage(tmp_path / "bad.sqlite")
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "responses.sqlite").write_bytes(b"")
    memory = GraphMemory.open(
        tmp_path / "i", embedder="hashing", extractor=ScriptedExtractor(["Alien"])
    )
    assert memory.add(TINY).passages == len(TINY)
