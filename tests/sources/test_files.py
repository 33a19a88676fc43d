"""Reading files and folders: formats, places of errors, hostile input."""

import gzip
import io
import json
import logging
import os
import sys
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem.base.text import content_hash
from graphmem.errors import DataError
from graphmem.sources import records
from graphmem.sources.files import ReadReport, gather_passages, read_passages, read_records
from graphmem.sources.options import ReadOptions
from graphmem.sources.records import parse_list
from graphmem.types import Passage


def count_words(texts):
    return [len(text.split()) for text in texts]


def write(path, content):
    """Write text, lines of JSON values, or bytes; compressed if the name ends in .gz."""
    if isinstance(content, list):
        content = "".join(json.dumps(item) + "\n" for item in content)
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def read(*sources, **options):
    return list(read_records(sources, **options))


def pipe(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


ADA = {"id": "a", "title": "Ada", "text": "She wrote it.", "year": 1843}
BEE = {"id": "b", "text": "It hums."}
TABLE = "id,title,text,year\na,Ada,She wrote it.,1843\nb,,It hums.,\n"


@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        ("c.jsonl", [ADA, BEE], (":1", ":2")),
        ("c.JSONL", [ADA, BEE], (":1", ":2")),
        ("c.json", json.dumps([ADA, BEE]), (": item 1", ": item 2")),
        ("c.json", json.dumps([ADA, BEE], indent=2), (": item 1", ": item 2")),
        ("c.csv", TABLE, (":2", ":3")),
        ("c.tsv", TABLE.replace(",", "\t"), (":2", ":3")),
        ("c.csv", TABLE.replace("\n", "\r\n"), (":2", ":3")),
        ("c.csv", "\ufeff" + TABLE, (":2", ":3")),
    ],
)
def test_every_record_format_gives_the_same_passages(tmp_path, name, content, places, gz):
    path = write(tmp_path / (name + gz), content)
    report = ReadReport()
    ada, bee = read(path, report=report)
    assert (ada.id, ada.title, ada.text, ada.document) == ("a", "Ada", "She wrote it.", "")
    assert (bee.id, bee.title, bee.text) == ("b", "", "It hums.")
    assert str(ada.metadata["year"]) == "1843"
    assert [ada.source, bee.source] == [f"{path}{place}" for place in places]
    assert report == ReadReport(files=1, records=2)


def test_beir_hipporag_and_integer_ids(tmp_path):
    beir = {"_id": "doc1", "title": None, "text": "A.", "metadata": {"url": "u", "year": 1}}
    hipporag = {"title": "T", "text": "B.", "idx": 0}
    both = {"id": 7, "_id": "x", "text": "C.", "metadata": "free", "year": 2}
    passages = read(write(tmp_path / "c.jsonl", [beir, hipporag, both]))
    assert [p.id for p in passages] == ["doc1", "0", "7"]
    assert [p.title for p in passages] == ["", "T", ""]
    assert passages[0].metadata == {"url": "u", "year": 1}
    assert passages[1].metadata == {}
    assert passages[2].metadata == {"_id": "x", "metadata": "free", "year": 2}


def test_a_record_without_id_is_named_by_its_content(tmp_path):
    rows = [{"text": "A.", "title": "T"}, {"id": None, "title": "T", "text": "A."}, {"text": "A."}]
    first, second, third = read(write(tmp_path / "c.jsonl", rows))
    assert first.id == second.id == content_hash("T", "A.")[:16]
    assert third.id != first.id


def test_text_files_are_documents_named_by_their_path(tmp_path):
    write(tmp_path / "notes_2024.txt.gz", b"\xef\xbb\xbfOne.\r\nTwo.\r\n")
    write(tmp_path / "deep/er/a.md", "Intro\n```\n# code\n```\n# The *Title* #\n\nBody.\n# More\n")
    write(tmp_path / "deep/b.md", "# Only a title\n")
    first, second, third = read(tmp_path)
    assert (first.id, first.document, first.title) == ("notes_2024.txt.gz",) * 2 + ("notes 2024",)
    assert first.text == "One.\nTwo."
    assert (second.id, second.title) == ("deep/b.md", "Only a title")
    assert (third.id, third.document, third.title) == ("deep/er/a.md",) * 2 + ("The Title",)
    assert third.text == "Intro\n```\n# code\n```\n\nBody.\n# More"
    assert read(tmp_path / "notes_2024.txt.gz")[0].id == "notes_2024.txt.gz"


def test_a_folder_is_read_sorted_without_hidden_files_and_links_out_of_it(tmp_path):
    outside = write(tmp_path / "outside/secret.txt", "secret")
    folder = tmp_path / "folder"
    for name in ("b.txt", "a.txt", "sub/c.txt", ".hidden.txt", ".git/d.txt"):
        write(folder / name, name)
    write(folder / "e.png", b"\x89PNG\r\n\x1a\n\0")
    (folder / "link.txt").symlink_to(outside)
    (folder / "sub/up").symlink_to(tmp_path)
    (folder / "inside.txt").symlink_to(folder / "a.txt")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    os.mkfifo(folder / "pipe.txt")
    report = ReadReport()
    assert [p.id for p in read(folder, report=report, options=ReadOptions())] == [
        "a.txt",
        "b.txt",
        "inside.txt",
        "sub/c.txt",
    ]
    assert [(Path(item.path).name, item.reason) for item in report.left_out] == [
        ("link.txt", "a link that leads out of the folder is not followed"),
        ("loop.txt", "a broken link"),
        ("up", "a link that leads out of the folder is not followed"),
    ]
    assert [(Path(item.path).name, item.reason) for item in report.other_files] == [
        ("pipe.txt", "no file, but a pipe or device"),
        ("e.png", "a picture, which has no text to read"),
    ]
    assert str(outside.resolve()) in report.left_out[0].hint
    assert (report.files, report.skipped_files, report.complete) == (5, 2, False)


def test_an_index_and_results_in_a_folder_are_no_part_of_it(tmp_path):
    for name in ("a.txt", "my.index/snapshot-1/manifest.json", "eval/runs/run.json", "b/c.json"):
        write(tmp_path / name, "[]" if name.startswith("b") else "{}")
    write(tmp_path / "my.index/store.sqlite", "")
    write(tmp_path / "eval/experiment.json", "{}")
    assert [p.id for p in read(tmp_path)] == ["a.txt"]


def test_a_folder_that_is_a_link_is_read(tmp_path):
    write(tmp_path / "real/a.txt", "A.")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert [p.id for p in read(tmp_path / "link")] == ["a.txt"]


@pytest.mark.parametrize(
    ("data", "ids"),
    [
        (b' \n\n{"id": 1, "text": "A."}\n{"id": 2, "text": "B."}\n', ["1", "2"]),
        (b'\xef\xbb\xbf{"id": 1, "text": "A."}', ["1"]),
        (b'[{"id": 1, "text": "A."}]', ["1"]),
        (b'[\n {"id": 1, "text": "A."}\n]', ["1"]),
        (b"\n[1] Plain. {text}\n", [content_hash("", "[1] Plain. {text}")[:16]]),
    ],
)
def test_standard_input(monkeypatch, data, ids):
    pipe(monkeypatch, data)
    passages = read("-")
    assert [p.id for p in passages] == ids
    assert all(p.document == "" and p.source.startswith("-") for p in passages)


def test_errors_in_standard_input_say_where(monkeypatch):
    pipe(monkeypatch, b'{"text": "A."}\n\n{"text": 3}\n')
    with pytest.raises(DataError, match="^-:3: 'text' must be a string, it is a number$"):
        read("-")


def test_a_file_called_dash_in_a_folder_is_not_standard_input(tmp_path, monkeypatch):
    write(tmp_path / "-", "x")
    write(tmp_path / "a.txt", "A.")
    monkeypatch.chdir(tmp_path)
    assert [p.text for p in read(".")] == ["x", "A."]


GOOD = '{"text": "fine"}\n'


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        ("c.jsonl", GOOD + "[1]", 2, "expected an object, found a list"),
        ("c.jsonl", GOOD + "{oops}", 2, "expected one JSON object: Expecting property name"),
        ("c.jsonl", GOOD + GOOD.strip() * 2, 2, "found more after character 16"),
        ("c.jsonl", "\n" + GOOD + '{"id": "x"', 3, "expected one JSON object"),
        ("c.jsonl", '{"body": "x", "id": 1}', 1, "expected a field 'text', found 'body', 'id'"),
        ("c.jsonl", "{}", 1, "expected a field 'text', found no field"),
        ("c.jsonl", '{"text": 3}', 1, "'text' must be a string, it is a number"),
        ("c.jsonl", '{"text": ["a"]}', 1, "'text' must be a string, it is a list"),
        ("c.jsonl", '{"text": "a", "title": {}}', 1, "'title' must be a string or null"),
        ("c.jsonl", '{"text": "a", "id": [1]}', 1, "'id' must be a string or an integer"),
        ("c.jsonl", '{"text": "a", "id": 5.5}', 1, "integer, it is 5.5; make it a string, or"),
        ("c.jsonl", '{"text": "a", "_id": true}', 1, "'_id' must be .* it is true or false"),
        ("c.jsonl", '{"text": "a", "idx": 1.5}', 1, "'idx' must be"),
        ("c.jsonl", '{"text": "a", "x": ' + "9" * 5000 + "}", 1, "expected one JSON object"),
        ("c.jsonl", '{"text": ' + "[" * 100_000, 1, "nested too deeply"),
        ("c.jsonl", GOOD.encode() * 3 + b'{"text": "\x81\x8d"}', 4, "UTF-8, found .* 0x81"),
        ("c.jsonl", "hi".encode("utf-16"), 1, "expected one JSON object"),
        ("c.txt", b"one\ntwo \x81\x8d", 2, "expected UTF-8, found the byte 0x81.*--encoding"),
        ("c.json", b'[\n{"text": "a"},\n{"text": "\x81\x8d"}]', 3, "expected UTF-8"),
        ("c.txt", bytes(range(256)), None, "not a text: it holds binary data"),
        ("c.json", "{}", None, "item 1: expected a list of objects, found '{'; .* is .jsonl"),
        ("c.json", "oops", None, "expected a list of objects, found 'o'"),
        ("c.json", '[{"text": "a"}, 3]', None, "item 2: expected an object, found '3'"),
        ("c.json", '[{"text": "a"}, {"text": 3}]', None, "item 2: 'text' must be a string"),
        ("c.json", '[{"text": "a"}, {"text": ]', None, "item 2: expected an object: Expecting"),
        ("c.json", '[{"text": "a"}', None, "expected , or ], found the end of the file"),
        ("c.json", '[{"text": "a"},]', None, "item 2: expected an object, found ']'"),
        ("c.json", '[{"text": "a"} {"text": "b"}]', None, "item 2: expected , or ], found '{'"),
        ("c.json", '[{"text": "a"}] x', None, "expected nothing more, found 'x'"),
        ("c.csv", "id;body\n1;a\n", 1, "'text' among them, found 'id, body'; .*--text-field"),
        ("c.csv", "id,text,text\n1,a,b\n", 1, "header of different names"),
        ("c.csv", 'text,n\n"a\nb",1\nc\n', 4, "expected 2 cells, found 1"),
        ("c.csv", 'text,n\n"a\nb",1\nc,"d\ne\n', 4, "not a row of a table"),
        ("c.tsv", "text\tn\na\tb\tc\n", 2, "expected 2 cells, found 3"),
        ("c.txt.gz", None, None, "not a whole gzip file"),
    ],
)
def test_bad_input_is_an_error_that_says_where(tmp_path, name, content, line, message):
    path = tmp_path / name
    path.write_bytes(b"no gzip") if content is None else write(path, content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert (caught.value.path, caught.value.line) == (str(path), line)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.csv", "ID;Title;Text;Year\n7;Ada;She rows.;1843\n"),
        ("c.tsv", "Id\tTITLE\tTEXT\tYear\n7\tAda\tShe rows.\t1843\n"),
        ("c.jsonl", '{"Id": 7, "Title": "Ada", "Text": "She rows.", "Year": "1843"}'),
    ],
)
def test_names_of_fields_may_have_capitals(tmp_path, name, content):
    (passage,) = read(write(tmp_path / name, content))
    assert (passage.id, passage.title, passage.text) == ("7", "Ada", "She rows.")
    assert passage.metadata == {"Year": "1843"}


def test_of_two_fields_that_differ_by_capitals_the_one_as_named_counts(tmp_path):
    (passage,) = read(write(tmp_path / "c.csv", "id,text,Text,ID,Id\n7,a,b,8,9\n"))
    assert (passage.id, passage.text, passage.metadata["Text"]) == ("7", "a", "b")
    with pytest.raises(DataError, match="expected a field 'text'"):
        read(write(tmp_path / "c.jsonl", '{"Text": "a", "TEXT": "b"}'))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.csv", ",text\n0,She rows.\n"),  # as pandas numbers its rows
        ("c.jsonl", '{"": "0", "text": "She rows."}'),
    ],
)
def test_a_field_without_a_name_is_neither_title_nor_id(tmp_path, name, content):
    (passage,) = read(write(tmp_path / name, content))
    assert (passage.title, passage.metadata) == ("", {"": "0"})
    assert passage.id == content_hash("", "She rows.")[:16]


def test_a_truncated_gzip_file_is_an_error(tmp_path):
    path = write(tmp_path / "c.jsonl.gz", GOOD * 1000)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a whole gzip file"):
        read(path)


def test_sources_are_looked_up_before_anything_is_read(tmp_path):
    good = write(tmp_path / "a.txt", "A.")
    (tmp_path / "empty").mkdir()
    for source, message in [
        (tmp_path / "missing.jsonl", "no such file or folder"),
        ("x" * 5000, "cannot be read|no such file"),
        ("nul\0.txt", "no such file"),
        ("Ada wrote it.", r"no such file or folder; a text is given as Passage\(id, text\)"),
    ]:
        with pytest.raises(DataError, match=message):
            read_records([good, source])


@pytest.mark.parametrize("name", ["c.txt", "c.md", "c.jsonl", "c.json", "c.csv", "c.txt.gz"])
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_empty_files_give_nothing_and_a_warning_where_named(tmp_path, caplog, name, content):
    path = write(tmp_path / name, content)
    with caplog.at_level(logging.WARNING):
        assert read(tmp_path) == []
        assert caplog.messages == []
        assert read(path) == []
    assert caplog.messages == [f"{path}: no text in it"]


def test_blank_records_are_skipped_and_counted_and_short_ones_kept(tmp_path):
    texts = ["", " \n\t", "\0\0", "x", "🎉", "\ufffd"]
    report = ReadReport()
    passages = read(write(tmp_path / "c.jsonl", [{"text": text} for text in texts]), report=report)
    assert [p.text for p in passages] == ["x", "🎉", "\ufffd"]
    assert (report.records, report.skipped_empty) == (6, 3)


def test_hostile_characters(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text(
        r'{"id": "\ud800", "title": "\udfff!", "text": "a\u0000b\r\nc \ud83d\ude00 \ud800",'
        r' "\udc00": [{"k": "\uDC00"}], "n": NaN, "ok": "\\ud800"}'
        "\n"
        '{"text": "U+2028 \u2028 and \u0085 are no line ends"}\n'
        '{"text": "שלום \u202e עולם"}\n'
    )
    odd, lines, hebrew = read(path)
    assert (odd.id, odd.title, odd.text) == ("\ufffd", "\ufffd!", "a b\nc 😀 \ufffd")
    assert odd.metadata == {"\ufffd": [{"k": "\ufffd"}], "n": None, "ok": "\\ud800"}
    assert lines.text == "U+2028 \u2028 and \u0085 are no line ends"
    assert hebrew.text == "שלום \u202e עולם"
    for passage in (odd, lines, hebrew):
        json.dumps([passage.id, passage.title, passage.text, passage.metadata]).encode()
        repr(passage).encode()


def test_file_names_that_are_not_utf8(tmp_path):
    try:
        write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")), "A.")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    (passage,) = read(tmp_path)
    assert (passage.id, passage.title) == ("caf\ufffd.txt", "caf\ufffd")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "txt"])
def test_a_megabyte_in_one_text_is_read_and_cut_whole(tmp_path, kind):
    text = "Many words, and a “quote”. " * 40_000
    content = {
        "csv": f'text\n"{text}"\n',
        "jsonl": json.dumps({"text": text}),
        "json": json.dumps([{"text": text}]),
        "txt": text,
    }[kind]
    path = write(tmp_path / f"big.{kind}", content)
    passages = list(read_passages([path], count_tokens=count_words, passage_tokens=100))
    assert len(passages) >= 2000
    assert "".join("".join(p.text.split()) for p in passages) == "".join(text.split())


def test_lines_are_streamed(tmp_path):
    path = tmp_path / "c.jsonl"
    with path.open("w") as file:
        file.write('{"text": "fine"}\n' * 2000)
        file.write("oops\n")
    report = ReadReport()
    passages = read_passages([path], count_tokens=count_words, passage_tokens=8, report=report)
    assert len(list(islice(passages, 10))) == 10
    assert report.passages == 10
    assert report.records < 2000


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.text() | st.integers(), max_size=3)),
    st.integers(1, 50),
    st.sampled_from([None, 1]),
)
def test_a_json_list_is_parsed_the_same_however_it_is_cut(records, size, indent):
    text = json.dumps(records, indent=indent)
    chunks = [text[i : i + size] for i in range(0, len(text), size)]
    found = list(parse_list(chunks, "x.json"))
    assert [record for _, record in found] == records
    assert [place.item for place, _ in found] == list(range(1, len(records) + 1))


def test_a_large_item_is_not_parsed_for_every_chunk(monkeypatch):
    text = json.dumps([{"text": "a" * 3_000_000}])
    parse, parsed = records._parse, []

    def recorded(text, at):
        parsed.append(len(text))
        return parse(text, at)

    monkeypatch.setattr(records, "_parse", recorded)
    chunks = (text[i : i + 100] for i in range(0, len(text), 100))
    assert len(list(parse_list(chunks, "x.json"))) == 1
    assert 1 <= len(parsed) < 30 and sum(parsed) < 4 * len(text)


def test_a_fault_in_a_json_list_ends_the_reading():
    read_chunks = iter(['[{"text": "a"}, {"text" "b"}', " " * 100, "never read"])
    with pytest.raises(DataError, match="item 2: expected an object: Expecting ':'"):
        list(parse_list(read_chunks, "x.json"))
    assert next(read_chunks) == "never read"


def test_cut_records_and_files_are_numbered(tmp_path):
    text = "One two three four. " * 6
    write(tmp_path / "a.txt", text)
    write(tmp_path / "b.jsonl", [{"text": text}, {"id": "r", "text": text, "year": 1}])
    report = ReadReport()
    passages = list(
        read_passages([tmp_path], count_tokens=count_words, passage_tokens=9, report=report)
    )
    derived = content_hash("", text.strip())[:16]
    assert [p.id for p in passages] == [
        *(f"a.txt#{n}" for n in range(3)),
        *(f"{derived}#{n}" for n in range(3)),
        *(f"r#{n}" for n in range(3)),
    ]
    assert [p.document for p in passages] == ["a.txt"] * 3 + [derived] * 3 + ["r"] * 3
    assert [p.position for p in passages] == [0, 1, 2] * 3
    assert passages[-1].metadata == {"year": 1}
    assert report == ReadReport(files=2, records=3, passages=9)


def test_what_is_neither_path_nor_passage_is_refused():
    options = {"count_tokens": count_words, "passage_tokens": 10}
    one = Passage("1", "Ada")
    assert list(gather_passages(one, **options)) == [one]
    for what, message in [
        ([{"id": "1", "text": "Ada"}], r"a path or a Passage, not a dict; make Passage\(\*\*item"),
        ({"id": "1", "body": "Ada"}, r"the key 'text'; .*text=item\['body'\]"),
        ([one, {"text": "Ada"}], r"item 2: .* without the key 'id'; make Passage\(id="),
        ([("1", "Ada")], r"not a tuple; make Passage\("),
        (None, "expected paths or Passage objects, not None"),
        (5, "expected paths or Passage objects, not a int"),
    ]:
        with pytest.raises(DataError, match=message):
            gather_passages(what, **options)
    with pytest.raises(DataError, match="not both"):
        gather_passages([one, "notes.txt"], **options)
