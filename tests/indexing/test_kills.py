"""Commands that were killed or failed half-way: what they left, and what the next one makes of it.

`pipelines/kills.py` found each of these; here it runs for a few seconds.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from worlds import TINY, live_snapshot, snapshot_bytes

from graphmem import Passage
from graphmem.errors import DataError, StorageError
from graphmem.indexing import maintenance
from graphmem.storage import current

SCRIPT = Path(__file__).parents[2] / "pipelines" / "kills.py"


def found_ids(memory, question="Gladiator bread South Shields Dunlin guide", k=50):
    return {hit.passage.id for hit in memory.search(question, k, "bm25").hits}


@pytest.mark.parametrize(("only", "every"), [("small delete", 150), ("chat add", 0)])
def test_killed_and_failing_children_lose_nothing(only, every):
    if not shutil.which("cc") or sys.platform != "linux":
        every = 0  # calls are not counted: by time alone
    options = ["--kills", "4", "--only", only, "--every", str(every)]
    command = [sys.executable, SCRIPT, *options, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 4 and found["findings"] == 0
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
