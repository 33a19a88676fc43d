"""The command line with a language model: a small real HTTP server plays it, well or badly."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import time

import pytest
from chat_helpers import (
    KEY,
    extract_reply,
    extraction_text,
    prompt_hash,
    running_chat_server,
    say,
    stream_of,
)
from cli_helpers import command, make_index, run, write_lines

RECORDS = [
    {"id": f"p{i}", "title": f"Town {i}", "text": f"Town {i} lies on River {i}."} for i in range(6)
]
LLM = ("--embedder", "hashing", "--extractor", "llm", "--model", "fake")


def well_behaved(request):
    """Extracts, filters facts, answers in JSON or in a stream, thinks: by what it is asked."""
    system, asked = request["messages"][0]["content"], request["messages"][-1]["content"]
    if request.get("stream"):
        if "Mars" in asked.split("Question:")[-1]:
            return stream_of("not in", " the memory")
        return stream_of(
            "It lies ", "on River 1 [1]", ".\nConflict: River 1 [1]", "\nConflict: River 2 [2]"
        )
    if "You answer a question" in system:
        answer = {"found": True, "answer": "River 1", "passages": [1], "conflicts": []}
        return say(json.dumps(answer))
    if "Choose the facts" in system:
        return say('{"facts": []}' if "Mars" in asked.split("Facts:")[0] else '{"facts": [1]}')
    if "one sentence at a time" in system:
        done = "Town 3" in asked.split("Thought so far")[-1]
        return say("So the answer is: River 3." if done else "Town 3 lies there.")
    if "the question that remains" in system:
        return say('{"question": "Which river is at Town 3?"}')
    if "Write a short passage" in system:
        return say("Town 4 lies on River 4.")
    return extract_reply(request)


@pytest.fixture
def server(monkeypatch):
    with running_chat_server(well_behaved) as found:
        monkeypatch.setenv("OPENAI_BASE_URL", found.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.delenv("GRAPHMEM_MODEL", raising=False)
        yield found


def corpus(folder, records=RECORDS):
    return write_lines(folder / "corpus.jsonl", records)


def index_of(folder, records=RECORDS, *options):
    folder.mkdir(exist_ok=True)
    index = folder / "i"
    run("index", corpus(folder, records), "--index", index, *LLM, *options)
    return index


def failing(number, reply):
    """A server that fails on one town."""

    def answer(request):
        extracting = not request.get("stream")
        last = request["messages"][min(3, len(request["messages"]) - 1)]["content"]
        return reply if extracting and f"Town {number} lies" in last else well_behaved(request)

    return answer


def stats(index):
    return json.loads(run("stats", index, "--json").stdout)


def extractions(index):
    with sqlite3.connect(index / "store.sqlite") as db:
        return db.execute("SELECT count(*) FROM extractions").fetchone()[0]


# ---- index and add ------------------------------------------------------------------------------


def test_index_by_a_model_and_what_it_used(tmp_path, server):
    index = index_of(tmp_path)
    assert len(server.calls) == 12
    found = stats(index)
    assert (found["passages"], found["passages_missing"], found["passages_failed"]) == (6, 0, 0)
    assert [(u["model"], u["stage"], u["calls"]) for u in found["usage"]] == [
        ("fake", "entities", 6),
        ("fake", "triples", 6),
    ]
    assert sum(u["prompt_tokens"] for u in found["usage"]) == 12 * 11
    shown = run("stats", index).stdout
    assert "fake, entities: 6 calls, 66 tokens in, 30 out" in shown
    again = json.loads(run("index", corpus(tmp_path), "--index", index, "--json").stdout)
    assert (again["computed"], again["changed"], len(server.calls)) == (0, False, 12)


def test_an_index_remembers_its_extractor_and_model(tmp_path, server, monkeypatch):
    index = index_of(tmp_path, RECORDS[:4])
    more = write_lines(tmp_path / "more.jsonl", RECORDS[4:])
    monkeypatch.setenv("GRAPHMEM_MODEL", "another")  # for questions, not for this index
    report = json.loads(run("add", more, "--index", index, "--json").stdout)
    assert (report["added"], report["computed"], report["passages"]) == (2, 2, 6)
    assert {call["model"] for call in server.calls} == {"fake"}
    for option in (("--model", "other"), ("--extractor", "spacy")):
        wrong = run("add", more, "--index", index, *option, code=2)
        assert "made with the extractor openie:" in wrong.stderr


def test_the_model_from_the_environment_or_a_clear_error(tmp_path, server, monkeypatch):
    arguments = ("index", corpus(tmp_path), "--index", tmp_path / "i", *LLM[:4])
    missing = run(*arguments, code=2)
    assert "--model NAME, or set GRAPHMEM_MODEL" in missing.stderr
    assert not (tmp_path / "i").exists()
    monkeypatch.setenv("GRAPHMEM_MODEL", "mine")
    run(*arguments)
    assert {call["model"] for call in server.calls} == {"mine"}


def test_a_dry_run_calls_nothing_and_writes_nothing(tmp_path, server):
    arguments = ("index", corpus(tmp_path), "--index", tmp_path / "i", *LLM, "--dry-run")
    shown = run(*arguments).stdout
    assert "to extract: 6 passages" in shown and "calls:      12" in shown
    assert "cost:       unknown: give --price" in shown
    found = json.loads(run(*arguments, "--price", "1,2", "--json").stdout)
    assert found["calls"] == 12 and found["cost"] > 0 and found["prompt_tokens"] > 1000
    assert server.calls == [] and not (tmp_path / "i").exists()
    index = index_of(tmp_path, RECORDS[:4])
    assert (
        "to extract: 2 passages"
        in run("index", corpus(tmp_path), "--index", index, "--dry-run").stdout
    )
    assert len(server.calls) == 8 and stats(index)["passages"] == 4
    spacy = run("index", corpus(tmp_path), "--index", tmp_path / "s", "--dry-run").stdout
    assert "calls to a language model: none" in spacy


def test_a_budget_stops_cleanly_and_the_next_run_goes_on(tmp_path, server):
    server.default = lambda request: say(extraction_text(request["messages"]), usage=(400, 300))
    source, index = corpus(tmp_path), tmp_path / "i"
    arguments = ("index", source, "--index", index, *LLM, "--concurrency", "1")
    none = run(*arguments, "--budget", "10", code=1)
    assert "no passage is extracted yet; the budget is used up" in none.stderr
    assert server.calls == []
    stopped = run(*arguments, "--budget", "5k", code=1)
    (line,) = stopped.stderr.splitlines()
    paid = len(server.calls)
    assert 2 <= paid < 12 and "can be searched; the budget is used up" in line
    found = stats(index)
    assert (found["passages"], found["passages_missing"], found["passages_failed"]) == (2, 4, 0)
    assert json.loads(run("search", index, "Where is Town 1?", "--json").stdout)["hits"]
    run(*arguments)
    hashes = [prompt_hash(call) for call in server.calls]
    assert len(hashes) == len(set(hashes)) == 12
    assert (stats(index)["passages"], stats(index)["passages_missing"]) == (6, 0)


def test_a_budget_in_money_needs_a_price(tmp_path, server):
    arguments = ("index", corpus(tmp_path), "--index", tmp_path / "i", *LLM)
    assert "needs the price" in run(*arguments, "--budget", "$1", code=2).stderr
    assert "expected IN,OUT" in run(*arguments, "--price", "cheap", "--dry-run", code=2).stderr
    assert "expected tokens" in run(*arguments, "--budget", "some", code=2).stderr
    run(*arguments, "--budget", "$1", "--price", "0.1,0.2")


@pytest.mark.parametrize("option", ["--budget", "--pack", "--requests-per-minute"])
def test_limits_of_a_model_go_with_one(tmp_path, server, option):
    arguments = ("index", corpus(tmp_path), "--index", tmp_path / "i")
    refused = run(*arguments, "--embedder", "hashing", option, "2", code=2).stderr
    assert f"{option} goes with an extractor that asks a model" in refused
    assert not (tmp_path / "i").exists()
    run(*arguments, *LLM)
    run(*arguments, "--dry-run", *(() if option == "--pack" else (option, "2")))


def test_a_failed_passage_is_tried_again_and_never_stored_as_empty(tmp_path, server):
    server.default = failing(3, say("I would rather not."))
    source, index = corpus(tmp_path), tmp_path / "i"
    shown = run("index", source, "--index", index, *LLM).stdout
    assert "5 passages" in shown and "1 passage could not be extracted" in shown
    assert "p3: passage p3: fake did not give its entities" in shown
    assert extractions(index) == 5
    found = stats(index)
    assert (found["passages_missing"], found["passages_failed"]) == (1, 1)
    again = json.loads(run("index", source, "--index", index, "--json").stdout)
    assert (again["failed"], again["missing"], again["changed"]) == (1, 1, False)
    server.default = well_behaved
    mended = json.loads(run("index", source, "--index", index, "--json").stdout)
    assert (mended["computed"], mended["failed"], mended["missing"]) == (1, 0, 0)
    assert mended["passages"] == extractions(index) == 6
    assert stats(index)["passages_failed"] == 0


def test_too_many_failures(tmp_path, server):
    server.default = say("No.")
    arguments = ("index", corpus(tmp_path), "--index", tmp_path / "i", *LLM)
    assert (
        "passages failed, more than the 2 allowed"
        in run(*arguments, "--max-failures", "2", code=1).stderr
    )
    assert "no passage could be extracted" in run(*arguments, code=1).stderr
    assert "no index here" not in run("stats", tmp_path / "i", code=2).stderr
    server.default = well_behaved
    run(*arguments)
    assert stats(tmp_path / "i")["passages"] == 6


def test_a_wrong_key_is_one_line_and_keys_are_nowhere(tmp_path, server):
    arguments = ("index", corpus(tmp_path), "--index", tmp_path / "i", *LLM)
    server.default = (401, {}, {"error": {"message": f"Incorrect API key: {KEY}"}})
    refused = run(*arguments, code=1)
    assert "Incorrect API key: ***" in refused.stderr and KEY not in refused.output
    server.default = failing(2, (400, {}, {"error": {"message": f"no, {KEY}"}}))
    shown = run("-v", *arguments)
    run("ask", tmp_path / "i", "Which river?")
    assert KEY not in shown.output and server.keys[-1] == f"Bearer {KEY}"
    for file in (tmp_path / "i").rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def packed(request):
    """Packs answered like single passages; the last is left out."""
    if "numbered passages" not in request["messages"][0]["content"]:
        return well_behaved(request)
    parts = request["messages"][-1]["content"].split("Passage ")[1:]
    key = "triples" if "Named entities:" in parts[0] else "entities"
    found = [
        json.loads(extraction_text([{}, {}, {}, {"content": part.split("\n", 1)[1]}]))[key]
        for part in parts
    ]
    entries = [{"number": i, key: listed} for i, listed in enumerate(found[:-1], start=1)]
    return say(json.dumps({"passages": entries}))


def test_packs_cost_fewer_calls_and_are_remembered(tmp_path, server):
    server.default = packed
    source, index = corpus(tmp_path), tmp_path / "i"
    dry = run("index", source, "--index", index, *LLM, "--pack", 3, "--dry-run", "--json").stdout
    assert json.loads(dry)["calls"] == 4
    run("index", source, "--index", index, *LLM, "--pack", 3)
    # For each of two packs: entities of three and triples of the two that have them; then the one
    # left out of the first answer is asked about alone, and that of the second for its triples.
    assert len(server.calls) == 2 * (2 + 2 + 1)
    one_by_one = index_of(tmp_path / "n")
    assert stats(index)["entities"] == stats(one_by_one)["entities"]
    calls = len(server.calls)
    texts = [{"id": f"x{i}", "text": f"Town {i} lies on River {i}."} for i in (8, 9)]
    more = write_lines(tmp_path / "more.jsonl", texts)
    run("add", more, "--index", index)
    assert any("numbered passages" in c["messages"][0]["content"] for c in server.calls[calls:])
    wrong = run("add", more, "--index", one_by_one, "--pack", 2, code=2)
    assert "made with the extractor" in wrong.stderr


@pytest.mark.parametrize(("pack", "requests"), [(1, 2 * 60), (3, 20 * (2 + 2 + 1))])
def test_a_killed_run_asks_nothing_twice(tmp_path, server, pack, requests):
    def slow(request):
        time.sleep(0.02)
        return packed(request)

    records = [
        {"id": f"p{i}", "title": f"Town {i}", "text": f"Town {i} lies on River {i}."}
        for i in range(60)
    ]
    server.default = slow
    source, index, workers = corpus(tmp_path, records), tmp_path / "i", 4
    options = (*LLM, "--concurrency", workers, "--pack", pack)
    arguments = ("index", source, "--index", index, *options)

    def kept():
        try:
            with sqlite3.connect(f"file:{index}/responses.sqlite?mode=ro", uri=True) as db:
                return db.execute("SELECT count(*) FROM responses").fetchone()[0]
        except sqlite3.OperationalError:
            return 0

    rng = random.Random(1)
    for _ in range(2):
        process = subprocess.Popen(command(*arguments), env=os.environ, stderr=subprocess.DEVNULL)
        goal, deadline = kept() + rng.randrange(10, 40), time.monotonic() + 60
        while kept() < goal and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.1)
    assert 20 <= kept() < requests
    dry = json.loads(run(*arguments, "--dry-run", "--json").stdout)
    # Of answers that a pack lacks, no dry run knows.
    assert dry["calls"] == requests - kept() if pack == 1 else dry["calls"] < requests - kept()
    run(*arguments)
    hashes = [prompt_hash(call) for call in server.calls]
    assert len(set(hashes)) == requests
    assert len(hashes) - requests <= 2 * workers  # what was under way at a kill never arrived
    run("index", source, "--index", tmp_path / "calm", *options)
    for name in ("passages", "entities"):
        assert stats(index)[name] == stats(tmp_path / "calm")[name]
    snapshots = [folder / (folder / "CURRENT").read_text() for folder in (index, tmp_path / "calm")]
    for file in snapshots[0].rglob("*"):
        other = snapshots[1] / file.relative_to(snapshots[0])
        assert file.is_dir() or file.read_bytes() == other.read_bytes(), file


# ---- import and export --------------------------------------------------------------------------


def test_import_and_export(tmp_path, server):
    index = index_of(tmp_path)
    file = tmp_path / "triples.json"
    assert "6 passages" in run("export", index, "--openie", file).stdout
    data = json.loads(file.read_text("utf-8"))
    data["docs"][0]["extracted_triples"].append(["only", "two"])
    del data["docs"][1]
    file.write_text(json.dumps(data), "utf-8")
    imported = tmp_path / "imported"
    shown = run(
        *("index", corpus(tmp_path), "--index", imported, "--embedder", "hashing"),
        *("--extractor", f"import:{file}"),
    ).stdout
    assert "1 passage in which nothing was found" in shown
    assert "imported from 5 entries" in shown and "1 triple of other than three strings" in shown
    hits = json.loads(
        run("search", imported, "Where is Town 3?", "--preset", "hipporag2", "--json").stdout
    )
    assert hits["route"] == "graph" and len(server.calls) == 12
    more = write_lines(tmp_path / "more.jsonl", [{"id": "x", "text": "Unknown to the file."}])
    assert "2 passages" not in run("add", more, "--index", imported).stdout
    missing = run("index", more, "--index", tmp_path / "n", "--extractor", "import:no", code=2)
    assert "cannot be read" in missing.stderr and not (tmp_path / "n").exists()
    assert (
        "unknown extractor"
        in run("index", more, "--index", tmp_path / "n", "--extractor", "magic", code=2).stderr
    )


def test_graphml(tmp_path, server):
    networkx = pytest.importorskip("networkx")
    index, file = index_of(tmp_path), tmp_path / "graph.graphml"
    shown = run("export", index, "--graphml", file).stdout
    graph = networkx.read_graphml(file)
    assert f"{len(graph)} nodes" in shown
    kinds = {kind for _, kind in graph.nodes(data="kind")}
    assert kinds == {"entity", "passage", "phrase"}
    assert {kind for *_, kind in graph.edges(data="kind")} >= {"context", "fact"}
    assert "--openie FILE or --graphml FILE" in run("export", index, code=2).stderr
    assert "no index here" in run("export", tmp_path / "no", "--graphml", file, code=2).stderr


def test_a_preset_that_needs_facts_says_so(tmp_path):
    error = run("search", make_index(tmp_path), "Alien?", "--preset", "hipporag2", code=2).stderr
    assert "this index has no facts" in error and "--extractor llm or import:FILE" in error


# ---- questions ----------------------------------------------------------------------------------


def test_ask_streams_and_cites(tmp_path, server):
    index = index_of(tmp_path)
    shown = run("ask", index, "On which river does Town 1 lie?", "-k", 3).stdout
    body, sources = shown.split("\n\nsources:\n")
    assert body.startswith("It lies on River 1 [1].")
    assert sources.splitlines()[0] == " 1. Town 1 [p1]"
    assert "the passages contradict each other:\n  - River 1 [p1]\n  - River 2 [" in sources
    assert server.calls[-1]["stream"] is True
    calls = len(server.calls)
    assert run("ask", index, "On which river does Town 1 lie?", "-k", 3).stdout == shown
    assert len(server.calls) == calls  # kept
    assert {(u["stage"], u["calls"], u["cached"]) for u in stats(index)["usage"]} >= {
        ("answer", 1, 1)
    }


def test_ask_what_the_memory_does_not_hold(tmp_path, server):
    shown = run("ask", index_of(tmp_path), "How tall is Mars?").stdout
    assert shown.startswith("not in the memory\n") and "sources" not in shown


def test_ask_for_programs(tmp_path, server):
    index = index_of(tmp_path)
    found = json.loads(run("ask", index, "Where is Town 1?", "--json").stdout)
    assert (found["answer"], found["found"], found["route"]) == ("River 1", True, "graph")
    assert found["sources"] == [{"rank": 1, "id": "p1", "title": "Town 1"}]
    assert len(found["read"]) == 5


def test_ask_without_a_model(tmp_path, server):
    error = run("ask", make_index(tmp_path), "Alien?", code=2).stderr
    assert "--model NAME, or set GRAPHMEM_MODEL" in error


@pytest.mark.parametrize(
    ("option", "query"),
    [
        (("--iterate", "3"), "Town 3 lies there."),
        (("--residual",), "Which river is at Town 3?"),
        (("--clues",), "Town 4 lies on River 4."),
    ],
)
def test_searching_again(tmp_path, server, option, query):
    index = index_of(tmp_path)
    question = "Where is Town 1?"
    found = json.loads(run("search", index, question, "-k", 3, *option, "--json").stdout)
    assert found["queries"] == [question, query]
    assert len(found["hits"]) == 3 and found["enough"] == ("--iterate" in option)
    assert f"searched again: {query}" in run("ask", index, question, *option).stdout


def test_ways_to_search_again_exclude_each_other(tmp_path, server):
    index = make_index(tmp_path)
    both = run("search", index, "Alien?", "--clues", "--residual", code=2)
    assert "give one of" in both.stderr


@pytest.mark.parametrize("option", [("--iterate", "3"), ("--residual",), ("--clues",)])
def test_searching_again_for_a_file_of_questions(tmp_path, server, option):
    index, run_file = index_of(tmp_path), tmp_path / "out.trec"
    asked = [{"id": f"q{i}", "question": f"Where is Town {i}?"} for i in range(5)]
    queries = write_lines(tmp_path / "q.jsonl", asked)
    arguments = ("search", index, "--queries", queries, *option)

    def broken(request):
        here = json.dumps(request["messages"]).rsplit("Question:", 1)[-1]
        failing = (400, {}, {"error": {"message": "cannot"}})
        return failing if "Town 4?" in here else well_behaved(request)

    server.default = broken
    stopped = run(*arguments, "--run", run_file, code=1)
    assert "1 of 5 questions failed and are left out" in stopped.stderr
    assert "question q4: " in stopped.stderr
    assert {line.split()[0] for line in run_file.read_text().splitlines()} == {
        f"q{i}" for i in range(4)
    }
    server.default = well_behaved
    calls = len(server.calls)
    run(*arguments, "--run", run_file)
    assert 1 <= len(server.calls) - calls <= 3  # q4 alone
    lines = [json.loads(line) for line in run(*arguments, "-k", 2, "--json").stdout.splitlines()]
    assert [line["id"] for line in lines] == [f"q{i}" for i in range(5)]
    alone = json.loads(
        run("search", index, asked[1]["question"], "-k", 2, *option, "--json").stdout
    )
    assert lines[1] == {"id": "q1", **alone}
    assert "q3: Where is Town 3?" in run(*arguments, "-k", 1).stdout
    server.default = (401, {}, {"error": {"message": "wrong key"}})
    new = write_lines(tmp_path / "new.jsonl", [{"id": "n", "question": "Where is Town 0 now?"}])
    assert "wrong key" in run("search", index, "--queries", new, *option, code=1).stderr


def test_the_fact_filter(tmp_path, server):
    index = index_of(tmp_path)
    arguments = ("--preset", "hipporag2", "--fact-filter")
    kept = run("search", index, "Where is Town 1?", *arguments, "model")
    assert "route: graph" in kept.stdout and kept.stderr == ""
    none = run("search", index, "How tall is Mars?", *arguments, "model")
    assert "route: dense" in none.stdout and "no fact was kept" in none.stderr
    calls = len(server.calls)
    run("search", index, "How tall is Mars?", *arguments, "model")
    assert len(server.calls) == calls
    questions = [{"id": "1", "question": "Where is Town 1?"}, {"id": "2", "question": "Mars?"}]
    queries = write_lines(tmp_path / "q.jsonl", questions)
    many = ("search", index, "--queries", queries, "--run", tmp_path / "r", *arguments, "model")
    assert "no fact was kept for 1 of 2 questions" in run(*many).stderr
    calls = len(server.calls)
    run("search", index, "Where is Town 1?", *arguments, "margin")
    assert len(server.calls) == calls
    assert (
        "goes with --preset hipporag2"
        in run("search", index, "Where?", "--fact-filter", "model", code=2).stderr
    )
    server.default = say("no idea")
    wrong = run("search", index, "Where is Town 2?", *arguments, "model", code=1)
    assert "the fact filter gave none" in wrong.stderr
