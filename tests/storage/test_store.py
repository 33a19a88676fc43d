"""The durable truth: duplicates, resuming, and what disks do."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import TINY

from graphmem.errors import DataError, IndexMismatchError, StorageError
from graphmem.storage.changes import ChangeRule
from graphmem.storage.rows import row_key, text_hash
from graphmem.storage.store import Store
from graphmem.types import Extraction, Passage, Triple

ADA = Passage("1", "Ada wrote.", "Ada", metadata={"year": 1843}, source="a.jsonl:3")


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "store.sqlite") as store:
        yield store


def test_passages_come_back_as_they_went_in(store):
    odd = Passage("ü/ \n", "😀\0x", "题", "doc", 3, {"z": [1, None, {"a": 0.5}], "ä": "é"}, "b:1")
    assert store.add([ADA, odd]).added == 2
    assert sorted(store.passages(), key=lambda p: p.id) == [ADA, odd]
    assert {p.id: p.source for p in store.passages()} == {"1": "a.jsonl:3", odd.id: "b:1"}


def test_the_order_says_nothing_about_the_passages(store):
    store.add(TINY)
    ids = [p.id for p in store.passages()]
    assert ids == sorted(ids, key=row_key) != sorted(ids)


def test_the_same_again_counts_for_nothing(store):
    assert store.add([ADA, ADA]).added == 1
    before = store.content()
    assert store.add([ADA]).added == 0
    assert store.count() == 1 and store.content() == before


def test_one_id_with_two_texts_names_both_places_and_adds_nothing(store):
    store.add([ADA])
    other = replace(ADA, text="Ada slept.", source="b.csv:9")
    with pytest.raises(DataError) as caught:
        store.add([Passage("2", "new"), other])
    message = str(caught.value)
    assert "b.csv:9" in message and "a.jsonl:3" in message and "'1'" in message
    assert caught.value.path == "b.csv:9"
    assert store.passages() == [ADA]


def test_one_id_with_two_titles_is_a_different_text(store):
    with pytest.raises(DataError, match="comes twice"):
        store.add([ADA, replace(ADA, title="Eva")])


@settings(deadline=None, max_examples=30)
@given(st.permutations([{}, {"a": 1}, {"a": 2}, {"b": 0}]))
def test_which_metadata_stays_does_not_depend_on_order(order):
    contents = set()
    for metadata in (order, order[::-1]):
        with Store.open(":memory:") as store:
            store.add(replace(ADA, metadata=m) for m in metadata)
            contents.add(store.content())
    assert len(contents) == 1


@pytest.mark.parametrize(
    ("passage", "words"),
    [
        (Passage("1", ""), "'text' must not be blank"),
        (Passage("1", " \n\t"), "'text' must not be blank"),
        (Passage("", "x"), "'id' must not be blank"),
        (Passage("1", None), "'text' must be a string"),
        (Passage(1, "x"), "'id' must be a string"),
        (Passage("1", "x", title=None), "'title' must be a string"),
        (Passage("1", "a\ud800b"), "surrogate"),
        (Passage("1", "x", metadata={"a": "\udfff"}), "surrogate"),
        (Passage("1", "x", metadata={"a": {1, 2}}), "JSON"),
        (Passage("1", "x", metadata={"a": 1, 2: 3}), "JSON"),
        (Passage("1", "x", position=-1), "'position'"),
        (Passage("1", "x", position=1 << 64), "'position'"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(store, passage, words):
    with pytest.raises(DataError, match=words):
        store.add([ADA, passage])
    with pytest.raises(DataError, match=r"^here:7: "):
        store.add([replace(passage, source="here:7")])
    assert store.count() == 0


def test_pending_shrinks_as_results_are_saved(store):
    store.add(TINY)
    store.add([replace(TINY[0], id="copy")])  # the same text is computed once
    pending = store.pending("x:1", "e:1")
    assert sorted(pending) == sorted({text_hash(p) for p in TINY}) and len(pending) == 8
    found = [Extraction(("A", "ß"), (Triple("a", "b", "c"),)), Extraction()]
    store.save(pending[:2], "x:1", found, "e:1", np.eye(2, 3, dtype=np.float32))
    assert store.pending("x:1", "e:1") == pending[2:]
    assert len(store.pending("x:2", "e:1")) == len(store.pending("x:1", "e:2")) == 8
    texts = [p.text for p in store.texts(pending[::-1])]
    assert [text_hash(p) for p in store.texts(pending[::-1])] == pending[::-1] and len(texts) == 8


def test_results_come_in_the_order_of_passages(store):
    store.add(TINY)
    hashes = store.pending("x", "e")
    extractions = [Extraction((digest,), (Triple(digest, "is", "x"),)) for digest in hashes]
    vectors = np.arange(16, dtype=np.float32).reshape(8, 2)
    store.save(hashes, "x", extractions, "e", vectors)
    order = [hashes.index(text_hash(p)) for p in store.passages()]
    assert list(store.extractions("x")) == [extractions[i] for i in order]
    assert np.array_equal(np.stack(list(store.vectors("e"))), vectors[order])


def test_a_batch_is_saved_whole_or_not_at_all(store):
    store.add(TINY)
    hashes = store.pending("x", "e")
    with pytest.raises(ValueError, match="shorter"):
        store.save(hashes[:2], "x", [Extraction()] * 2, "e", np.ones((1, 3), dtype=np.float32))
    assert store.pending("x", "e") == hashes
    assert list(store.extractions("x")) == []


def test_an_interruption_while_reading_adds_nothing(store):
    def interrupted():
        yield ADA
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add(interrupted())
    assert store.count() == 0
    assert store.add([ADA]).added == 1


def test_another_format_says_what_to_do(tmp_path):
    path = tmp_path / "store.sqlite"
    Store.open(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = '99'")
    with pytest.raises(IndexMismatchError, match=r"format 99.*reads format 2.*new folder"):
        Store.open(path)


def test_a_store_of_the_version_before_is_read_and_becomes_the_new_one(tmp_path):
    path = tmp_path / "store.sqlite"
    with Store.open(path) as store:
        store.add([Passage("1", "Alien.")])
        content = store.content()
    with closing(sqlite3.connect(path)) as db:
        for table in ("changed", "assembled"):
            db.execute(f"DROP TABLE {table}")
        db.execute("UPDATE meta SET value = '1' WHERE key = 'format'")
        db.commit()
    with Store.read(path) as store:
        assert store.content() == content and store.changed_since("c", 9) is None
    with Store.open(path) as store:
        assert store.meta()["format"] == "2" and store.content() == content
        assert store.changed_since("c", 9) is None
        store.mark_assembled("c", "x", "e")
        store.add([Passage("2", "Solaris.")])
        assert store.changed_since("c", 9) == ["2"]


names = st.sampled_from("abcde")
changes = st.lists(
    st.one_of(
        st.tuples(st.just("put"), names, st.sampled_from(["One.", "Two.", "Three."])),
        st.tuples(st.just("delete"), names, st.just("")),
        st.tuples(st.just("mark"), st.sampled_from("xyz"), st.just("")),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(changes)
def test_what_changed_since_a_snapshot_is_told_and_the_content_follows(changes):
    """Also that nothing can wait for its extraction but what has changed."""
    held, marked, content = {}, None, None
    with TemporaryDirectory() as folder, Store.open(Path(folder) / "s") as store:
        for kind, name, text in changes:
            if kind == "put":
                store.add([Passage(name, text)], ChangeRule(replaces=True))
                held[name] = text
            elif kind == "delete":
                store.delete([name])
                held.pop(name, None)
            else:
                pending = store.pending("x", "e")
                if pending:
                    found = [Extraction() for _ in pending]
                    store.save(pending, "x", found, "e", np.eye(len(pending), 9, dtype="f4"))
                content, marked = name, dict(held)
                store.mark_assembled(content, "x", "e")
            assert store.content() == store.content(whole=True)
            assert store.unextracted("x") == store.unextracted("x", whole=True)
            if marked is None:
                assert store.changed_since("x", 99) is None
                continue
            told = store.changed_since(content, 99)
            differs = {n for n in held.keys() | marked.keys() if held.get(n) != marked.get(n)}
            assert set(told) >= differs
            if told:
                assert store.changed_since(content, len(told) - 1) is None
            assert store.changed_since("other", 99) is None
            there = sorted(store.passages_of(told), key=lambda passage: passage.id)
            assert [p.text for p in there] == [held[n] for n in sorted(told) if n in held]


def test_reading_changes_nothing_and_lends_what_an_older_store_lacks(tmp_path):
    path = tmp_path / "store.sqlite"
    with Store.open(path) as store:
        store.add([Passage("1", "Alien.")])
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE packs")
        db.execute("DROP TABLE failures")
    before = path.read_bytes()
    with Store.read(path) as store:
        assert [p.id for p in store.passages()] == ["1"]
        assert store.packs("x") == store.failures("x") == {}
        with pytest.raises(StorageError, match="readonly"):
            store.add([Passage("2", "Solaris.")])
    assert [file.name for file in tmp_path.iterdir()] == ["store.sqlite"]
    assert path.read_bytes() == before


def test_reading_what_a_killed_first_run_left_and_what_is_missing(tmp_path):
    path = tmp_path / "store.sqlite"
    with pytest.raises(StorageError, match="unable to open"):
        Store.read(path)
    path.touch()
    with Store.read(path) as store:
        assert store.passages() == []
    assert path.read_bytes() == b""


def test_a_file_that_is_no_store(tmp_path):
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StorageError, match="store.sqlite"):
        Store.open(path)


def test_a_truncated_store(tmp_path):
    path = tmp_path / "store.sqlite"
    with Store.open(path) as store:
        store.add(Passage(str(i), f"text {i}" * 50) for i in range(200))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(StorageError), Store.open(path) as store:
        store.passages()


def test_a_missing_or_read_only_folder(tmp_path, read_only):
    with pytest.raises(StorageError):
        Store.open(tmp_path / "no" / "store.sqlite")
    folder = tmp_path / "closed"
    folder.mkdir()
    read_only(folder)
    with pytest.raises(StorageError, match="permissions"):
        Store.open(folder / "store.sqlite")


def test_a_full_store_keeps_what_was_committed(store):
    store.add([ADA])
    pages = store._db.execute("PRAGMA page_count").fetchone()[0]
    store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StorageError, match="full.*free space"):
        store.add(Passage(f"p{i}", "text " * 1000) for i in range(20))
    assert store.passages() == [ADA]
    store._db.execute("PRAGMA max_page_count = 1000000")
    assert store.add([Passage("2", "again")]).added == 1


def test_a_full_disk_keeps_what_was_committed(small_disk):
    path = small_disk(600) / "store.sqlite"
    with Store.open(path) as store:
        store.add([ADA])
        with pytest.raises(StorageError, match="free space"):
            store.add(Passage(f"p{i}", "text " * 1000) for i in range(500))
    with Store.open(path) as store:
        assert store.passages() == [ADA]


def test_more_vectors_than_one_statement_names_come_once_and_in_order(store):
    hashes = [f"hash {number:04}" for number in range(1234)]
    vectors = np.arange(1234, dtype=np.float32)[:, None]
    store.save_vectors(hashes, "model", vectors)
    asked = hashes[::-1]
    assert store.missing_vectors([*asked, "none"], "model") == ["none"]
    assert [float(row[0]) for row in store.vectors_of(asked, "model")] == [*range(1233, -1, -1)]
