"""Changing an index: after any history it is that of a fresh build, and nothing deleted is left."""

import json
import os

import pytest
from cli_helpers import run, write_lines
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import live_snapshot

from graphmem import Extraction, GraphMemory, Passage, Triple
from graphmem.config import PRESETS
from graphmem.errors import ConfigError, DataError, IndexLockedError, IndexNotFoundError
from graphmem.indexing.writer_lock import writer_lock

NAMES = ("Ada", "Bob", "Cid", "Turin", "Oslo")


class NamesAndFacts:
    """Finds the names above, and that each two in a row know each other."""

    fingerprint = "names-and-facts:1"

    def extract(self, passages):
        found = [[w.strip(".") for w in p.text.split() if w.strip(".") in NAMES] for p in passages]
        return [
            Extraction(
                tuple(dict.fromkeys(names)),
                tuple(Triple(a, "knows", b) for a, b in zip(names, names[1:], strict=False)),
            )
            for names in found
        ]


def opened(path, **options):
    options = {"embedder": "hashing", "extractor": NamesAndFacts(), "sentences": True} | options
    return GraphMemory.open(path, **options)


def columns(index):
    """All bytes of the live snapshot by file; of its manifest what does not tell of the store."""
    folder = live_snapshot(index)
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def holds(index, text):
    """Files of a folder whose bytes hold a text."""
    return [f.name for f in index.rglob("*") if f.is_file() and text.encode() in f.read_bytes()]


ids = st.sampled_from("abcdef")
texts = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map(
    lambda n: f"{' '.join(n)} met."
)
steps = st.one_of(
    st.tuples(st.just("update"), st.dictionaries(ids, texts, min_size=1, max_size=3)),
    st.tuples(st.just("delete"), st.sets(ids, min_size=1, max_size=2)),
    st.tuples(st.just("compact"), st.none()),
)


@settings(max_examples=25)
@given(st.dictionaries(ids, texts, min_size=1), st.lists(steps, max_size=4))
def test_after_any_history_the_snapshot_is_that_of_a_fresh_build(tmp_path_factory, first, history):
    folder = tmp_path_factory.mktemp("history")
    changed = opened(folder / "changed")
    there = {}
    for kind, what in [("update", first), *history]:
        if kind == "update":
            report = changed.update(Passage(name, text) for name, text in what.items())
            new = {name for name in what if name not in there}
            other = {name for name in what if name in there and there[name] != what[name]}
            assert (report.added, report.replaced, report.deleted) == (len(new), len(other), 0)
            there |= what
        elif kind == "delete":
            known = sorted(what & there.keys())
            if known:
                assert changed.delete(known).deleted == len(known)
            for name in known:
                del there[name]
        else:
            changed.compact()
    if not there:
        assert changed.search("Ada knows Bob?").hits == ()
        return
    fresh = opened(folder / "fresh")
    fresh.add(Passage(name, text) for name, text in there.items())
    assert columns(folder / "changed") == columns(folder / "fresh")


def test_a_text_that_was_cut_is_replaced_with_all_its_pieces_a_piece_alone(tmp_path):
    memory = opened(tmp_path / "i")
    long = " ".join(f"Ada met Bob in Turin on day {day}." for day in range(20))
    memory.add([Passage("a", long), Passage("a#x", "Cid rows.")], passage_tokens=32)
    found = {hit.passage.id: hit.passage for hit in memory.search("Ada", k=50, preset="dense").hits}
    pieces = sorted(found.keys() - {"a#x"})
    assert len(pieces) > 3
    piece = Passage("a#1", "Cid met Ada in Oslo.", document="a", position=1)
    report = memory.update(piece)
    assert (report.added, report.replaced, report.deleted) == (0, 1, 0)
    report = memory.update(Passage("a", "Ada left."))
    assert (report.added, report.replaced, report.deleted) == (1, 0, len(pieces))
    assert {hit.passage.id for hit in memory.search("Ada Cid", preset="dense").hits} == {"a", "a#x"}


def test_add_refuses_another_text_and_says_what_replaces_it(tmp_path):
    memory = opened(tmp_path / "i")
    memory.add(Passage("a", "Ada met Bob."))
    with pytest.raises(DataError, match="in Python by update"):
        memory.add(Passage("a", "Ada met Cid."))
    with pytest.raises(DataError, match="comes twice"):
        memory.update([Passage("b", "Bob."), Passage("b", "Cid.")])
    assert memory.search("Ada", k=5).hits[0].passage.text == "Ada met Bob."


def test_metadata_alone_may_change(tmp_path):
    memory = opened(tmp_path / "i")
    memory.add(Passage("a", "Ada met Bob.", metadata={"year": 2}))
    report = memory.update(Passage("a", "Ada met Bob.", metadata={"year": 3}))
    assert (report.replaced, report.computed) == (1, 0)
    assert memory.search("Ada", k=1).hits[0].passage.metadata == {"year": 3}


def write_notes(folder, **notes):
    folder.mkdir(exist_ok=True)
    for name, text in notes.items():
        (folder / f"{name}.txt").write_text(text)


def test_sync_takes_what_changed_and_drops_what_is_gone(tmp_path):
    notes, index = tmp_path / "notes", tmp_path / "i"
    write_notes(notes, a="Ada met Bob in Turin.", b="Bob rows.", c="Cid sails.")
    records = [{"id": n, "text": f"Ada met Cid in year {n}."} for n in range(3)]
    corpus = write_lines(tmp_path / "c.jsonl", records)
    options = ["--index", index, "--embedder", "hashing", "--json"]

    def sync(*sources, code=0):
        said = json.loads(run("index", *sources, *options, code=code).stdout)
        return said["added"], said["replaced"], said["deleted"]

    assert sync(notes, corpus) == (6, 0, 0)
    assert sync(notes, corpus) == (0, 0, 0)
    write_notes(notes, a="Ada met Bob in Oslo.", d="Dan digs.")
    (notes / "b.txt").unlink()
    assert sync(notes, "--keep-gone") == (1, 1, 0)
    assert sync(notes, "--exclude", "c.txt") == (0, 0, 1)  # what is left out now is still there
    write_lines(corpus, [records[0], {**records[1], "text": "Ada left."}])
    assert sync(corpus) == (0, 1, 1)
    (notes / "c.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    write_lines(corpus, [records[0], "{"])
    assert sync(notes, corpus, code=3) == (0, 0, 0)  # what cannot be read whole drops nothing
    said = run("search", index, "Turin Bob", "--preset", "bm25", "--json").stdout
    assert "Turin" not in str(json.loads(said)["hits"])
    os.rename(corpus, tmp_path / "moved.jsonl")
    write_lines(tmp_path / "moved.jsonl", [{**records[0], "text": "Ada stayed."}])
    assert sync(tmp_path / "moved.jsonl") == (0, 1, 0)


def test_another_file_that_is_still_there_keeps_its_passages(tmp_path):
    one = write_lines(tmp_path / "one.jsonl", [{"id": 7, "text": "Ada rows."}])
    other = write_lines(tmp_path / "other.jsonl", [{"id": 7, "text": "Bob rows."}])
    options = ["--index", tmp_path / "i", "--embedder", "hashing"]
    run("index", one, *options)
    said = run("index", other, *options, code=2).stderr
    assert f"{other}:1" in said and f"{one}:1" in said
    write_lines(one, [{"id": 8, "text": "Ada rows."}])
    run("index", other, one, *options)  # the record moved


def test_deleting_by_document_and_metadata(tmp_path):
    memory = opened(tmp_path / "i")
    long = " ".join(f"Ada met Bob in Turin on day {day}." for day in range(20))
    memory.add([Passage("a", long), Passage("b", "Bob rows.")], passage_tokens=32)
    memory.add([Passage("y", "Cid sails.", metadata={"year": 1979, "tags": ["sea", "sun"]})])
    with pytest.raises(DataError, match=r"passage 'no', document 'none'"):
        memory.delete(["b", "no"], documents="none")
    with pytest.raises(ConfigError, match="nothing to delete"):
        memory.delete()
    assert memory.delete(where={"year": "1979", "tags": "sky"}).deleted == 0
    assert memory.delete(where={"year": "1979", "tags": "sea"}).deleted == 1
    assert memory.delete(documents="a").passages == 1
    assert memory.delete(documents=["b"]).passages == 0
    with pytest.raises(IndexNotFoundError):
        opened(tmp_path / "none").delete("b")


def test_an_empty_index_answers_nothing_in_every_way(tmp_path):
    memory = opened(tmp_path / "i")
    memory.add([Passage("a", "Ada met Bob.")])
    memory.delete("a")
    for name in sorted(PRESETS):
        assert memory.search("Ada", preset=name).hits == ()
        assert memory.explain("Ada", preset=name).hits == ()
    assert memory.stats()["passages"] == 0
    assert memory.compact().removed > 0
    run("export", tmp_path / "i", "--graphml", tmp_path / "graph.graphml")
    assert memory.add([Passage("b", "Bob met Cid.")]).passages == 1
    assert memory.search("Bob").hits[0].passage.id == "b"


def test_an_index_that_was_never_finished_is_not_finished_by_deleting(tmp_path):
    memory = opened(tmp_path / "i")
    batch = memory.batch()
    batch.__enter__()
    memory.add([Passage("a", "Ada met Bob.")])
    again = opened(tmp_path / "i")  # as if the process had been killed
    for change in (lambda: again.delete("a"), again.compact):
        with pytest.raises(IndexNotFoundError, match="never finished"):
            change()
    batch.__exit__(None, None, None)
    assert len(memory.search("Ada").hits) == 1


def test_a_batch_of_changes_makes_one_snapshot(tmp_path):
    memory = opened(tmp_path / "i")
    with memory.batch():
        for name in "abc":
            report = memory.add([Passage(name, f"Ada met {name}.", metadata={"name": name})])
            assert (report.added, report.changed) == (1, False)
        assert (report.passages, report.missing) == (0, 3)
        with memory.batch():
            memory.update(Passage("a", "Bob met Cid."))
        assert memory.delete(where={"name": "b"}).deleted == 1
        with pytest.raises(IndexNotFoundError):
            memory.search("Ada")
    assert live_snapshot(tmp_path / "i").name == "snapshot-000001"
    fresh = opened(tmp_path / "fresh")
    fresh.add([Passage("a", "Bob met Cid."), Passage("c", "Ada met c.", metadata={"name": "c"})])
    assert columns(tmp_path / "i") == columns(tmp_path / "fresh")


def test_what_ends_a_batch_early_loses_nothing(tmp_path):
    memory = opened(tmp_path / "i")
    with pytest.raises(ZeroDivisionError), memory.batch():
        memory.add([Passage("a", "Ada met Bob.")])
        raise ZeroDivisionError
    assert len(memory.search("Ada").hits) == 1
    batch = memory.batch()
    batch.__enter__()
    memory.add([Passage("b", "Ada met Cid.")])
    again = opened(tmp_path / "i")  # as if the process had been killed
    assert len(again.search("Ada").hits) == 1 and again.verify().behind
    again.add([Passage("c", "Ada met Oslo.")])
    assert len(again.search("Ada").hits) == 3
    batch.__exit__(None, None, None)


def test_a_batch_without_a_change_changes_nothing(tmp_path):
    memory = opened(tmp_path / "i")
    with memory.batch():
        pass
    assert not (tmp_path / "i").exists()
    with pytest.raises(DataError), memory.batch():
        memory.add([])
    with pytest.raises(IndexNotFoundError):
        memory.search("Ada")
    memory.add([Passage("a", "Ada met Bob.")])
    before = live_snapshot(tmp_path / "i")
    with memory.batch():
        memory.add([Passage("a", "Ada met Bob.")])
    assert live_snapshot(tmp_path / "i") == before


def test_compact_leaves_no_byte_of_what_was_deleted(tmp_path):
    index = tmp_path / "i"
    memory = opened(index)
    memory.add([Passage("a", "Ada met Xylophon."), Passage("b", "Bob met Cid in Oslo.")])
    memory.update(Passage("b", "Bob met Cid in Turin."))
    memory.delete("a")
    assert holds(index, "Oslo") and not holds(live_snapshot(index), "Xylophon")
    before = columns(index)
    done = memory.compact()
    assert done.removed > 0 and done.bytes_after < done.bytes_before
    assert not holds(index, "Oslo") and not holds(index, "oslo") and not holds(index, "Xylophon")
    assert columns(index) == before
    assert memory.compact().removed == 0
    assert memory.update(Passage("b", "Bob met Cid in Turin.")).computed == 0


def test_commands(tmp_path):
    records = [{"id": n, "text": f"Ada met Bob in year {n}.", "year": n} for n in range(4)]
    index = tmp_path / "i"
    source = write_lines(tmp_path / "c.jsonl", records)
    run("index", source, "--index", index, "--embedder", "hashing")
    assert "1 passage deleted; 3 passages" in run("delete", index, "--id", 0).stdout
    assert json.loads(run("delete", index, "--where", "year=1", "--json").stdout)["deleted"] == 1
    assert "name what to delete" in run("delete", index, code=2).stderr
    assert "FIELD=VALUE" in run("delete", index, "--where", "year", code=2).stderr
    assert "not in this index: passage '9'" in run("delete", index, "--id", 9, code=2).stderr
    assert "extractions and vectors removed" in run("compact", index).stdout
    assert json.loads(run("compact", index, "--json").stdout)["removed"] == 0
    assert "no index here" in run("compact", tmp_path / "no", code=2).stderr


def test_who_holds_the_lock_is_named_and_waited_for(tmp_path):
    memory = opened(tmp_path / "i")
    memory.add(Passage("a", "Ada met Bob."))
    with writer_lock(tmp_path / "i"):
        with pytest.raises(IndexLockedError, match=rf"process {os.getpid()} on .*, since 20"):
            memory.delete("a", timeout=0.1)
        with pytest.raises(IndexLockedError, match="--wait"):
            memory.add(Passage("b", "Bob."))
    assert not (tmp_path / "i" / "lock.json").exists()
    with pytest.raises(ConfigError, match="timeout"):
        memory.delete("a", timeout=-1)
    with FileLock(tmp_path / "i" / "lock"):  # of who does not say
        said = run("delete", tmp_path / "i", "--id", "a", "--wait", 0.1, code=1).stderr
    assert "another process is writing to this index; wait" in said
    assert memory.delete("a", timeout=5).deleted == 1
