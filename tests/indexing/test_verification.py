"""Every byte of an index that changes is found, or changes nothing; what can be mended is."""

import json
import random
import shutil
import sqlite3
from contextlib import closing

import pytest
from cli_helpers import run
from test_changing import NAMES, NamesAndFacts, opened
from worlds import live_snapshot

from graphmem import GraphMemory, Passage
from graphmem.errors import GraphmemError, IndexNotFoundError
from graphmem.indexing.verification import verify_index

PASSAGES = [
    Passage(
        f"p{i}",
        f"{NAMES[i % 5]} {NAMES[(i * 3 + 1) % 5]} met {i} times.",
        metadata={"number": i, "kind": "meeting"},
    )
    for i in range(12)
]
MUTATIONS = 1000


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "i"
    opened(path).add(PASSAGES)
    return path


@pytest.fixture
def index(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "i")
    return tmp_path / "i"


def rows_of(index):
    """All rows of the store, but where passages were read and what failed."""
    with closing(sqlite3.connect(index / "store.sqlite")) as db:
        tables = ("meta", "passages", "extractions", "vectors")
        rows = {table: db.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    rows["passages"] = [row[:-1] for row in rows["passages"]]
    return {table: sorted(found, key=repr) for table, found in rows.items()}


def columns_of(index):
    """The live snapshot's files, the manifest by what it says."""
    folder = live_snapshot(index)
    files = {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    return files | {"manifest.json": json.loads(files["manifest.json"])}


def test_a_whole_index_is_whole(whole):
    found = verify_index(whole, deep=True)
    assert (found.problems, found.behind, found.deep, found.passages) == ([], False, True, 12)
    assert found.files > 20 and found.bytes > 1000


def test_every_byte_that_changes_is_found_or_changes_nothing(whole, tmp_path):
    chance = random.Random(7)
    before = rows_of(whole), columns_of(whole)
    files = sorted(
        file.relative_to(whole)
        for file in whole.rglob("*")
        if file.is_file() and not file.name.startswith("lock") and file.stat().st_size
    )
    harmless = []
    for number in range(MUTATIONS):
        name = files[number % len(files)] if number < 2 * len(files) else chance.choice(files)
        index = tmp_path / str(number)
        shutil.copytree(whole, index)
        data = bytearray((index / name).read_bytes())
        place = chance.randrange(len(data))
        kind = chance.choice(["flip", "flip", "flip", "cut", "insert", "remove"])
        if kind == "flip":
            data[place] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del data[place:]
        elif kind == "insert":
            data.insert(place, chance.randrange(256))
        (index / name).write_bytes(data)
        if kind == "remove":
            (index / name).unlink()
        try:
            found = verify_index(index, deep=True)
            noticed = bool(found.problems) or found.behind
        except IndexNotFoundError:
            noticed = True
        if not noticed:
            assert (rows_of(index), columns_of(index)) == before, (name, kind, place)
            harmless.append(name.name)
        shutil.rmtree(index)
    # Free space of the store, its counters and its free-form header; blanks of the manifest.
    assert set(harmless) <= {"store.sqlite", "manifest.json"}
    assert len(harmless) < MUTATIONS / 8


def damage(index, statement, *values):
    with closing(sqlite3.connect(index / "store.sqlite", isolation_level=None)) as db:
        assert db.execute(statement, values).rowcount


def test_a_damaged_snapshot_is_assembled_anew(index):
    expected = opened(index).search("Who met Ada?")
    for file in live_snapshot(index).glob("*.npy"):
        file.write_bytes(file.read_bytes()[:-1] + b"\x07")
    memory = opened(index)
    problems = memory.verify().problems
    assert len(problems) > 10
    assert all("vectors" not in p.place or "other bytes" in p.what for p in problems)
    assert memory.repair().problems == []
    assert opened(index).search("Who met Ada?") == expected
    assert memory.verify(deep=True).problems == []


def test_a_pointer_to_nothing_and_files_of_others(index):
    (live_snapshot(index) / "extra.npy").write_bytes(b"1")
    assert [p.what for p in verify_index(index).problems] == ["is not of the snapshot"]
    (index / "CURRENT").write_text("snapshot-999999")
    assert verify_index(index).problems
    assert opened(index).repair().problems == []


def test_damaged_vectors_and_extractions_are_computed_again(index):
    before = columns_of(index)["vectors.npy"]
    damage(index, "UPDATE vectors SET data = zeroblob(length(data)) WHERE rowid = 1")
    damage(
        index,
        "UPDATE extractions SET data = '{' WHERE hash = (SELECT hash FROM passages WHERE id = ?)",
        "p3",
    )
    memory = opened(index)
    said = [p.what for p in memory.verify().problems]
    assert any("is not of length 1" in what for what in said)
    assert any("cannot be read" in what for what in said)
    found = memory.repair()
    assert found.problems == []
    memory.add(PASSAGES)  # what waited is extracted again
    assert memory.verify(deep=True).problems == []
    assert columns_of(index)["vectors.npy"] == before


def test_a_changed_text_is_named_and_never_mended_by_guessing(index):
    damage(index, "UPDATE passages SET text = 'Bob met nobody.' WHERE id = ?", "p2")
    memory = opened(index)
    (problem,) = memory.verify().problems
    assert "'p2'" in problem.what and "its source again" in problem.mended_by
    assert len(memory.repair().problems) == 1


def test_what_was_extracted_otherwise_is_found_by_assembling(index):
    row = "SELECT hash FROM passages WHERE id = 'p1'"
    damage(index, f'UPDATE extractions SET data = \'{{"entities": ["Bob"]}}\' WHERE hash = ({row})')
    assert verify_index(index).problems == []
    found = verify_index(index, deep=True)
    assert any("comes out otherwise" in problem.what for problem in found.problems)


def test_a_trigger_is_no_part_of_an_index(index):
    damage_free = sqlite3.connect(index / "store.sqlite", isolation_level=None)
    with closing(damage_free) as db:
        db.execute("CREATE TRIGGER t AFTER DELETE ON passages BEGIN DELETE FROM vectors; END")
    assert [p.what for p in verify_index(index).problems] == [
        "holds a trigger that graphmem never makes: 't'"
    ]


def test_a_stopped_run_is_behind_and_no_damage(index):
    with pytest.raises(KeyboardInterrupt):
        stop = NamesAndFacts()
        stop.extract = lambda passages: (_ for _ in ()).throw(KeyboardInterrupt())
        opened(index, extractor=stop).add([Passage("new", "Ada met Oslo.")])
    found = verify_index(index, deep=True)
    assert (found.problems, found.behind, found.deep) == ([], True, False)
    assert "is behind the store" in run("verify", index).output


def test_an_index_whose_passages_are_all_deleted_is_whole(index):
    opened(index).delete(where={"kind": "meeting"})
    found = verify_index(index, deep=True)
    assert (found.problems, found.passages, found.deep) == ([], 0, True)


def test_no_index(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(IndexNotFoundError):
            verify_index(folder)
    with pytest.raises(GraphmemError):
        GraphMemory.open(tmp_path / "none", embedder="hashing").verify()


def test_on_the_command_line(index):
    assert "whole; 12 passages" in run("verify", index).output
    assert "comes out the same" in run("verify", index, "--deep").output
    assert json.loads(run("verify", index, "--json").output)["problems"] == []
    (live_snapshot(index) / "df.npy").unlink()
    assert "mended by: graphmem verify --repair" in run("verify", index, code=1).output
    said = run("verify", index, "--repair").output
    assert "1 problem before the repair, 0 now" in said
    (index / "store.sqlite").write_bytes(b"no store")
    assert "a backup" in run("verify", index, code=1).output
