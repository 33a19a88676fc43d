"""A backup is one file of one moment, also while others write; nothing strange comes out of one."""

import io
import json
import tarfile
import threading

import pytest
from cli_helpers import run
from test_changing import columns, opened
from test_verification import PASSAGES

from graphmem import GraphMemory, Passage
from graphmem.errors import ConfigError, DataError, IndexNotFoundError
from graphmem.indexing.verification import verify_index


@pytest.fixture(scope="module")
def memory(tmp_path_factory):
    memory = opened(tmp_path_factory.mktemp("kept") / "i")
    memory.add(PASSAGES)
    return memory


def test_what_is_restored_is_what_was(memory, tmp_path):
    file = tmp_path / "kept.tar"
    assert memory.backup(file) == file.stat().st_size
    found = GraphMemory.restore(file, tmp_path / "there" / "i")
    assert (found.problems, found.behind, found.passages) == ([], False, len(PASSAGES))
    assert columns(tmp_path / "there" / "i") == columns(memory.path)
    again = opened(tmp_path / "there" / "i")
    assert again.search("Who met Ada?") == memory.search("Who met Ada?")
    assert again.add([Passage("new", "Ada met Oslo.")]).added == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.tar", "there"]


def test_a_moved_index_opens(memory, tmp_path):
    GraphMemory.restore(_backup(memory, tmp_path), tmp_path / "i")
    (tmp_path / "i").rename(tmp_path / "moved")
    assert opened(tmp_path / "moved").search("Who met Ada?") == memory.search("Who met Ada?")


def _backup(memory, folder):
    memory.backup(folder / "kept.tar")
    return folder / "kept.tar"


def test_backups_while_a_writer_writes_are_of_some_state(tmp_path):
    writer = opened(tmp_path / "i")
    writer.add(PASSAGES[:1])
    ended = threading.Event()

    def write():
        for passage in PASSAGES[1:]:
            writer.add([passage])
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    counts = []
    while not ended.is_set() or not counts:
        name = f"{len(counts)}"
        GraphMemory.open(tmp_path / "i", embedder="hashing").backup(tmp_path / f"{name}.tar")
        found = GraphMemory.restore(tmp_path / f"{name}.tar", tmp_path / f"{name}.index")
        assert found.problems == []
        again = opened(tmp_path / f"{name}.index")
        again.add([PASSAGES[0]])  # goes on with what the snapshot had not yet
        assert verify_index(again.path, deep=True).problems == []
        counts.append(found.passages)
    thread.join()
    assert counts == sorted(counts)


def test_places_that_are_taken_and_what_is_not_there(memory, tmp_path):
    file = _backup(memory, tmp_path)
    with pytest.raises(ConfigError, match="exists already"):
        memory.backup(file)
    with pytest.raises(ConfigError, match="exists already"):
        GraphMemory.restore(file, memory.path)
    with pytest.raises(DataError, match="no such file"):
        GraphMemory.restore(tmp_path / "none.tar", tmp_path / "new")
    with pytest.raises(IndexNotFoundError):
        GraphMemory.open(tmp_path / "no.index", embedder="hashing").backup(tmp_path / "x.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.tar"]


def archive(file, *members):
    with tarfile.open(file, "w") as made:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            made.addfile(info, io.BytesIO(content))
    return file


FILE = tarfile.REGTYPE


@pytest.mark.parametrize(
    "members",
    [
        [],
        [("../evil", b"x", FILE)],
        [("/tmp/evil", b"x", FILE)],
        [("snapshot-000001/../../evil.npy", b"x", FILE)],
        [("store.sqlite", b"", tarfile.SYMTYPE)],
        [("store.sqlite", b"", tarfile.LNKTYPE)],
        [("snapshot-000001", b"", tarfile.DIRTYPE)],
        [("store.sqlite", b"", tarfile.CHRTYPE)],
        [("store.sqlite", b"x", FILE), ("store.sqlite", b"y", FILE)],
        [("store.sqlite", b"no store", FILE), ("CURRENT", b"snapshot-000001", FILE)],
        [("other.txt", b"x", FILE)],
    ],
)
def test_what_is_no_backup_makes_nothing(tmp_path, members):
    (tmp_path / "inner").mkdir()
    file = archive(tmp_path / "inner" / "bad.tar", *members)
    with pytest.raises(DataError, match="backup"):
        GraphMemory.restore(file, tmp_path / "inner" / "i")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bad.tar", "inner"]


def test_a_damaged_or_shortened_backup_makes_nothing(memory, tmp_path):
    data = _backup(memory, tmp_path).read_bytes()
    place = data.index(b"met 3 times")
    flipped = bytearray(data)
    flipped[place] ^= 1
    for bad in (bytes(flipped), data[: len(data) // 2], data[:100], b"", b"x" * 5000):
        (tmp_path / "bad.tar").write_bytes(bad)
        with pytest.raises(DataError, match="backup"):
            GraphMemory.restore(tmp_path / "bad.tar", tmp_path / "i")
        assert not (tmp_path / "i").exists()


def test_on_the_command_line(memory, tmp_path):
    file, there = tmp_path / "kept.tar", tmp_path / "i"
    assert "bytes" in run("backup", memory.path, file).output
    assert "whole; 12 passages" in run("restore", file, "--index", there).output
    assert "exists already" in run("restore", file, "--index", there, code=2).output
    for taken in ("/", ".", ".."):
        assert "exists already" in run("backup", memory.path, taken, code=2).output
    said = json.loads(run("backup", there, tmp_path / "more.tar", "--json").output)
    assert said["bytes"] == (tmp_path / "more.tar").stat().st_size
