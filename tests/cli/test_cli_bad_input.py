"""Bad input and damaged indexes: the place, what was expected, the exit code, what is kept."""

import json
import re
import sqlite3

import pytest
from cli_helpers import FILMS, QUESTION, hits, make_index, run, write_lines
from filelock import FileLock

ALL = ["f1", "f2", "f3", "f4"]


def fails(*arguments, code=2, stdin=None):
    """The one line that a failing command prints."""
    result = run(*arguments, code=code, stdin=stdin)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture
def index(tmp_path):
    return make_index(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "line", "expected"),
    [
        ("b.jsonl", '{"text": "good"}\n{"text": "bad"\n', 2, "expected one JSON object"),
        ("b.jsonl", '\n{"text": "a"} {"text": "b"}\n', 2, "expected one JSON object"),
        ("b.jsonl", '{"text": "good"}\n["text"]\n', 2, "expected an object, found a list"),
        ("b.jsonl", '{"id": 1, "title": "x"}\n', 1, "expected a field 'text', found 'id', 'title'"),
        ("b.jsonl", '{"text": 3}\n', 1, "'text' must be a string, it is a number"),
        ("b.jsonl", '{"text": "a", "title": []}\n', 1, "'title' must be a string or null"),
        ("b.jsonl", '{"text": "a", "id": true}\n', 1, "'id' must be a string or an integer"),
        ("b.csv", "id,body\n1,a\n", 1, "expected a header of different names, 'text' among them"),
        ("b.csv", "id,text\n1,a\n2\n", 3, "expected 2 cells, found 1"),
        ("b.txt", b"fine\n\x81\x8d", 2, "expected UTF-8, found the byte 0x81"),
    ],
)
def test_malformed_input_names_file_line_and_what_was_expected(
    index, tmp_path, name, content, line, expected
):
    good = write_lines(tmp_path / "good.jsonl", [{"id": "new", "text": "Alien again."}])
    bad = tmp_path / name
    bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = fails("index", good, bad, "--index", index, "--strict")
    assert message.startswith(f"error: {bad}:{line}: ")
    assert expected in message
    assert sorted(hits(index)) == ALL  # all or nothing of one command, and what was there stays
    said = run("index", good, bad, "--index", index, code=3).stdout
    assert f"{bad}:{line}" in said
    assert expected in said
    assert "new" in hits(index)  # what is fine is taken


def test_malformed_list_names_the_item(index, tmp_path):
    bad = tmp_path / "b.json"
    bad.write_text('[{"text": "good"}, {"text": 5}]')
    assert f"{bad}: item 2: 'text' must be a string" in fails(
        "index", bad, "--index", index, "--strict"
    )
    bad.write_text('{"text": "one object"}')
    assert "expected a list of objects" in fails("index", bad, "--index", index)


def test_malformed_standard_input(index):
    given = '{"text": "good"}\n{"text"\n'
    assert "error: -:2: expected" in fails("add", "-", "--index", index, "--strict", stdin=given)
    assert "  -:2: expected" in run("add", "-", "--index", index, stdin=given, code=3).stdout


def test_sources_that_cannot_be_read(index, tmp_path):
    assert "no such file" in fails("index", tmp_path / "no.jsonl", "--index", index)
    (tmp_path / "x.pdf").write_bytes(b"%PDF-")
    assert "a damaged PDF file" in fails("index", tmp_path / "x.pdf", "--index", index)
    (tmp_path / "x.png").write_bytes(b"\x89PNG\0")
    assert "x.png: a picture" in fails("index", tmp_path / "x.png", "--index", index)
    (tmp_path / "x.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00broken")
    assert "gzip" in fails("index", tmp_path / "x.jsonl.gz", "--index", index)
    assert sorted(hits(index)) == ALL


def test_folder_without_readable_files(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    assert "no file to read in this folder" in fails("index", folder, "--index", tmp_path / "i")
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(b"\x89PNG")
    message = fails("index", folder, "--index", tmp_path / "i")
    assert "a.png: a picture, which has no text to read (and 1 more: no file to read)" in message
    assert not (tmp_path / "i").exists()


@pytest.mark.parametrize("content", ["", "\n\n", '{"text": ""}\n{"text": " \\n "}\n'])
def test_nothing_but_empty_files_and_passages(index, tmp_path, content):
    (tmp_path / "empty.jsonl").write_text(content)
    source = tmp_path / "empty.jsonl"
    result = run("index", source, "--index", tmp_path / "i", "--embedder", "hashing", code=2)
    assert "no passages in the input: every source is empty" in result.stderr
    assert "nothing new" in run("index", source, "--index", index).stdout
    films = tmp_path / "films.jsonl"
    run("index", source, films, "--index", tmp_path / "i", "--embedder", "hashing")
    assert sorted(hits(tmp_path / "i")) == ALL


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "名",
        "🦊🦊👩‍👩‍👧 🏴‍☠️",
        "a\0b\0\0Alien\0",
        "\0\0 z",
        "Alien met Ridley Scott. " * 45_000,
        "x" * 1_000_000,
        "アリアン" * 90_000,
    ],
    ids=["letter", "ideograph", "emoji", "nul", "nuls", "1MB", "1MB-word", "1MB-japanese"],
)
def test_odd_passages_are_indexed_found_and_explained(tmp_path, text):
    records = [*FILMS, {"id": "odd", "title": "Odd One", "text": text}]
    index = make_index(tmp_path, records, "--passage-tokens", 256)
    for preset in ("default", "dense", "bm25"):
        found = hits(index, "Odd One " + text[:50], "--preset", preset, k=5000)
        assert any(name.split("#")[0] == "odd" for name in found)
        assert preset == "bm25" or set(ALL) < set(found)
    run("explain", index, "Who is Odd One?")


def test_nul_only_is_an_empty_passage(tmp_path):
    source = write_lines(tmp_path / "c.jsonl", [*FILMS, {"id": "odd", "text": "\0\0"}])
    report = run("index", source, "--index", tmp_path / "i", "--embedder", "hashing", "--json")
    assert json.loads(report.stdout)["read"]["skipped_empty"] == 1


def test_same_id_with_other_text_names_both_places(index, tmp_path):
    one = {"id": "n", "text": "One text."}
    other = {"id": "n", "text": "Another text."}
    here = write_lines(tmp_path / "here.jsonl", [FILMS[0], one, other])
    message = fails("index", here, "--index", index, "--strict")
    assert message.startswith(f"error: {here}:3: ")
    assert f"here and at {here}:2" in message
    assert sorted(hits(index)) == ALL
    said = run("index", here, "--index", index, code=3).stdout  # what is fine is taken
    assert f"{here}:3: passage id 'n' comes twice" in said and f"here and at {here}:2" in said
    assert sorted(hits(index)) == [*ALL, "n"]
    run("delete", index, "--id", "n")
    first, second = (write_lines(tmp_path / f"{n}.jsonl", [r]) for n, r in enumerate([one, other]))
    run("add", first, "--index", index)
    message = fails("add", second, "--index", index)
    assert f"{second}:1" in message
    assert f"{first}:1" in message
    assert sorted(hits(index)) == [*ALL, "n"]


def test_same_id_names_files_as_they_were_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = [{"id": "n", "text": "One text."}, {"id": "n", "text": "Another text."}]
    write_lines(tmp_path / "here.jsonl", records)
    said = run("index", "here.jsonl", "--index", "i", "--embedder", "hashing", code=3).stdout
    assert "  here.jsonl:2: passage id 'n' comes twice" in said
    assert "here and at here.jsonl:1;" in said
    write_lines(tmp_path / "there.jsonl", records[1:])
    message = fails("index", "there.jsonl", "--index", "i")
    assert message.startswith("error: there.jsonl:1: ") and "here and at here.jsonl:1;" in message
    assert "graphmem index" not in message  # which is what was run


@pytest.mark.parametrize("long_first", [True, False])
def test_same_id_with_a_text_that_is_cut_and_one_that_is_not(tmp_path, long_first):
    records = [{"id": "n", "text": "Alien came back. " * 300}, {"id": "n", "text": "Short."}]
    records = records if long_first else records[::-1]
    source = write_lines(tmp_path / "c.jsonl", [*records, {"id": "m", "text": "Also."}])
    index = tmp_path / "i"
    options = ("--index", index, "--embedder", "hashing", "--passage-tokens", 50)
    message = fails("index", source, *options, "--strict")
    assert f"{source}:2" in message
    assert f"{source}:1" in message
    assert f"{source}:2" in run("index", source, *options, code=3).stdout
    found = hits(index, "Alien Short", "--preset", "dense", k=5000)
    assert {name.partition("#")[0] for name in found} == {"m", "n"}
    assert ("n" in found) != long_first  # all of the first, and nothing of the second


def test_same_id_with_the_same_text_counts_once(tmp_path):
    index = make_index(tmp_path, [*FILMS, *FILMS, FILMS[1]])
    assert sorted(hits(index)) == ALL


def test_the_same_record_in_another_file_changes_nothing(tmp_path):
    one = {"id": "n", "text": "One text.", "year": 1}
    first = write_lines(tmp_path / "1.jsonl", [one])
    second = write_lines(tmp_path / "2.jsonl", [{**one, "year": 2}, {"id": "m", "text": "More."}])
    index = tmp_path / "i"
    run("index", first, "--index", index, "--embedder", "hashing")
    report = json.loads(run("index", second, "--index", index, "--json").stdout)
    assert (report["added"], report["replaced"], report["deleted"]) == (1, 0, 0)
    assert sorted(hits(index, "text", "--preset", "dense")) == ["m", "n"]
    second.write_text("")
    assert json.loads(run("index", second, "--index", index, "--json").stdout)["deleted"] == 1
    assert hits(index, "text", "--preset", "dense") == ["n"]  # which is the first file's still


@pytest.mark.parametrize("command", ["search", "explain"])
def test_missing_index(tmp_path, command):
    assert "no index here; make one: graphmem index" in fails(command, tmp_path / "no", "x")
    (tmp_path / "file").write_text("")
    assert "no index here" in fails(command, tmp_path / "file", "x")


def test_missing_index_for_stats_and_add(tmp_path):
    assert "no index here" in fails("stats", tmp_path)
    source = write_lines(tmp_path / "films.jsonl", FILMS)
    assert "no index here" in fails("add", source, "--index", tmp_path / "no")


def test_a_folder_with_other_files_is_not_taken_for_an_index(tmp_path):
    source = write_lines(tmp_path / "films.jsonl", FILMS)
    message = fails("index", source, "--index", tmp_path, "--embedder", "hashing")
    assert "is no graphmem index; name a new folder" in message
    assert [path.name for path in tmp_path.iterdir()] == ["films.jsonl"]


def test_unfinished_index_says_how_to_go_on(index, tmp_path):
    (index / "CURRENT").unlink()
    for command in ("search", "explain"):
        message = fails(command, index, QUESTION)
        assert "never finished" in message
        assert "run the same graphmem index command again" in message
    report = run("index", tmp_path / "films.jsonl", "--index", index, "--json")
    assert json.loads(report.stdout)["computed"] == 0
    assert sorted(hits(index)) == ALL


def truncate(file):
    file.write_bytes(file.read_bytes()[:-7])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("snapshot-000001/vectors.npy", truncate),
        ("snapshot-000001/manifest.json", truncate),
        ("snapshot-000001/manifest.json", lambda file: file.unlink()),
        ("snapshot-000001/records_data.npy", lambda file: file.unlink()),
        ("CURRENT", lambda file: file.write_text("../../etc")),
        ("CURRENT", lambda file: file.write_text("")),
        ("CURRENT", lambda file: file.write_bytes(b"\xff")),
    ],
)
def test_damaged_snapshot_is_named_and_mended_by_index(index, tmp_path, name, damage):
    before = hits(index)
    damage(index / name)
    for command in ("search", "explain"):
        message = fails(command, index, QUESTION, code=1)
        assert name.split("/")[0] in message
        assert "run graphmem index" in message
    report = run("index", tmp_path / "films.jsonl", "--index", index, "--json")
    assert json.loads(report.stdout)["computed"] == 0  # what was computed is not lost
    assert hits(index) == before


def test_store_that_is_no_database(index, tmp_path):
    (index / "store.sqlite").write_bytes(b"no database" * 1000)
    assert "store.sqlite" in fails("add", tmp_path / "films.jsonl", "--index", index, code=1)
    assert sorted(hits(index)) == ALL  # the snapshot is whole


def test_other_format_of_the_snapshot(index, tmp_path):
    manifest = index / "snapshot-000001" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    message = fails("search", index, QUESTION)
    assert re.search(r"format 99, .* reads format \d+: run graphmem verify .* --repair", message)
    run("index", tmp_path / "films.jsonl", "--index", index)
    assert sorted(hits(index)) == ALL


def test_other_format_of_the_store(index, tmp_path):
    with sqlite3.connect(index / "store.sqlite") as db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    db.close()
    message = fails("index", tmp_path / "films.jsonl", "--index", index)
    assert re.search(r"format 99, .* reads format \d+: index the sources again into", message)


def test_other_embedder_says_what_differs_and_what_to_do(index, tmp_path):
    source = tmp_path / "films.jsonl"
    message = fails("add", source, "--index", index, "--embedder", "default")
    assert "made with the embedder hashing" in message
    assert "not all-MiniLM-L6-v2" in message
    assert "index the sources into a new folder" in message
    assert sorted(hits(index)) == ALL


def test_other_extractor_says_what_differs(index, tmp_path):
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    (pipeline / "meta.json").write_text('{"lang": "xx", "name": "other", "version": "9"}')
    message = fails("add", tmp_path / "films.jsonl", "--index", index, "--spacy-model", pipeline)
    assert "made with the extractor spacy:en_core_web_sm" in message
    assert "not spacy:xx_other-9" in message


def test_models_that_are_not_there(index, tmp_path):
    new = ("index", tmp_path / "films.jsonl", "--index", tmp_path / "new")
    message = fails(*new, "--embedder", "word2vec")
    assert "unknown embedder 'word2vec': expected default" in message
    message = fails(*new, "--embedder", "hashing", "--spacy-model", "no_such", code=1)
    assert "no_such" in message


def test_locked_index(index, tmp_path):
    with FileLock(index / "lock"):
        message = fails("add", tmp_path / "films.jsonl", "--index", index, code=1)
        assert "another process is writing to this index" in message
        assert sorted(hits(index)) == ALL  # readers are not kept out


@pytest.mark.parametrize("question", ["", "   ", "\n"])
@pytest.mark.parametrize("command", ["search", "explain"])
def test_empty_question(index, command, question):
    assert "the question is empty" in fails(command, index, question)


@pytest.mark.parametrize(
    "question",
    ["Где родился режиссёр?", "導演出生在哪裡？", "أين ولد المخرج؟", "🦊?", "?", "\udcff"],
)
@pytest.mark.parametrize("preset", ["default", "bm25"])
def test_question_in_another_script(index, question, preset):
    found = sorted(hits(index, question, "--preset", preset))
    assert found == [] or (preset == "default" and found == ALL)  # one letter's hash may be alike
    run("explain", index, question, "--preset", preset)


def test_unknown_preset_lists_the_choices(index):
    for command in ("search", "explain"):
        message = fails(command, index, "x", "--preset", "magic")
        listed = message.split("no preset 'magic': choose from ")[1].split(", ")
        assert {"default", "dense", "bm25"} <= set(listed)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["x", "--queries", "q.jsonl"],
        ["x", "--run", "out.trec"],
        ["x", "-k", "0"],
        ["x", "-k", "many"],
        ["x", "--nothing"],
    ],
)
def test_wrong_usage(index, options):
    assert "Usage:" in run("search", index, *options, code=2).stderr


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "no question in it"),
        ('{"id": "q"}\n', ":1: expected 'question' (or 'text')"),
        ('{"id": "q", "question": " "}\n', ":1: expected 'question'"),
        ('{"question": "x"}\n', ":1: expected 'id' (or '_id')"),
        ('{"id": 1, "text": "x"}\n{"id": "1", "text": "y"}\n', ":2: question id '1' comes twice"),
        ("hello\n", ":1: expected one JSON object"),
    ],
)
def test_malformed_question_file(index, tmp_path, content, expected):
    queries = tmp_path / "q.jsonl"
    queries.write_text(content)
    out = tmp_path / "out.trec"
    assert expected in fails("search", index, "--queries", queries, "--run", out)
    assert not out.exists()


def test_question_and_run_files_that_cannot_be_opened(index, tmp_path):
    missing = ("search", index, "--queries", tmp_path / "no.jsonl")
    assert "no such file" in fails(*missing)
    queries = write_lines(tmp_path / "q.jsonl", [{"id": "q", "question": "x"}])
    out = tmp_path / "no" / "out.trec"
    assert "cannot be written" in fails("search", index, "--queries", queries, "--run", out, code=1)


def test_bad_cutting_options(index, tmp_path):
    source = tmp_path / "films.jsonl"
    arguments = ("add", source, "--index", index, "--passage-tokens", 20, "--overlap", 20)
    assert "overlap is 20" in fails(*arguments)
