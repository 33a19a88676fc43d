"""Commands that were killed or failed half-way: what they left, and what the next one makes of it.

`pipelines/kills.py` found each of these; here it runs for a few seconds.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from worlds import TINY, live_snapshot, snapshot_bytes

from graphmem import GraphMemory, Passage
from graphmem.errors import (
    ConfigError,
    DataError,
    IndexLockedError,
    IndexNotFoundError,
    StorageError,
)
from graphmem.indexing import maintenance
from graphmem.storage import current

SCRIPT = Path(__file__).parents[2] / "pipelines" / "kills.py"


def found_ids(memory, question="Gladiator bread South Shields Dunlin guide", k=50):
    return {hit.passage.id for hit in memory.search(question, k, "bm25").hits}


WHOLE_OR_NOT = ["small batch", "small backup", "small restore", "small namespace drop"]


@pytest.mark.parametrize(
    ("only", "every", "kills"),
    [(["small delete"], 150, 4), (["chat add"], 0, 4), (WHOLE_OR_NOT, 0, 15)],
)
def test_killed_and_failing_children_lose_nothing(only, every, kills):
    if not shutil.which("cc") or sys.platform != "linux":
        every = 0  # calls are not counted: by time alone
    options = ["--kills", str(kills), "--every", str(every)]
    options += [word for name in only for word in ("--only", name)]
    command = [sys.executable, SCRIPT, *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == kills and found["findings"] == 0
    assert (found["failed_calls"] > 5) == bool(every)


@pytest.mark.parametrize("names", [{"ids": ["p4", "d#0"]}, {"ids": ["p4"], "documents": ["d"]}])
def test_a_delete_that_was_killed_before_its_snapshot_goes_on(make, tmp_path, monkeypatch, names):
    pieces = [Passage("d#0", "A guide to Gladiator.", document="d", position=0)]
    for name in ("killed", "calm"):
        make(tmp_path / name).add([*TINY, *pieces])
    assert make(tmp_path / "calm").delete(**names).deleted == 2
    memory = make(tmp_path / "killed")
    with monkeypatch.context() as patched:
        patched.setattr(maintenance, "assemble_index", killed)
        with pytest.raises(KeyboardInterrupt):
            memory.delete(**names)
    assert {"p4", "d#0"} <= found_ids(memory)  # the snapshot that is live still has them
    with pytest.raises(DataError, match="'nobody'"):
        memory.delete(["p4", "nobody"])
    report = memory.delete(**names)
    assert (report.deleted, report.passages, report.changed) == (2, len(TINY) - 1, True)
    assert not {"p4", "d#0"} & found_ids(memory)
    assert snapshot_bytes(memory.path) == snapshot_bytes(tmp_path / "calm")
    with pytest.raises(DataError, match="'p4'"):  # now it was done, and is a mistake
        memory.delete(**names)


def killed(*_, **__):
    raise KeyboardInterrupt


def test_what_was_left_by_a_run_that_was_killed_after_it_switched_goes(make, tmp_path):
    memory = make(tmp_path / "i")
    memory.add(TINY)
    memory.add(Passage("p9", "A guide to Gladiator."))
    live = live_snapshot(memory.path)
    shutil.copytree(live, live.with_name("snapshot-000001"))
    shutil.copytree(live, live.with_name(".snapshot-000003.tmp"))
    assert memory.add(TINY).changed is False
    assert [path.name for path in memory.path.glob("*snapshot-*")] == [live.name]


def test_the_name_of_the_writer_that_cannot_be_removed_stops_nobody(make, tmp_path, monkeypatch):
    memory = make(tmp_path / "i")
    unlink = Path.unlink

    def refuse(path, *arguments, **options):
        if path.name == "lock.json":
            raise OSError(30, "Read-only file system", str(path))
        unlink(path, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        assert memory.add(TINY).passages == len(TINY)
    assert memory.add(Passage("p9", "A guide to Gladiator.")).added == 1
    assert not (memory.path / "lock.json").exists()


@pytest.mark.parametrize("column", ["df.npy", "data.csc.index.npy", "labels_offsets.npy"])
def test_an_array_whose_end_was_not_written_is_no_snapshot(make, tmp_path, monkeypatch, column):
    """`np.save` does not hear of it: its last bytes are written when C closes the file."""
    memory = make(tmp_path / "i")
    memory.add(TINY)
    before = snapshot_bytes(memory.path)

    def cut(publish):
        def written(index, writer):
            def short(folder):
                manifest = writer(folder)
                (file,) = folder.rglob(column)
                file.write_bytes(file.read_bytes()[:-3])
                return manifest

            return publish(index, short)

        return written

    with monkeypatch.context() as patched:
        patched.setattr(current, "_publish", cut(current._publish))
        with pytest.raises(StorageError, match="could not be written whole; the old state stays"):
            memory.add(Passage("p9", "A guide to Gladiator."))
    assert snapshot_bytes(memory.path) == before
    assert memory.search("Gladiator", 1).hits
    assert memory.add(Passage("p9", "A guide to Gladiator.")).changed


def test_a_delete_that_was_done_but_for_the_old_snapshot_removes_it(make, tmp_path):
    memory = make(tmp_path / "i")
    memory.add(TINY)
    live = live_snapshot(memory.path)
    shutil.copytree(live, live.with_name("snapshot-000009"))
    with pytest.raises(DataError, match="'p9'"):
        memory.delete("p9")
    assert list(memory.path.glob("*snapshot-*")) == [live]


def test_what_is_live_is_said_where_the_disk_fails_at_the_last_moment(make, tmp_path, monkeypatch):
    memory = make(tmp_path / "i")
    memory.add(TINY)

    def refuse(folder):
        if folder == memory.path:
            raise OSError(5, "Input/output error", str(folder))

    with monkeypatch.context() as patched:
        patched.setattr(current, "sync_folder", refuse)
        with pytest.raises(StorageError, match="the new state is live") as caught:
            memory.add(Passage("p9", "A guide to Gladiator."))
    assert "\n" not in str(caught.value)
    assert "p9" in found_ids(make(memory.path))
    assert memory.add(Passage("p9", "A guide to Gladiator.")).changed is False
    assert len(list(memory.path.glob("*snapshot-*"))) == 1


def test_a_batch_that_was_killed_after_a_delete_goes_on(make, tmp_path, monkeypatch):
    def change(memory):
        with memory.batch():
            memory.add(Passage("p9", "A guide to Gladiator."))
            memory.delete("p4")
            memory.add(Passage("p10", "Dunlin bread."))

    for name in ("killed", "calm"):
        make(tmp_path / name).add(TINY)
    change(make(tmp_path / "calm"))
    memory = make(tmp_path / "killed")
    with monkeypatch.context() as patched:
        patched.setattr("graphmem.memory.update_index", killed)
        with pytest.raises(KeyboardInterrupt):
            change(memory)
    assert "p4" in found_ids(memory)
    change(memory)
    assert not {"p4"} & found_ids(memory)
    assert snapshot_bytes(memory.path) == snapshot_bytes(tmp_path / "calm")
    with pytest.raises(DataError, match="'p4'"), memory.batch():
        memory.delete("p4")
    begun = make(tmp_path / "begun")
    with pytest.raises(DataError, match="'nobody'"), begun.batch():
        begun.add(TINY)
        begun.delete(["p4", "nobody"])
    assert "p4" in found_ids(begun)


@pytest.mark.parametrize("error", [StorageError("the disk is full"), KeyboardInterrupt()])
def test_a_batch_that_the_disk_or_ctrl_c_ended_after_a_delete_goes_on(make, tmp_path, error):
    def change(memory, error=None):
        with memory.batch():
            memory.add(Passage("p9", "A guide to Gladiator."))
            memory.delete("p4")
            if error:
                raise error
            memory.add(Passage("p10", "Dunlin bread."))

    for name in ("ended", "calm"):
        make(tmp_path / name).add(TINY)
    change(make(tmp_path / "calm"))
    memory = make(tmp_path / "ended")
    with pytest.raises(type(error)):
        change(memory, error)
    assert "p4" in found_ids(memory) and memory.verify().behind
    change(memory)
    assert snapshot_bytes(memory.path) == snapshot_bytes(tmp_path / "calm")


def space(tmp_path, name="alice"):
    return GraphMemory.open(tmp_path / "i", embedder="hashing", namespace=name)


def test_a_namespace_that_is_being_removed_is_none_and_the_next_drop_ends_it(tmp_path, monkeypatch):
    for name in ("alice", "bob"):
        space(tmp_path, name).add([Passage("1", f"The secret of {name} is quixotic.")])

    def refuse(folder, *_, **__):
        raise OSError(5, "Input/output error", str(folder))

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", refuse)
        with pytest.raises(StorageError, match="is dropped, but not all its files are removed"):
            space(tmp_path).drop()
    assert space(tmp_path, "bob").namespaces() == []
    assert GraphMemory.open(tmp_path / "i", embedder="hashing").namespaces() == ["bob"]
    with pytest.raises(IndexNotFoundError):  # no ghost, though its files are there
        space(tmp_path).search("secret")
    assert any(b"secret of alice" in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())
    with pytest.raises(IndexNotFoundError):
        space(tmp_path).drop()
    assert not any(b"secret of alice" in f.read_bytes() for f in tmp_path.rglob("*") if f.is_file())
    assert len(list((tmp_path / "i" / "namespaces").iterdir())) == 1
    assert space(tmp_path).add([Passage("2", "Anew.")]).passages == 1


def test_what_a_killed_backup_or_restore_left_goes(make, tmp_path):
    memory = make(tmp_path / "i")
    memory.add(TINY)
    steps = [
        ("b.tar", lambda: memory.backup(tmp_path / "b.tar")),
        ("r", lambda: GraphMemory.restore(tmp_path / "b.tar", tmp_path / "r")),
    ]
    for name, run in steps:
        part = tmp_path / f".{name}.part"
        for _ in ("at its end", "and where it was made already"):
            (part / "made" / "index").mkdir(parents=True)
            (part / "made" / "backup").write_text("half")
            with FileLock(part / "lock"):
                if not (tmp_path / name).exists():
                    with pytest.raises(IndexLockedError, match="another process is making it"):
                        run()
                    assert (part / "made" / "backup").exists()
            if (tmp_path / name).exists():
                with pytest.raises(ConfigError, match="exists already"):
                    run()
            else:
                run()
            assert not part.exists() and (tmp_path / name).exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.tar", "i", "r"]


def test_a_backup_that_is_there_but_not_known_to_be_on_the_disk(make, tmp_path, monkeypatch):
    memory = make(tmp_path / "i")
    memory.add(TINY)

    def refuse(folder):
        raise OSError(5, "Input/output error", str(folder))

    monkeypatch.setattr("graphmem.indexing.backup.sync_folder", refuse)
    with pytest.raises(StorageError, match="is made, but not known to be on the disk"):
        memory.backup(tmp_path / "b.tar")
    monkeypatch.undo()
    assert GraphMemory.restore(tmp_path / "b.tar", tmp_path / "r").problems == []
