"""Few passages that come or go: the snapshot is extended, and its end is that of a fresh build."""

import gc
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import ScriptedExtractor, island_world, live_snapshot, snapshot_bytes

from graphmem import GraphMemory, Passage
from graphmem.base.files import checked_file
from graphmem.config import PRESETS
from graphmem.embedding.hashing import HashingEmbedder
from graphmem.errors import StorageError
from graphmem.indexing.extending import SHARE, SMALLEST
from graphmem.sources.markup import as_read
from graphmem.storage.current import open_current
from graphmem.storage.rows import text_hash
from graphmem.storage.sentence_columns import cut_sentences
from graphmem.storage.store import Store

LETTERS = "abcdefghijklmnopqrstuvwxyz"
NAMES = [f"Isle {a.upper()}{b}{c}" for a in "ab" for b in LETTERS for c in LETTERS][:1001]
PASSAGES, _ = island_world(SMALLEST, NAMES)
ROOM = int(SMALLEST * SHARE)
NEW = ("Zorbal Quindle", "Ostrava", "Bertil Malmrose")
NO_FACTS = [name for name in PRESETS if not name.startswith("hippo")]


def opened(path, sentences=False):
    extractor = ScriptedExtractor((*NAMES, *NEW))
    return GraphMemory.open(path, embedder="hashing", extractor=extractor, sentences=sentences)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    path = tmp_path_factory.mktemp("extended") / "i"
    opened(path).add(PASSAGES, workers=1)
    return path


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    path = tmp_path_factory.mktemp("kept") / "i"
    opened(path, sentences=True).add(PASSAGES, workers=1)
    return path


@pytest.fixture
def memory(built, tmp_path):
    shutil.copytree(built, tmp_path / "i")
    return opened(tmp_path / "i")


def is_extended(path):
    return "base" in json.loads((live_snapshot(path) / "manifest.json").read_text())


def found(memory, question, **options):
    return [hit.passage.id for hit in memory.search(question, k=5, **options).hits]


def test_what_comes_is_found_by_every_preset_and_the_snapshot_stays(memory):
    base = snapshot_bytes(memory.path)
    memory.add(Passage("new", "Zorbal Quindle left Isle Aaa for Ostrava.", "Zorbal Quindle"))
    assert is_extended(memory.path)
    names = sorted(path.name for path in memory.path.glob("snapshot-*"))
    assert names == ["snapshot-000001", "snapshot-000002"]
    for name, data in base.items():
        assert (memory.path / names[0] / name).read_bytes() == data
    for preset in NO_FACTS:
        assert found(memory, "Where did Zorbal Quindle go?", preset=preset)[0] == "new"
    # It leads on from what was there, by a name that both have.
    assert "new" in found(memory, "Who left the place that lies near Isle Aab?", preset="walk")
    assert memory.verify().problems == []
    numbers = memory.stats()
    assert (numbers["passages"], numbers["passages_beside"]) == (SMALLEST + 1, 1)
    memory.compact()
    assert memory.stats()["passages_beside"] == 0


@pytest.mark.parametrize("preset", NO_FACTS)
def test_with_known_names_alone_it_ranks_as_a_fresh_build(memory, tmp_path, preset):
    """But for how rare the words of BM25 are, which stays that of the snapshot until then."""
    more = [
        Passage(f"m{i}", f"A boat goes from {NAMES[i]} to {NAMES[i + 7]} at noon.", NAMES[i])
        for i in range(0, 3 * ROOM // 4, 3)
    ]
    memory.add(more)
    assert is_extended(memory.path)
    fresh = opened(tmp_path / "fresh")
    fresh.add([*PASSAGES, *more])
    assert not is_extended(fresh.path)
    extended, whole = open_current(memory.path), open_current(fresh.path)
    assert (extended.entities, extended.passages) == (whole.entities, whole.passages)
    assert edges(extended) == edges(whole)
    for number in range(0, 60, 7):
        question = f"Which boat leaves {NAMES[number]}?"
        here = memory.search(question, k=8, preset=preset).hits
        there = {h.passage.id: h.score for h in fresh.search(question, k=30, preset=preset).hits}
        assert here[0].passage.id == next(iter(there))
        assert there.keys() >= {hit.passage.id for hit in here[:5]}
        if preset in ("walk", "dense"):
            scores = [there.get(hit.passage.id) for hit in here]
            assert scores == pytest.approx([hit.score for hit in here], rel=0.02)


def edges(snapshot):
    """(name, id) -> mentions, weight, whether the passage is about it."""
    weights, column = snapshot.graph.weights, snapshot.edges
    ids = [snapshot.passage(row).id for row in range(snapshot.passages)]
    return {
        (snapshot.labels[e], ids[p]): (int(c), float(w), bool(s))
        for e, p, c, w, s in zip(
            column.entities.tolist(),
            column.passages.tolist(),
            column.counts.tolist(),
            weights.data.tolist(),
            column.subjects.tolist(),
            strict=True,
        )
    }


ids = st.sampled_from([*(f"isle-{i}" for i in range(0, 40, 4)), *"abcd"])
texts = st.lists(st.sampled_from([*NAMES[:6], *NEW]), min_size=1, max_size=3).map(
    lambda names: f"{' met '.join(names)} there."
)
steps = st.one_of(
    st.tuples(st.just("update"), st.dictionaries(ids, texts, min_size=1, max_size=4)),
    st.tuples(st.just("delete"), st.sets(ids, min_size=1, max_size=3)),
)


histories = st.lists(steps, min_size=1, max_size=6)


@settings(max_examples=15)
@given(histories)
def test_any_history_is_seen_at_once_and_ends_as_a_fresh_build(built, tmp_path_factory, history):
    check_history(built, tmp_path_factory.mktemp("history"), history, sentences=False)


@settings(max_examples=6)
@given(histories)
def test_sentences_that_are_kept_come_and_go_as_in_a_fresh_build(kept, tmp_path_factory, history):
    check_history(kept, tmp_path_factory.mktemp("history"), history, sentences=True)


def check_history(start, folder, history, sentences):
    shutil.copytree(start, folder / "i")
    memory = opened(folder / "i")
    there = {passage.id: passage for passage in PASSAGES}
    for kind, what in history:
        if kind == "update":
            new = {name: Passage(name, text) for name, text in what.items()}
            memory.update(new.values())
            there |= new
        else:
            known = sorted(what & there.keys())
            if known:
                memory.delete(known)
            for name in known:
                del there[name]
        snapshot = open_current(memory.path)
        held = [snapshot.passage(row) for row in range(snapshot.passages)]
        assert {p.id: (p.title, p.text) for p in held} == {
            p.id: (p.title, p.text) for p in there.values()
        }
        with Store.read(memory.path / "store.sqlite") as store:
            assert store.content() == store.content(whole=True)
    found = memory.verify(deep=True)
    assert (found.problems, found.deep) == ([], True)
    if sentences:
        check_sentences(memory)
    mentioned = " ".join(f"{p.title} {p.text}" for p in there.values())
    snapshot = open_current(memory.path)
    assert all(snapshot.labels[row] in mentioned for row in range(snapshot.entities))
    memory.compact()
    assert not is_extended(memory.path)
    assert memory.verify(deep=True).problems == []
    fresh = opened(folder / "fresh", sentences)
    fresh.add(there.values(), workers=1)
    assert snapshot_bytes(memory.path) == snapshot_bytes(fresh.path)


def check_sentences(memory):
    """Each passage has its own sentences, and names in them that it mentions."""
    snapshot = open_current(memory.path)
    columns = snapshot.sentences
    for row in [*range(0, snapshot.passages, 97), *range(snapshot.passages - 5, snapshot.passages)]:
        cut, found = cut_sentences(as_read(snapshot.passage(row))), columns.of(row)
        assert np.array_equal(found.vectors, HashingEmbedder().embed(cut, "passage"))
        for number, sentence in enumerate(cut):
            named = [snapshot.labels[entity] for entity in found.entities_of(number)]
            assert set(named) == {name for name in (*NAMES, *NEW) if name in sentence} & {
                snapshot.labels[e] for e in range(snapshot.entities)
            }


def test_sentences_that_are_kept_are_searched_beside_the_snapshot(kept, tmp_path):
    shutil.copytree(kept, tmp_path / "i")
    memory = opened(tmp_path / "i")
    memory.add(Passage("new", "It rains. Zorbal Quindle left Isle Aaa for Ostrava. It is late."))
    memory.delete("isle-5")
    assert is_extended(memory.path)
    asked = "Where did Zorbal Quindle go?", "What lies near Isle Aaa?"
    memory._embedder.embed, embed = None, memory._embedder.embed
    memory._embedder.embed = lambda texts, kind="passage": (
        embed(texts, kind) if kind == "question" else pytest.fail("sentences were embedded again")
    )
    there = [found(memory, question, preset="linearrag") for question in asked]
    assert "new" in there[0]
    numbers = memory.stats()
    memory.compact()
    assert memory.stats()["sentences_kept"] == numbers["sentences_kept"]
    assert [found(memory, question, preset="linearrag") for question in asked] == there


def test_what_is_gone_is_no_hit_no_name_no_reason_and_after_compact_no_byte(memory):
    memory.add(Passage("new", "Zorbal Quindle left Isle Aaa for Ostrava.", "Zorbal Quindle"))
    memory.delete("new")
    snapshot = open_current(memory.path)
    assert is_extended(memory.path) and snapshot.passages == SMALLEST
    labels = [snapshot.labels[row] for row in range(snapshot.entities)]
    assert "Zorbal Quindle" not in labels and snapshot.df.min() >= 1
    assert memory.search("Where did Zorbal Quindle go?").entities == ()
    assert "new" not in found(memory, "Zorbal Quindle left for Ostrava", preset="bm25")
    memory.delete("isle-0")
    assert "isle-0" not in found(memory, "What lies near Isle Aaa?")
    memory.compact()
    left = [f.name for f in memory.path.rglob("*") if f.is_file() and b"Quindle" in f.read_bytes()]
    assert left == []


def test_more_than_its_share_is_assembled_anew(memory):
    for start in (0, ROOM // 2):
        memory.add([Passage(f"a{n + start}", f"Ostrava, day {n}.") for n in range(ROOM // 2)])
        assert is_extended(memory.path)
    memory.add([Passage("last", "Ostrava again."), Passage("end", "Ostrava for ever.")])
    assert not is_extended(memory.path)
    assert [path.name for path in memory.path.glob("snapshot-*")] == ["snapshot-000004"]


def test_a_passage_that_only_changes_its_metadata(memory):
    memory.update(Passage("isle-4", PASSAGES[4].text, PASSAGES[4].title, metadata={"year": 7}))
    assert is_extended(memory.path)
    assert found(memory, "Isle Aae", filter={"year": 7}) == ["isle-4"]
    memory.delete(where={"year": 7})
    assert "isle-4" not in found(memory, "Isle Aae")


def test_a_later_piece_is_about_what_the_first_one_names(memory):
    first = Passage("d#0", "Bertil Malmrose was born on Isle Aaa.", document="d", position=0)
    memory.add([first, Passage("d#1", "Then he left.", document="d", position=1)])
    memory.add(Passage("d#2", "Later he wrote of birds.", document="d", position=2))
    snapshot = open_current(memory.path)
    assert is_extended(memory.path)
    about = {passage for label, passage in edges(snapshot) if label == "Bertil Malmrose"}
    assert about == {"d#0", "d#1", "d#2"}


def test_copies_are_known_across_the_border(memory):
    again = Passage("again", PASSAGES[3].text, PASSAGES[3].title)
    memory.add(again)
    (hit,) = memory.search("Isle Aad lies near Isle Aae. Its 3th ferry", k=1).hits
    assert {hit.passage.id, *hit.copies} == {"isle-3", "again"}
    memory.delete("isle-3")
    (hit,) = memory.search("Isle Aad lies near Isle Aae. Its 3th ferry", k=1).hits
    assert (hit.passage.id, hit.copies) == ("again", ())


def test_a_run_that_was_killed_before_it_noted_its_snapshot(memory):
    memory.add(Passage("a", "Zorbal Quindle met Bertil Malmrose."))
    with Store.open(memory.path / "store.sqlite") as store:
        store.forget_assembled()
    memory.add(Passage("b", "Bertil Malmrose left Ostrava."))
    assert not is_extended(memory.path)
    assert set(found(memory, "Where is Bertil Malmrose?")) >= {"a", "b"}
    memory.add(Passage("c", "Ostrava is old."))
    assert is_extended(memory.path) and memory.verify().problems == []


def test_another_process_sees_it_and_keeps_what_it_has_opened(memory):
    reader = opened(memory.path)
    assert "a" not in found(reader, "Zorbal Quindle")
    memory.add(Passage("a", "Zorbal Quindle sails."))
    assert "a" not in found(reader, "Zorbal Quindle")
    assert reader.refresh() and found(reader, "Zorbal Quindle")[0] == "a"
    kept = open_current(memory.path)
    memory.compact()
    assert kept.passage(kept.passages - 1).id == "a"
    assert np.isfinite(kept.vectors.take(np.arange(kept.passages))).all() and kept.graph.weights.nnz


def test_a_backup_holds_both_parts(memory, tmp_path):
    memory.add(Passage("a", "Zorbal Quindle sails."))
    memory.backup(tmp_path / "b.tar")
    GraphMemory.restore(tmp_path / "b.tar", tmp_path / "restored")
    restored = opened(tmp_path / "restored")
    assert is_extended(restored.path)
    assert found(restored, "Zorbal Quindle") == found(memory, "Zorbal Quindle")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
def test_a_snapshot_that_nobody_holds_leaves_no_file_open(memory):
    """Every mapped column is an open file: they must not wait for the collector of cycles."""
    memory.add(Passage("a", "Zorbal Quindle sails."))
    open_current(memory.path)
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            assert open_current(memory.path).passages == SMALLEST + 1
            reader = opened(memory.path)
            assert found(reader, "Zorbal Quindle", preset="default")[0] == "a"
            del reader
        assert len(os.listdir("/proc/self/fd")) <= before + 1
    finally:
        gc.enable()


@pytest.mark.parametrize("base", ["../i", "snapshot-000002", "snapshot-000009", 3, None, ""])
def test_a_base_that_is_none_is_damage(memory, base):
    memory.add(Passage("a", "Zorbal Quindle sails."))
    file = live_snapshot(memory.path) / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "base": base}))
    with pytest.raises(StorageError, match="missing or damaged"):
        open_current(memory.path)
    assert memory.repair().problems == [] and not is_extended(memory.path)
    assert found(memory, "Zorbal Quindle")[0] == "a"


COLUMNS = [
    *("gone", "id_keys", "text_keys", "vectors", "labels_data", "terms_offsets", "steps"),
    *("context_entities", "context_passages", "context_counts", "dictionary_rows"),
    *("dictionary_names", "counts_indices", "counts_indptr", "records_offsets"),
]


@pytest.mark.parametrize("column", COLUMNS)
def test_damaged_columns_are_found(memory, column):
    memory.add(Passage("a", "Zorbal Quindle sails to Ostrava, and sails."))
    memory.delete("isle-1")
    file = live_snapshot(memory.path) / f"{column}.npy"
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 0x7F]))
    assert memory.verify().problems
    file.write_bytes(data[:-4])
    with pytest.raises(StorageError, match="missing or damaged"):
        open_current(memory.path)
    file.unlink()
    with pytest.raises(StorageError, match="missing or damaged"):
        open_current(memory.path)
    assert memory.repair().problems == []


GONE = PASSAGES[7]
OTHERWISE = "replace(replace(data, 'Isle A', 'Isle B'), 'Bertil', 'Zorbal')"
BESIDE = Passage("c", "Bertil Malmrose met Zorbal Quindle.")


@pytest.mark.parametrize("passage", [PASSAGES[3], GONE, BESIDE])
@pytest.mark.parametrize("change", [f"data = {OTHERWISE}", "hash = 'other'"])
def test_what_was_extracted_otherwise_is_found_by_assembling(memory, passage, change):
    memory.add([Passage("a", "Zorbal Quindle sails to Ostrava."), Passage("b", "Ostrava.")])
    memory.add(BESIDE)
    memory.update(Passage("isle-1", "Isle Aaa, and nothing else."))
    memory.delete(["b", GONE.id])
    found = memory.verify(deep=True)
    assert (found.problems, found.deep, found.extended) == ([], True, True)
    with closing(sqlite3.connect(memory.path / "store.sqlite", isolation_level=None)) as db:
        done = db.execute(f"UPDATE extractions SET {change} WHERE hash = ?", [text_hash(passage)])
        assert done.rowcount == 1
    assert memory.verify(deep=True).problems
    memory.repair()
    memory.update(passage)
    assert memory.verify(deep=True).problems == []


@pytest.mark.parametrize("column", ["context_counts", "context_subjects", "gone", "steps"])
def test_what_was_written_otherwise_is_found_by_assembling(memory, column):
    memory.add([Passage("a", "Ostrava, Ostrava."), Passage("b", "Zorbal Quindle sails.")])
    memory.delete("isle-1")
    folder = live_snapshot(memory.path)
    array = np.load(folder / f"{column}.npy")
    array[-1] = {"gone": 2, "steps": 1}.get(column, 1 - array[-1])
    if column == "steps":
        array = np.append(array, np.int64(1))
    np.save(folder / f"{column}.npy", array)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][f"{column}.npy"] = checked_file(folder / f"{column}.npy")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert memory.verify(deep=True).problems
    assert memory.repair().problems == []


@pytest.mark.parametrize(
    "column", ["context_entities", "context_passages", "gone", "counts_indices"]
)
def test_rows_that_do_not_exist_are_refused(memory, column):
    memory.add(Passage("a", "Zorbal Quindle sails to Ostrava, and sails."))
    memory.delete("isle-1")
    file = live_snapshot(memory.path) / f"{column}.npy"
    array = np.load(file)
    for wrong in (-1, 1 << 30):
        array[-1] = wrong
        np.save(file, array)
        with pytest.raises(StorageError, match="missing or damaged"):
            open_current(memory.path)


CHANGES = """
import sys
from test_extending import opened
from graphmem import Passage

memory = opened(sys.argv[1])
for number in range(int(sys.argv[2]), 1000):
    memory.add(Passage(f"n{number}", f"Zorbal Quindle met {number} others in Ostrava."))
    print(number, flush=True)
    if number % 3 == 2:
        memory.delete(f"n{number}")
        print(-number, flush=True)
"""


def test_killed_at_any_moment_what_was_told_is_there_and_nothing_else_comes(memory, tmp_path):
    chance, told, first = random.Random(5), [], 0
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", CHANGES, memory.path, str(first)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for _ in range(chance.randint(1, 5)):
            told.append(int(process.stdout.readline()))
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        told += map(int, process.communicate(timeout=60)[0].split())
        first = max(map(abs, told)) + 2  # the one after may have been on its way
    added = {f"n{number}" for number in told if number >= 0}
    deleted = {f"n{-number}" for number in told if number < 0}
    memory.add(Passage("end", "Ostrava."))
    snapshot = open_current(memory.path)
    there = {snapshot.passage(row).id for row in range(snapshot.passages)}
    assert there >= added - {f"n{n}" for n in range(2, 1000, 3)} and not there & deleted
    assert there <= {p.id for p in PASSAGES} | {"end"} | {f"n{n}" for n in range(first)}
    assert memory.verify().problems == []
    assert len(list(memory.path.glob("*snapshot-*"))) <= 2
    passages = [snapshot.passage(row) for row in range(snapshot.passages)]
    memory.compact()
    opened(tmp_path / "fresh").add(passages, workers=1)
    assert snapshot_bytes(memory.path) == snapshot_bytes(tmp_path / "fresh")


def test_readers_see_one_state_each_while_a_writer_changes(memory):
    """The writer adds n0, n1, n2 and so on: a reader finds the first of them, whatever it sees."""
    done, wrong = threading.Event(), []
    states = set()

    def read():
        reader = GraphMemory.open(memory.path, embedder="hashing", auto_refresh=True)
        while not done.is_set():
            hits = reader.search("Zorbal Quindle in Ostrava", k=40, preset="bm25").hits
            numbers = sorted(int(hit.passage.id[1:]) for hit in hits)
            states.add(len(numbers))
            if numbers != list(range(len(numbers))):
                wrong.append(numbers)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for number in range(24):
            memory.add(Passage(f"n{number}", f"Zorbal Quindle met {number} others in Ostrava."))
            if number == 12:
                memory.compact()
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert wrong == [] and len(states) > 3
