"""Folders, tables, records and encodings as people have them: shared/cases 20 to 25, 28, 37 on."""

import json

import pytest
from cli_helpers import run, write_lines

from graphmem import GraphMemory, Passage
from graphmem.errors import DataError
from graphmem.sources.files import read_passages
from graphmem.sources.options import ReadOptions, ReadReport
from graphmem.storage.current import open_current

BRIDGE = "The Larkmoor Bridge was designed by Edmund Ravenscroft."


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(*paths, tokens=1000, report=None, **options):
    return list(
        read_passages(
            paths,
            count_tokens=lambda texts: [len(text.split()) for text in texts],
            passage_tokens=tokens,
            report=report,
            options=ReadOptions(**options),
        )
    )


def index(*arguments, code=0):
    return run("index", *arguments, "--embedder", "hashing", "--workers", 1, code=code)


def ids(folder):
    snapshot = open_current(folder)
    return sorted(snapshot.passage(row).id for row in range(snapshot.passages))


def test_unfit_files_are_all_named_and_the_rest_is_indexed(tmp_path):
    folder = tmp_path / "notes"
    for n in (1, 2, 3):
        write(folder / f"note{n}.txt", f"Note {n} was written by Gideon Ellison.")
    write(folder / "latin1.txt", "The café menu of Lowick.\n".encode("latin-1"))
    write(folder / "half.jsonl", '{"text": ')
    write(folder / "package.json", '{"name": "x", "version": "1"}\n')
    write(folder / "prices.csv", "id,content\n1,bread\n")
    write(folder / "photo.png", b"\x89PNG\r\n\x1a\n\0")
    done = index(folder, "--index", tmp_path / "i", code=3)
    for said in ("half.jsonl:1: expected one JSON object", "package.json: item 1: expected a list"):
        assert said in done.stdout
    assert "prices.csv:1: expected a header" in done.stdout
    assert "1 in cp1252" in done.stdout
    assert ids(tmp_path / "i") == ["latin1.txt", "note1.txt", "note2.txt", "note3.txt"]
    report = json.loads(index(folder, "--index", tmp_path / "i", "--json", code=3).stdout)
    assert [item["path"].split("/")[-1] for item in report["left_out"]] == [
        "half.jsonl",
        "package.json",
        "prices.csv",
    ]
    assert report["left_out"][2]["hint"].startswith("name the column of the texts with --text")
    assert [item["reason"] for item in report["other_files"]] == [
        "a picture, which has no text to read"
    ]
    assert list(report["encodings"].values()) == ["cp1252"]
    stopped = index(folder, "--index", tmp_path / "j", "--strict", code=2)
    assert "half.jsonl:1: expected one JSON object" in stopped.stderr
    assert not (tmp_path / "j").exists()
    kept = ("--exclude", "*.json*", "--exclude", "prices.*")
    index(folder, "--index", tmp_path / "k", *kept)  # 0: what the user leaves out is no fault
    index(folder, "--index", tmp_path / "l", "--include", "note*")
    assert ids(tmp_path / "l") == ["note1.txt", "note2.txt", "note3.txt"]


def test_ignore_files_are_obeyed_on_request(tmp_path):
    write(tmp_path / ".gitignore", "build/\n*.log\n!keep.log\n/top.txt\n")
    write(tmp_path / "sub/.graphmemignore", "draft.txt\n!top.txt\n")
    for name in ("a.txt", "build/b.txt", "x.log", "keep.log", "top.txt"):
        write(tmp_path / name, name)
    for name in ("sub/draft.txt", "sub/top.txt", "sub/x.log"):
        write(tmp_path / name, name)
    assert [p.id for p in read(tmp_path, gitignore=True)] == [
        "a.txt",
        "keep.log",
        "sub/top.txt",
    ]
    assert len(read(tmp_path)) == 8


def test_files_of_the_same_name_in_two_folders_live_side_by_side(tmp_path):
    alpha = write(tmp_path / "alpha/README.md", "The Alpha mill was built by Imogen Drayton.")
    beta = write(tmp_path / "beta/README.md", "The Beta mill was built by Cedric Carmody.")
    both = (alpha.parent, beta.parent, "--index", tmp_path / "i")
    index(*both)
    assert ids(tmp_path / "i") == ["alpha/README.md", "beta/README.md"]
    assert "nothing new" in index(*both).stdout
    assert "nothing new" in index(alpha.parent, "--index", tmp_path / "i").stdout
    index(alpha, beta, "--index", tmp_path / "j")
    assert ids(tmp_path / "j") == ["alpha/README.md", "beta/README.md"]
    index(alpha.parent, "--index", tmp_path / "k")
    assert ids(tmp_path / "k") == ["README.md"]  # as ever, where no other has the name
    index(beta.parent, "--index", tmp_path / "k")
    assert ids(tmp_path / "k") == ["README.md", "beta/README.md"]
    for folder in (alpha.parent, beta.parent):
        assert "nothing new" in index(folder, "--index", tmp_path / "k").stdout


def test_a_folder_that_moved_keeps_its_ids(tmp_path):
    write(tmp_path / "old/notes.md", BRIDGE)
    index(tmp_path / "old", "--index", tmp_path / "i")
    (tmp_path / "old").rename(tmp_path / "new")
    assert "nothing new" in index(tmp_path / "new", "--index", tmp_path / "i").stdout
    assert ids(tmp_path / "i") == ["notes.md"]


def test_a_folder_of_links_says_how_to_take_them(tmp_path):
    write(tmp_path / "real/a.txt", "Edmund Ravenscroft grew up in Penderwick.")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/real").symlink_to("../real")
    (tmp_path / "notes/a.txt").symlink_to("../real/a.txt")
    said = index(tmp_path / "notes", "--index", tmp_path / "i", code=2).stderr
    assert "a link that leads out of the folder is not followed (and 1 more" in said
    assert f"name what it leads to as a source: {(tmp_path / 'real').resolve()}" in said


@pytest.mark.parametrize(
    "codec",
    [
        *("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"),
        *("utf-32-be", "cp1252"),
    ],
)
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl", "a.json"])
def test_encodings_are_told_with_and_without_marks(tmp_path, codec, name):
    text = "The “Larkmoor” bridge – the oldest – was designed by Zoë Müller."
    content = {
        "a.txt": text + "\n",
        "a.csv": f"id,text\r\n1,{text}\r\n",
        "a.jsonl": json.dumps({"id": "1", "text": text}, ensure_ascii=False) + "\n",
        "a.json": json.dumps([{"id": "1", "text": text}], ensure_ascii=False),
    }[name]
    (passage,) = read(write(tmp_path / name, content.encode(codec)))
    assert passage.text == text


@pytest.mark.parametrize(
    ("codec", "text"),
    [
        ("cp1251", "Мост Ласточка построил Семён Берёзкин."),
        ("koi8-r", "Мост Ласточка построил Семён Берёзкин."),
        ("utf-16-le", "Мост Ласточка построил Семён Берёзкин."),
        ("cp932", "つばめ橋は山田太郎が設計した。"),
        ("euc_jp", "つばめ橋は山田太郎が設計した。"),
        ("iso2022_jp", "つばめ橋は山田太郎が設計した。"),
        ("utf-16-be", "橋は山田太郎によって設計されました。"),
        ("gb18030", "这座桥由王小明设计，于一九二一年建成。"),
        ("big5", "這座橋由王小明設計，於一九二一年建成。"),
        ("cp949", "이 다리는 김철수가 설계하였다."),
        ("cp1253", "Η γέφυρα σχεδιάστηκε από τον Νίκο Παπαδόπουλο."),
        ("cp1250", "Zażółć gęślą jaźń. Mosty w Gdańsku zbudował Jan Łukasiewicz."),
        ("iso8859-2", "Zażółć gęślą jaźń. Mosty w Gdańsku zbudował Jan Łukasiewicz."),
        ("cp1256", "تم تصميم الجسر من قبل أحمد علي"),
    ],
)
def test_old_code_pages_are_found_out_and_said(tmp_path, codec, text):
    report = ReadReport()
    path = write(tmp_path / "a.txt", text.encode(codec))
    assert [p.text for p in read(path, report=report)] == [text]
    assert report.encodings == {str(path): codec}
    assert [p.text for p in read(path, encoding=codec)] == [text]


def test_an_encoding_that_is_not_likely_enough_is_asked_for(tmp_path):
    path = write(tmp_path / "a.txt", "fine\nx\x8ax\x8d\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"a.txt:2: expected UTF-8, .* 0x8a.*--encoding cp1252"):
        read(path)
    with pytest.raises(DataError, match="no encoding 'klingon'; expected one like cp1252"):
        read(path, encoding="klingon")
    with pytest.raises(DataError, match="expected ascii, found the byte 0x8a"):
        read(path, encoding="ascii")


def test_quotes_between_tabs_are_characters_like_others(tmp_path):
    rows = ['1\t"Larkmoor is a bridge', "2\tRivendale is a mill.", '3\tThe tube is 5" wide.']
    rows += ['4\t"Ashgrove" is a farm.', '5\tBrightwater is a lake"']
    table = write(tmp_path / "a.tsv", "\n".join(["id\ttext", *rows]) + "\n")
    assert [f"{p.id}\t{p.text}" for p in read(table)] == rows
    quoted = write(tmp_path / "b.tsv", '"id"\t"text"\n"1"\t"two\nlines"\n')
    assert [p.text for p in read(quoted)] == ["two\nlines"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_of_tables_are_found_out_or_named(tmp_path, separator):
    lines = [separator.join(["id", "text", "note"]), separator.join(["1", BRIDGE, "x"])]
    path = write(tmp_path / "a.csv", "\n".join(lines))
    for options in ({}, {"delimiter": separator}):
        (passage,) = read(path, **options)
        assert (passage.id, passage.text, passage.metadata) == ("1", BRIDGE, {"note": "x"})
    said = write(tmp_path / "excel.csv", "\n".join([f"sep={separator}", *lines]))
    assert [p.text for p in read(said)] == [BRIDGE]


def test_fields_of_records_can_be_named(tmp_path):
    table = write(tmp_path / "a.csv", f"key;name;content\n7;Bridge;{BRIDGE}\n")
    lines = write_lines(tmp_path / "a.jsonl", [{"key": 7, "name": "Bridge", "content": BRIDGE}])
    fields = ("--text-field", "content", "--title-field", "name", "--id-field", "key")
    for number, source in enumerate((table, lines)):
        assert "--text-field" in index(source, "--index", tmp_path / "no", code=2).stderr
        index(source, "--index", tmp_path / str(number), *fields)
        found = json.loads(run("search", tmp_path / str(number), "Bridge?", "--json").stdout)
        assert [(h["id"], h["title"], h["text"]) for h in found["hits"]] == [
            ("7", "Bridge", BRIDGE)
        ]


def test_null_is_counted_as_empty_and_a_bad_record_is_named(tmp_path):
    records = [{"id": "1", "text": BRIDGE}, {"id": "2", "text": None}, {"id": "3", "text": "X."}]
    good = write_lines(tmp_path / "good.jsonl", records)
    report = json.loads(index(good, "--index", tmp_path / "i", "--json").stdout)
    assert (report["passages"], report["read"]["skipped_empty"]) == (2, 1)
    bad = write_lines(tmp_path / "bad.jsonl", [*records, {"text": 5}, '{"text": "cut', {"id": 4}])
    report = json.loads(index(bad, "--index", tmp_path / "j", "--json", code=3).stdout)
    assert (report["passages"], report["skipped_records"]) == (2, 3)
    assert [item["line"] for item in report["bad_records"]] == [4, 5, 6]
    assert report["left_out"] == []


def test_numbers_that_are_none_never_reach_json(tmp_path):
    line = '{"id": "n", "text": "Larkmoor.", "score": NaN, "reach": 1e999, "kept": 1.5}'
    (passage,) = read(write_lines(tmp_path / "a.jsonl", [line]))
    assert passage.metadata == {"score": None, "reach": None, "kept": 1.5}
    memory = GraphMemory.open(tmp_path / "i", embedder="hashing")
    with pytest.raises(DataError, match="'metadata' must hold JSON values"):
        memory.add([Passage("1", "Larkmoor.", metadata={"score": float("nan")})])


def test_long_passages_from_python_are_cut_as_files_are(tmp_path):
    text = "The committee met again in a room. " * 100 + "At the end they planted plum trees."
    memory = GraphMemory.open(tmp_path / "a", embedder="hashing")
    memory.add([Passage("plum", text, metadata={"year": 1})], passage_tokens=100, workers=1)
    other = GraphMemory.open(tmp_path / "b", embedder="hashing")
    file = write_lines(tmp_path / "a.jsonl", [{"id": "plum", "text": text, "year": 1}])
    other.add(file, passage_tokens=100, workers=1)
    (first,) = memory.search("Who planted plum trees?", k=1).hits
    assert first.passage == other.search("Who planted plum trees?", k=1).hits[0].passage
    assert "plum trees" in first.passage.text
    assert (first.passage.document, first.passage.metadata) == ("plum", {"year": 1})


def test_add_from_python_reports_what_it_left_out(tmp_path, caplog):
    write(tmp_path / "notes/a.txt", BRIDGE)
    write(tmp_path / "notes/b.json", "{}")
    memory = GraphMemory.open(tmp_path / "i", embedder="hashing")
    assert memory.add(tmp_path / "notes", workers=1).passages == 1
    assert "b.json: item 1: expected a list of objects" in caplog.text
    report = ReadReport()
    memory.add(tmp_path / "notes", workers=1, report=report)
    assert not report.complete
    with pytest.raises(DataError, match="expected a list of objects"):
        memory.add(tmp_path / "notes", reading=ReadOptions(strict=True))


def test_two_exports_that_are_both_numbered_from_one(tmp_path, caplog):
    write(tmp_path / "in/a.jsonl", json.dumps({"id": 1, "text": BRIDGE}))
    other = [{"id": 1, "text": "Ada met Bo."}, {"id": 2, "text": "Cid met Bo."}]
    write(tmp_path / "in/b.json", json.dumps(other))
    memory = GraphMemory.open(tmp_path / "i", embedder="hashing")
    with pytest.raises(DataError, match="'1' comes twice"):
        memory.add(tmp_path / "in", reading=ReadOptions(strict=True))
    report = ReadReport()
    assert memory.sync(tmp_path / "in", workers=1, report=report).added == 2
    (item,) = report.bad_records
    assert (item.path, item.line) == (str(tmp_path / "in/b.json"), None)
    assert item.reason.startswith("item 1: passage id '1' comes twice")
    assert (report.skipped_records, report.complete) == (1, False)
    assert memory.sync(tmp_path / "in", workers=1).added == 0  # again: the same is left out
    assert "b.json: item 1" in caplog.text
    given = [Passage("3", "Ada."), Passage("3", "Bo.", source="b:2")]
    with pytest.raises(DataError, match="b:2: passage id '3'"):
        memory.add(given)  # passages that a program made are none that somebody found in a folder


def test_hits_say_where_they_stand(tmp_path):
    filler = "This is a sentence about the weather in the north of the country. " * 12
    text = f"# Guide\n\n## Install\n\n{filler}\n\n## Use\n\n{filler}\n\nZanzibar is an island.\n"
    write(tmp_path / "notes/guide.md", text)
    index(tmp_path / "notes", "--index", tmp_path / "i", "--passage-tokens", 100)
    asked = ("search", tmp_path / "i", "Zanzibar?", "--preset", "bm25", "-k", 1)
    (hit,) = json.loads(run(*asked, "--json").stdout)["hits"]
    assert hit["metadata"] == {"headings": ["Use"], "line": 9}
    assert "  Use, line 9\n" in run(*asked).stdout
