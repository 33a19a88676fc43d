"""Namespaces: memories of their own in one folder, never mixed, whatever they are called."""

import json
import threading

import pytest
from cli_helpers import run
from hypothesis import given
from hypothesis import strategies as st
from test_changing import columns

from graphmem import GraphMemory, Passage
from graphmem.base.layout import namespace_folder, namespace_of, namespaces
from graphmem.errors import (
    ConfigError,
    DataError,
    IndexLockedError,
    IndexMismatchError,
    IndexNotFoundError,
)
from graphmem.indexing.writer_lock import writer_lock

TEXTS = {
    None: ["Ada Byron lives in London.", "London lies on the Thames."],
    "alice": ["Ada Byron lives in Ockham.", "Ockham lies in Surrey.", "Surrey lies in England."],
    "bob": ["Bo Berg lives in Turku."],
}
QUESTION = "On which river does Ada Byron live?"


def fill(folder):
    made = {}
    for name, texts in TEXTS.items():
        made[name] = GraphMemory.open(folder, embedder="hashing", namespace=name)
        made[name].add([Passage(str(i), text) for i, text in enumerate(texts)])
    return made


@pytest.fixture(scope="module")
def memories(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("spaces") / "i")


def test_memories_in_one_folder_are_as_alone(memories, tmp_path):
    """Rankings, scores, reasons, statistics and bytes are those of an index that stands alone."""
    for name, memory in memories.items():
        alone = GraphMemory.open(tmp_path / f"alone-{name}", embedder="hashing")
        alone.add([Passage(str(i), text) for i, text in enumerate(TEXTS[name])])
        assert columns(memory.path) == columns(alone.path)
        for preset in ("default", "walk", "dense", "bm25", "rrf", "linearrag"):
            assert memory.search(QUESTION, 10, preset) == alone.search(QUESTION, 10, preset)
        explained = [one.explain(QUESTION) for one in (memory, alone)]
        assert explained[0] == explained[1]
        counts = ("passages", "entities", "bytes_snapshot")
        stats = [[one.stats()[key] for key in counts] for one in (memory, alone)]
        assert stats[0] == stats[1]


def test_they_are_listed_changed_and_dropped(tmp_path):
    made = fill(tmp_path / "i")
    whole = made[None]
    assert whole.namespaces() == ["alice", "bob"]
    made["alice"].delete(["0"])
    assert "Ockham" not in str(whole.search(QUESTION)) and len(whole.search(QUESTION).hits) == 2
    made["bob"].drop()
    assert whole.namespaces() == ["alice"]
    assert len(list((tmp_path / "i" / "namespaces").iterdir())) == 1
    with pytest.raises(IndexNotFoundError, match="namespace 'bob': no index here.*holds.*'alice'"):
        GraphMemory.open(tmp_path / "i", namespace="bob").search("Who?")
    with pytest.raises(IndexNotFoundError):
        GraphMemory.open(tmp_path / "i", namespace="bob").drop()
    with pytest.raises(ConfigError, match="only those are dropped"):
        whole.drop()
    assert whole.search(QUESTION).hits


def test_an_index_of_namespaces_alone(tmp_path):
    memory = GraphMemory.open(tmp_path / "i", embedder="hashing", namespace="a")
    memory.add([Passage("1", "Ada Byron lives in London.")])
    assert not GraphMemory.open(tmp_path / "i").verify().problems
    with pytest.raises(IndexNotFoundError, match="it holds the namespaces 'a'"):
        GraphMemory.open(tmp_path / "i").search("Who?")
    GraphMemory.open(tmp_path / "i", embedder="hashing").add(
        [Passage("1", "Bo Berg lives in Turku.")]
    )
    assert memory.search("Who lives in London?").hits[0].passage.text.startswith("Ada")


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "notes.md").write_text("Ada lives in London.")
    memory = GraphMemory.open(tmp_path, embedder="hashing", namespace="a")
    with pytest.raises(IndexMismatchError, match="is no graphmem index"):
        memory.add([Passage("1", "Ada Byron lives in London.")])
    assert [file.name for file in tmp_path.iterdir()] == ["notes.md"]


def test_each_has_a_writer_of_its_own(tmp_path):
    made = fill(tmp_path / "i")
    with writer_lock(made["alice"].path):
        assert made["bob"].add([Passage("new", "Bo Berg met Cy.")]).added == 1
        caught = []

        def drop():
            try:
                made["alice"].drop()
            except IndexLockedError as error:
                caught.append(str(error))

        thread = threading.Thread(target=drop)
        thread.start()
        thread.join()
    assert "namespace 'alice': another process is writing" in caught[0]
    assert made["alice"].search(QUESTION).hits


def test_backup_restore_and_verify_are_about_all(memories, tmp_path):
    whole = memories[None]
    file = tmp_path / "kept.tar"
    whole.backup(file)
    found = GraphMemory.restore(file, tmp_path / "there")
    assert found.passages == sum(map(len, TEXTS.values())) and not found.problems
    for name, memory in memories.items():
        again = GraphMemory.open(tmp_path / "there", namespace=name)
        assert columns(again.path) == columns(memory.path)
    memories["bob"].backup(tmp_path / "bob.tar")
    GraphMemory.restore(tmp_path / "bob.tar", tmp_path / "bob")
    assert columns(tmp_path / "bob") == columns(memories["bob"].path)
    damaged = next(namespace_folder(tmp_path / "there", "alice").glob("snapshot-*/vectors.npy"))
    data = bytearray(damaged.read_bytes())
    data[-1] ^= 1
    damaged.write_bytes(data)
    (problem,) = GraphMemory.open(tmp_path / "there").verify().problems
    assert problem.place.startswith("'alice': ")
    assert not GraphMemory.open(tmp_path / "there", namespace="bob").verify().problems
    run("verify", tmp_path / "there", code=1)
    run("verify", tmp_path / "there", "--repair")
    assert not GraphMemory.open(tmp_path / "there").verify(deep=True).problems
    damaged = next(namespace_folder(tmp_path / "there", "alice").glob("snapshot-*/vectors.npy"))
    damaged.unlink()
    assert not GraphMemory.open(tmp_path / "there").repair().problems
    with pytest.raises(DataError):
        GraphMemory.restore(tmp_path / "there" / "store.sqlite", tmp_path / "no")


def test_the_commands(tmp_path):
    index = tmp_path / "i"
    for name, text in (("a", "Ada Byron lives in London."), ("b", "Ada Byron lives in Ockham.")):
        source = tmp_path / f"{name}.jsonl"
        source.write_text(json.dumps({"id": "1", "text": text}) + "\n")
        options = ("--namespace", name, "--embedder", "hashing")
        assert (
            f"namespace '{name}': 1 pass" in run("index", source, "--index", index, *options).stdout
        )
    for name, place in (("a", "London"), ("b", "Ockham")):
        for command in (
            ("search", index, QUESTION),
            ("explain", index, QUESTION),
            ("stats", index),
        ):
            shown = run(*command, "--namespace", name, "--json").stdout
            other = "Ockham" if place == "London" else "London"
            assert other not in shown and (place in shown or command[0] == "stats")
    assert run("namespaces", index).stdout.split() == ["a", "b"]
    run("delete", index, "--namespace", "a", "--id", "1")
    run("compact", index, "--namespace", "a")
    assert json.loads(run("namespaces", index, "--drop", "b", "--json").stdout) == ["a"]
    assert "no namespaces" in run("namespaces", tmp_path).stdout
    assert "namespace is a name" in run("stats", index, "--namespace", " ", code=2).stderr
    assert run("search", index, "Who?", "--namespace", "b", code=2).stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["", " a", "a\n", "a" * 101, "\ud800", "a\u202eb", 7])
def test_what_is_no_name(tmp_path, name):
    with pytest.raises(ConfigError, match="a namespace is a name of 1 to 100 bytes"):
        GraphMemory.open(tmp_path / "i", namespace=name)


@given(st.text(min_size=1, max_size=30))
def test_no_name_is_a_path_and_none_is_another(name):
    from pathlib import Path

    try:
        folder = namespace_folder(Path("i"), name)
    except ConfigError:
        return
    assert folder.parent == Path("i/namespaces")
    assert folder.name.isascii() and folder.name.isalnum() and folder.name == folder.name.lower()
    assert namespace_folder(Path("i"), namespace_of(folder)) == folder


def test_strange_folders_are_no_namespaces(tmp_path):
    fill(tmp_path / "i")
    places = tmp_path / "i" / "namespaces"
    for name in ("MFWGSY3F", "not-base32", "mfwgsy3", ".hidden"):
        (places / name).mkdir()
        (places / name / "store.sqlite").write_bytes(b"")
    (places / "mfra").symlink_to(places / "mjxwe")
    assert list(namespaces(tmp_path / "i")) == ["alice", "bob"]
