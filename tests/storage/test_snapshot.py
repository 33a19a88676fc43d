"""Snapshots: what is saved is what is read, atomically, and damage is named."""

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from worlds import TINY, TINY_NAMES, ScriptedExtractor, island_world, live_snapshot

from graphmem import GraphMemory
from graphmem.errors import IndexMismatchError, IndexNotFoundError, StorageError
from graphmem.graph.entity_graph import assemble_graph, context_weights
from graphmem.storage.bm25 import LexicalIndex
from graphmem.storage.current import open_current, write_snapshot
from graphmem.storage.rows import row_key
from graphmem.types import Passage

MADE_WITH = {"content": "c", "extractor": "x", "embedder": "e"}


@pytest.fixture
def write(tmp_path):
    """Writes a snapshot of passages, and returns the index folder."""

    def write(passages=TINY, names=TINY_NAMES, index=tmp_path, dimensions=4):
        graph = assemble_graph(passages, ScriptedExtractor(names).extract(passages))
        vectors = np.eye(len(passages), dimensions, dtype=np.float32)
        write_snapshot(index, graph, passages, iter(vectors), MADE_WITH)
        return index

    return write


def test_what_is_saved_is_what_is_read(write):
    snapshot = open_current(write())
    graph = assemble_graph(TINY, ScriptedExtractor(TINY_NAMES).extract(TINY))
    weights = context_weights(graph.context, 9, 8)
    assert (snapshot.entities, snapshot.passages) == (9, 8)
    assert [snapshot.passage(row) for row in range(8)] == list(TINY)
    assert [snapshot.labels[row] for row in range(9)] == graph.labels
    assert np.array_equal(snapshot.adjacency.toarray()[:9, 9:], weights.toarray())
    assert np.array_equal(snapshot.vectors.take(np.arange(8)), np.eye(8, 4, dtype=np.float32))
    assert snapshot.df.tolist() == [2, 2, 2, 2, 2, 1, 1, 1, 1]
    title = [snapshot.labels[row] if row >= 0 else None for row in snapshot.subjects]
    assert title[:2] == ["Alien", "Ridley Scott"] and title[5] is None
    assert np.array_equal(snapshot.dictionary.names, graph.dictionary.names)
    assert snapshot.lexical.scores("bread", 8).argmax() == 5
    assert snapshot.manifest["content"] == "c"
    assert snapshot.size() == sum(
        file.stat().st_size for file in snapshot.folder.rglob("*.*") if file.name != "manifest.json"
    )


def test_columns_hold_plain_arrays_without_pickle(write):
    folder = live_snapshot(write())
    files = [file for file in folder.rglob("*") if file.is_file()]
    arrays = [file for file in files if file.suffix == ".npy"]
    assert len(arrays) > 10
    for file in arrays:
        array = np.load(file, allow_pickle=False)
        assert array.dtype != object and np.load(file, mmap_mode="r").shape == array.shape
    for file in set(files) - set(arrays):
        assert file.suffix == ".json"
        json.loads(file.read_text("utf-8"))
    keys = np.load(folder / "id_keys.npy").tolist()
    assert keys == [row_key(p.id) for p in TINY]


def test_without_entities_and_words(write):
    from graphmem.types import Passage

    snapshot = open_current(write([Passage("a", "😀"), Passage("b", "!")]))
    assert snapshot.entities == 0 and snapshot.adjacency.shape == (2, 2)
    assert snapshot.lexical.scores("x", 2).tolist() == [0, 0]


def test_a_new_snapshot_replaces_the_old_one_and_nothing_else(write, tmp_path):
    old = live_snapshot(write())
    kept = tmp_path / "snapshot-backup"
    kept.mkdir()
    new = live_snapshot(write(TINY[:3]))
    assert (old.name, new.name) == ("snapshot-000001", "snapshot-000002")
    assert not old.exists() and kept.exists()
    assert sorted(os.listdir(tmp_path)) == ["CURRENT", "snapshot-000002", "snapshot-backup"]


def test_a_reader_keeps_the_snapshot_it_opened(write):
    """Also the columns that it had not looked at when the old snapshot was removed."""
    reader = open_current(write())
    write(TINY[:2])
    assert not reader.folder.exists()
    assert [reader.passage(row) for row in range(8)] == list(TINY)
    assert reader.labels[0] and reader.df.size == reader.entities == 9
    assert reader.adjacency.shape == (17, 17) and (len(reader.vectors), reader.vectors.width) == (
        8,
        4,
    )
    assert reader.dictionary.rows.size == 9 and reader.subjects.size == 8
    assert reader.lexical.scores("bread", 8).argmax() == 5
    assert open_current(reader.folder.parent).passages == 2


@pytest.mark.parametrize("later", [TINY[:2], None], ids=["replaced", "lost"])
def test_a_snapshot_that_vanishes_while_it_is_opened_is_never_read_in_part(
    write, tmp_path, monkeypatch, later
):
    """Its words are mapped last: they were taken for none, and all BM25 scores were 0."""
    old = live_snapshot(write())
    load = LexicalIndex.load

    def vanish(folder, length):
        if folder.parent == old:
            for file in folder.iterdir():
                file.unlink()
            if later:
                write(later)
        return load(folder, length)

    monkeypatch.setattr(LexicalIndex, "load", vanish)
    if later is None:
        with pytest.raises(StorageError, match="snapshot-000001"):
            open_current(tmp_path)
    else:
        snapshot = open_current(tmp_path)
        assert snapshot.passages == 2
        assert snapshot.lexical.scores("Alien", 2).any()


def test_texts_without_words_have_no_word_index(write):
    passages = [Passage("1", "the"), Passage("2", "😀")]
    snapshot = open_current(write(passages, ()))
    assert snapshot.lexical.scores("the 😀", 2).tolist() == [0, 0]


def test_a_half_written_snapshot_is_not_seen_and_then_removed(write, tmp_path):
    write()
    half = tmp_path / ".snapshot-000002.tmp"
    half.mkdir()
    (half / "df.npy").write_bytes(b"half")
    whole = tmp_path / "snapshot-000002"  # killed before CURRENT was replaced
    whole.mkdir()
    assert open_current(tmp_path).folder.name == "snapshot-000001"
    assert live_snapshot(write()).name == "snapshot-000003"
    assert not whole.exists()


@pytest.mark.parametrize("moment", ["mkdir", "columns", "rename", "pointer"])
def test_a_failure_at_any_moment_leaves_the_old_state(write, tmp_path, monkeypatch, moment):
    old = live_snapshot(write())

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    target = {
        "mkdir": "pathlib.Path.mkdir",
        "columns": "graphmem.storage.current.write_columns",
        "rename": "graphmem.storage.current.os.replace",
        "pointer": "graphmem.storage.current.write_text",
    }[moment]
    with monkeypatch.context() as patch:
        patch.setattr(target, fail)
        with pytest.raises(StorageError, match="No space left on device; the old state stays"):
            write(TINY[:2])
    assert live_snapshot(tmp_path) == old
    assert open_current(tmp_path).passages == 8
    assert not list(tmp_path.glob(".snapshot*"))
    write(TINY[:2])
    assert open_current(tmp_path).passages == 2


@pytest.mark.parametrize("dimensions", [4, 40_000])
def test_a_full_disk_leaves_the_old_state(write, small_disk, dimensions):
    """The second size fills it with vectors: mapped for writing, they would kill the process."""
    disk = small_disk(300)
    write(TINY[:2], index=disk)
    passages, names = island_world(2000 if dimensions == 4 else 3)
    with pytest.raises(StorageError, match="old state stays"):
        write(passages, names, disk, dimensions)
    assert open_current(disk).passages == 2


def files_of(index):
    return sorted(f.relative_to(index) for f in live_snapshot(index).rglob("*") if f.is_file())


def test_a_missing_or_truncated_file_is_named(write, tmp_path):
    index = write()
    names = files_of(index)
    assert len(names) > 20
    for name in names:
        file = index / name
        content = file.read_bytes()
        for damage in (None, content[:-1], content[: len(content) // 2], b""):
            file.unlink()
            if damage is not None:
                file.write_bytes(damage)
            with pytest.raises(StorageError, match=f"{file.name}.*run graphmem index") as caught:
                open_current(index)
            assert "\n" not in str(caught.value)
            file.write_bytes(content)
    assert open_current(index).passages == 8


def test_other_bytes_of_the_same_length_are_never_executed_nor_a_traceback(write):
    """Checksums are for `verify`; reading must at least end in StorageError or in an answer."""
    index = write()
    for name in files_of(index):
        file = index / name
        content = file.read_bytes()
        file.write_bytes(os.urandom(len(content)))
        with pytest.raises(StorageError):
            open_current(index)
        file.write_bytes(content)
    file = live_snapshot(index) / "context_passages.npy"
    content = file.read_bytes()
    file.write_bytes(content[:-4] + b"\xff\xff\xff\x7f")  # a passage that does not exist
    with pytest.raises(StorageError, match="context_passages"):
        _ = open_current(index).graph
    file.write_bytes(content)
    file = live_snapshot(index) / "records_data.npy"
    file.write_bytes(file.read_bytes()[:-4] + b"xxxx")
    with pytest.raises(StorageError, match="records_data"):
        open_current(index).passage(7)


@pytest.mark.parametrize(
    "content",
    [
        *(b"../../x", b"..", b"/etc", b"snapshot-", b"snapshot-1/../../x", b"snapshot-000001/."),
        *(b"", b"\0", b"\xff\xfe", "snapshot-²²²²²²".encode(), b"snapshot-000001\nx", b"x" * 10**6),
    ],
)
def test_a_hostile_pointer_leads_nowhere(write, tmp_path, content):
    index = write(index=tmp_path)
    shutil.copytree(live_snapshot(index), tmp_path.parent / "x", dirs_exist_ok=True)
    (index / "CURRENT").write_bytes(content)
    with pytest.raises(StorageError, match="CURRENT.*run graphmem index"):
        open_current(index)
    assert live_snapshot_after_repair(write, index) == 8


def live_snapshot_after_repair(write, index):
    write(index=index)
    return open_current(index).passages


def test_a_pointer_to_nothing(write):
    index = write()
    (index / "CURRENT").write_text("snapshot-000009")
    with pytest.raises(StorageError, match="snapshot-000009"):
        open_current(index)


@pytest.mark.parametrize(
    "manifest",
    [
        *("", "[]", "3", "null", "{", '{"format": 6}', '{"format": 6, "files": []}'),
        '{"format": 6, "files": {"df.npy": {"bytes": "many"}}, "entities": 1, "passages": 1}',
        '{"format": 6, "files": {"df.npy": 3}, "entities": 1, "passages": 1}',
        "[" * 100_000,
    ],
)
def test_a_hostile_manifest(write, manifest):
    index = write()
    (live_snapshot(index) / "manifest.json").write_text(manifest)
    with pytest.raises(StorageError, match="manifest.json"):
        open_current(index)


def test_another_format_says_what_to_run(write):
    index = write()
    file = live_snapshot(index) / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    with pytest.raises(IndexMismatchError, match=r"format 99.*reads format 6.*graphmem verify"):
        open_current(index)


def test_many_threads_open_it_at_once(write):
    index = write()
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: open_current(index).passages, range(600)))
    assert set(opened) == {8}


def test_no_index(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    for place in (tmp_path, tmp_path / "nowhere", file):
        with pytest.raises(IndexNotFoundError, match="graphmem index SOURCE"):
            open_current(place)
    (tmp_path / "store.sqlite").touch()
    with pytest.raises(IndexNotFoundError, match="never finished.*again"):
        open_current(tmp_path)


def test_a_writer_that_removes_the_snapshot_while_it_is_opened(write, monkeypatch):
    """The reader takes the new one."""
    index = write()
    from graphmem.storage import snapshot as module

    read = module.read_manifest

    def replaced(folder):
        manifest = read(folder)
        if folder.name == "snapshot-000001":
            write(TINY[:2])
        return manifest

    monkeypatch.setattr(module, "read_manifest", replaced)
    assert open_current(index).passages == 2


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_small_memories_hold_no_file_open(tmp_path):
    """A process may hold some hundreds of them, in namespaces say."""
    memory = GraphMemory.open(tmp_path / "i", embedder="hashing")
    memory.add([Passage(str(i), f"Ada met Bo {i}.") for i in range(20)])
    before = len(list(Path("/proc/self/fd").iterdir()))
    held = [GraphMemory.open(tmp_path / "i", embedder="hashing") for _ in range(10)]
    assert all(one.search("Who met Bo?").hits for one in held)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
