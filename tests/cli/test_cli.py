"""The command line as it should be used: every command, every format, what is printed."""

import gzip
import json
import sqlite3

import click
import pytest
from cli_helpers import FILMS, QUESTION, ROOT, hits, make_index, run, run_process, write_lines

from graphmem.cli.commands import main
from graphmem.config import PRESETS
from graphmem.sources.sample import HITS, demo_questions, sample_folder


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return make_index(tmp_path_factory.mktemp("cli"))


def commands(command, path=()):
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, (*path, name))


@pytest.mark.parametrize("path", [path for path, _ in commands(main)], ids=" ".join)
def test_every_command_has_help_with_an_example(path):
    shown = run(*path, "--help").stdout
    examples = [line.strip() for line in shown.splitlines() if "Example:" in line]
    assert examples
    assert all(line.startswith(" ".join(["Example: graphmem", *path])) for line in examples if path)
    assert shown == run(*path, "-h").stdout


def test_all_commands_are_there():
    names = {" ".join(path) for path, _ in commands(main)}
    assert names >= {"index", "add", "search", "explain", "stats", "models", "models fetch", "demo"}


def test_version_and_module():
    assert "graphmem, version" in run("--version").stdout
    assert run_process("--version").stdout == run("--version").stdout


def test_index_reports_what_it_did(tmp_path):
    source = write_lines(tmp_path / "films.jsonl", [*FILMS, {"text": " "}])
    arguments = ["index", source, "--index", tmp_path / "i", "--embedder", "hashing"]
    first = json.loads(run(*arguments, "--json").stdout)
    assert {key: first[key] for key in ("passages", "added", "computed", "changed")} == {
        "passages": 4,
        "added": 4,
        "computed": 4,
        "changed": True,
    }
    assert first["entities"] > 3
    assert first["read"] == {
        "files": 1,
        "records": 5,
        "passages": 4,
        "skipped_empty": 1,
        "skipped_files": 0,
    }
    again = run(*arguments)
    assert "4 passages" in again.stdout
    assert "nothing new" in again.stdout
    assert "0 passages added" in again.stdout
    assert "skipped: 1 record without text" in again.stdout


def test_add_needs_an_index_and_adds_to_it(tmp_path):
    first, second = (
        write_lines(tmp_path / f"{n}.jsonl", part) for n, part in enumerate([FILMS[:2], FILMS[2:]])
    )
    missing = run("add", first, "--index", tmp_path / "i", code=2)
    assert "no index here" in missing.stderr
    assert not (tmp_path / "i").exists()
    run("index", first, "--index", tmp_path / "i", "--embedder", "hashing")
    report = json.loads(run("add", second, "--index", tmp_path / "i", "--json").stdout)
    assert (report["passages"], report["added"]) == (4, 2)
    whole = make_index(tmp_path)
    options = ("search", QUESTION, "-k", 10, "--json")
    added = run(options[0], tmp_path / "i", *options[1:]).stdout
    assert added == run(options[0], whole, *options[1:]).stdout


def test_search_text_and_json(index):
    shown = run("search", index, QUESTION, "-k", 3).stdout
    assert shown.startswith("route: graph; found in the question: Alien")
    assert " 1. Alien [f1]" in shown
    found = json.loads(run("search", index, QUESTION, "-k", 3, "--json").stdout)
    assert found["question"] == QUESTION
    assert found["route"] == "graph"
    assert found["entities"] == ["Alien"]
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert found["hits"] == sorted(found["hits"], key=lambda hit: -hit["score"])
    first = found["hits"][0]
    assert first["score"] > 0
    del first["rank"], first["score"]
    assert first == {
        "id": "f1",
        "title": "Alien",
        "text": "Alien is a film by Ridley Scott.",
        "document": "",
        "position": 0,
        "metadata": {"year": 1979},
    }


@pytest.mark.parametrize(
    ("preset", "route", "count"),
    [("default", "graph", 4), ("dense", "dense", 4), ("bm25", "lexical", 2)],
)
def test_presets(index, preset, route, count):
    found = json.loads(run("search", index, QUESTION, "--preset", preset, "--json").stdout)
    assert found["route"] == route
    assert len(found["hits"]) == count
    shown = run("search", index, QUESTION, "--preset", preset).stdout
    assert shown.startswith(f"route: {route}")
    why = json.loads(run("explain", index, QUESTION, "--preset", preset, "--json").stdout)
    assert [hit["id"] for hit in why["hits"]] == [hit["id"] for hit in found["hits"]]


def test_k_from_one_to_all(index):
    assert [len(hits(index, k=k)) for k in (1, 3, 4, 1000)] == [1, 3, 4, 4]


def test_no_known_name_takes_the_dense_route_and_says_so(index):
    assert run("search", index, "who wrote it?").stdout.startswith("route: dense")


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"hipporag", "hipporag2"}))
@pytest.mark.parametrize("reranker", [(), ("--reranker", "words")])
def test_nothing_found_is_no_hit_and_is_said(index, preset, reranker):
    nowhere = "xyzzy plugh?"
    options = [index, nowhere, "--preset", preset, *reranker]
    assert json.loads(run("search", *options, "--json").stdout)["hits"] == []
    assert json.loads(run("explain", *options, "--json").stdout)["hits"] == []
    for command in ("search", "explain"):
        assert (
            "nothing found: no passage has anything of the question"
            in run(command, *options).stdout
        )


def test_only_passages_with_a_word_of_the_question_are_hits_of_bm25(index):
    assert hits(index, "Whose novel is it?", "--preset", "bm25") == ["f4"]


def test_a_run_with_a_question_that_finds_nothing_has_the_others(index, tmp_path):
    asked = [{"id": "q1", "question": "xyzzy"}, {"id": "q2", "question": "Solaris?"}]
    queries = write_lines(tmp_path / "q.jsonl", asked)
    run("search", index, "--queries", queries, "--run", tmp_path / "r", "--preset", "bm25")
    assert [line.split()[0] for line in (tmp_path / "r").read_text().splitlines()] == ["q2"]


def test_explain_text_and_json(index):
    shown = run("explain", index, QUESTION, "-k", 3).stdout
    assert "seeds: Alien" in shown
    assert "→" in shown
    assert "“Ridley Scott was born in South Shields.”" in shown
    why = json.loads(run("explain", index, QUESTION, "-k", 3, "--json").stdout)
    assert why["route"] == "graph"
    assert why["seeds"][0]["seed"] == {"kind": "entity", "name": "Alien", "id": ""}
    for hit in why["hits"]:
        assert hit["entity_share"] + hit["passage_share"] == pytest.approx(1)
        assert hit["start"]["kind"] in ("entity", "passage")
        nodes = [hit["start"], *(step["target"] for step in hit["path"])]
        assert nodes[-1]["id"] == hit["id"]
        assert all(step["source"] == node for step, node in zip(hit["path"], nodes, strict=False))


def test_stats_text_and_json(index):
    numbers = json.loads(run("stats", index, "--json").stdout)
    assert numbers["passages"] == numbers["titled_passages"] == 4
    assert numbers["embedder"].startswith("hashing")
    assert numbers["extractor"].startswith("spacy")
    assert numbers["bytes_snapshot"] > 0
    shown = run("stats", index).stdout
    assert all(name.replace("_", " ") in shown for name in numbers)


def test_models_names_all_that_can_be_named():
    shown = run("models").stdout
    for name in ("default", "int8", "e5-small", "bge-small", "hashing", "openai:MODEL"):
        assert name in shown
    for name in ("all-MiniLM-L6-v2", "en_core_web_md", "--reranker", "maxsim:FOLDER", "words"):
        assert name in shown


def test_models_fetch_says_where():
    assert "all-MiniLM-L6-v2" in run("models", "fetch").stdout
    assert "bge-small-en-v1.5" in run("models", "fetch", "--embedder", "bge-small").stdout
    assert "splade-tiny" in run("models", "fetch", "--sparse").stdout
    both = run("models", "fetch", "--sparse", "--embedder", "default").stdout.splitlines()
    assert [line.partition(":")[0] for line in both] == ["all-MiniLM-L6-v2", "splade-tiny"]


def test_demo_shows_what_it_promises(tmp_path):
    shown = run("demo", "--index", tmp_path / "demo.index").stdout
    for asked in demo_questions():
        assert asked.text in shown
        assert f"answer: {asked.answer}" in shown
        assert set(asked.gold) <= set(hits(tmp_path / "demo.index", asked.text, k=HITS))
    assert shown.count("path: ") == HITS * len(demo_questions())
    assert sample_folder() == ROOT / "data" / "sample"


def run_of(path):
    return [line.split(" ") for line in path.read_text("utf-8").splitlines()]


def test_run_has_six_columns(index, tmp_path):
    queries = write_lines(
        tmp_path / "q.jsonl",
        [{"id": "q 1", "question": QUESTION}, {"_id": 2, "text": "Who wrote Solaris?"}],
    )
    result = run("search", index, "--queries", queries, "--run", tmp_path / "out.trec", "-k", 3)
    assert result.stdout == ""
    assert "2 questions, 6 lines" in result.stderr
    rows = run_of(tmp_path / "out.trec")
    assert [row[0] for row in rows] == ["q%201"] * 3 + ["2"] * 3
    assert {(row[1], row[5]) for row in rows} == {("Q0", "graphmem")}
    assert [row[3] for row in rows] == ["1", "2", "3"] * 2
    assert rows[0][2] == "f1"
    assert rows[3][2] == "f4"
    for first, second in zip(rows[:2], rows[1:3], strict=True):
        assert float(first[4]) >= float(second[4])
    assert not list(tmp_path.glob("*.part"))


def test_run_is_a_hundred_deep_by_default(tmp_path):
    many = make_index(tmp_path, [{"id": str(n), "text": f"Note {n}."} for n in range(120)])
    queries = write_lines(tmp_path / "q.jsonl", [{"id": "q", "question": "note"}])
    run("search", many, "--queries", queries, "--run", tmp_path / "out.trec")
    assert len({row[2] for row in run_of(tmp_path / "out.trec")}) == 100


def test_run_names_the_records_of_the_corpus(tmp_path):
    """Pieces count once, at the best one's rank, and k is a number of records."""
    long = " ".join(f"Ripley met the crew of Alien, day {n}." for n in range(200))
    records = [{"id": "log 7#x", "text": long}, *FILMS]
    source = write_lines(tmp_path / "c.jsonl", records)
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "diary.txt").write_text(long.replace("crew", "cat"))
    options = ("--embedder", "hashing", "--passage-tokens", "40", "--overlap", "5")
    run("index", source, folder, "--index", tmp_path / "i", *options)
    queries = write_lines(tmp_path / "q.jsonl", [{"id": "q", "question": "the crew of Alien"}])
    run("search", tmp_path / "i", "--queries", queries, "--run", tmp_path / "out", "-k", 6)
    names = [row[2] for row in run_of(tmp_path / "out")]
    assert sorted(names) == ["diary.txt", "f1", "f2", "f3", "f4", "log%207#x"]
    assert [row[3] for row in run_of(tmp_path / "out")] == list("123456")
    pieces = json.loads(run("search", tmp_path / "i", "crew", "--json", "-k", 500).stdout)["hits"]
    cut = [hit for hit in pieces if hit["document"] == "log 7#x"]
    assert sorted(hit["id"] for hit in cut) == sorted(
        f"log 7#x#{position}" for position in range(len(cut))
    )


def test_queries_without_run_print_text_or_a_json_line_each(index, tmp_path):
    queries = write_lines(tmp_path / "q.jsonl.gz", [{"id": "ä", "question": QUESTION}] * 1)
    lines = run("search", index, "--queries", queries, "--json", "-k", 2).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["ä"]
    assert len(json.loads(lines[0])["hits"]) == 2
    assert f"ä: {QUESTION}" in run("search", index, "--queries", queries).stdout
    piped = run(
        "search", index, "--queries", "-", "--json", stdin=gzip.decompress(queries.read_bytes())
    )
    assert json.loads(piped.stdout)["id"] == "ä"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.jsonl", "".join(json.dumps(film) + "\n" for film in FILMS)),
        ("c.json", json.dumps(FILMS)),
        (
            "c.csv",
            "id,title,text\n" + "".join(f"{f['id']},{f['title']},{f['text']}\n" for f in FILMS),
        ),
        (
            "c.tsv",
            "id\ttitle\ttext\n" + "".join(f"{f['id']}\t{f['title']}\t{f['text']}\n" for f in FILMS),
        ),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_formats_give_the_same_hits(index, tmp_path, name, content, ending):
    data = content.encode()
    path = tmp_path / (name + ending)
    path.write_bytes(gzip.compress(data) if ending else data)
    run("index", path, "--index", tmp_path / "i", "--embedder", "hashing")
    assert hits(tmp_path / "i") == hits(index)


def test_folder_of_texts(tmp_path):
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "alien.md").write_text("# Alien\n\nAlien is a film by Ridley Scott.\n")
    (folder / "deep" / "Ridley_Scott.txt").write_text("Ridley Scott comes from South Shields.")
    (folder / "photo.png").write_bytes(b"\x89PNG")
    result = run("index", folder, "--index", tmp_path / "i", "--embedder", "hashing")
    assert "1 file of other types" in result.stdout
    assert hits(tmp_path / "i") == ["alien.md", "deep/Ridley_Scott.txt"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("".join(json.dumps(film) + "\n" for film in FILMS), {"f1", "f2", "f3", "f4"}),
        (json.dumps(FILMS), {"f1", "f2", "f3", "f4"}),
        ("Alien is a film by Ridley Scott.", None),
    ],
)
def test_standard_input(tmp_path, data, expected):
    run("index", "-", "--index", tmp_path / "i", "--embedder", "hashing", stdin=data)
    found = hits(tmp_path / "i")
    assert set(found) == expected if expected else len(found) == 1


def test_order_of_input_does_not_matter(tmp_path, index):
    other = make_index(tmp_path, FILMS[::-1])
    assert run("search", index, QUESTION, "--json").stdout == (
        run("search", other, QUESTION, "--json").stdout
    )


def test_the_advice_for_an_index_of_an_older_version(tmp_path):
    """An older format is assembled anew; an older extractor too needs a new index, by a command."""
    index = make_index(tmp_path)
    source, found = tmp_path / "films.jsonl", hits(index)
    manifest = index / (index / "CURRENT").read_text() / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 1}))
    refused = run("search", index, QUESTION, code=2).stderr
    assert f"graphmem verify {index} --repair" in " ".join(refused.split())
    run("verify", index, "--repair")
    assert hits(index) == found
    report = json.loads(run("index", source, "--index", index, "--json").stdout)
    assert (report["computed"], report["changed"], hits(index)) == (0, False, found)

    with sqlite3.connect(index / "store.sqlite") as db:
        (extractor,) = db.execute("SELECT value FROM meta WHERE key = 'extractor'").fetchone()
        older = extractor.rpartition(":")[0] + ":1"
        db.execute("UPDATE meta SET value = ? WHERE key = 'extractor'", (older,))
    for command in ("index", "add"):
        refused = " ".join(run(command, source, "--index", index, code=2).stderr.split())
        assert f"another version of the same extractor, {older}, now {extractor}: make" in refused
    words = refused.partition("remove this one then: graphmem ")[2].split()
    assert words == [
        "index",
        "SOURCE",
        "--index",
        "NEW",
        *["--extractor", "spacy", "--embedder", "hashing"],
    ]
    new = {"SOURCE": source, "NEW": tmp_path / "new"}
    run(*(new.get(word, word) for word in words))
    assert hits(tmp_path / "new") == found


def test_learned_words_are_kept_and_used(tmp_path):
    index = make_index(tmp_path)
    before = json.loads(run("search", index, QUESTION, "--json").stdout)
    kept = run("add", tmp_path / "films.jsonl", "--index", index, "--sparse")
    assert "nothing new" not in kept.output
    stats = json.loads(run("stats", index, "--json").stdout)
    assert stats["learned_words"] > 40
    after = json.loads(run("search", index, QUESTION, "--json").stdout)
    assert after["route"] == before["route"] == "graph" and after["hits"] != before["hits"]
    assert "whole" in run("verify", index, "--deep").stdout
