"""Standard output and error that are closed, full or closed early, for every command."""

import json
import os
import subprocess

import click
import pytest
from cli_helpers import FILMS, QUESTION, command, hits, make_index, run, write_lines

from graphmem.cli import main
from graphmem.sources.sample import sample_folder

COMMANDS = {
    "index": ("index", "films.jsonl", "--index", "new.index", "--embedder", "hashing"),
    "index --json": ("index", "films.jsonl", "--index", "new.index", "--embedder", "hashing"),
    "add": ("add", "more.jsonl", "--index", "films.index"),
    "delete": ("delete", "films.index", "--id", "f1"),
    "compact": ("compact", "films.index"),
    "verify": ("verify", "films.index"),
    "backup": ("backup", "films.index", "films.tar"),
    "namespaces": ("namespaces", "films.index"),
    "restore": ("restore", "kept.tar", "--index", "restored.index"),
    "search": ("search", "films.index", QUESTION),
    "search --queries": ("search", "films.index", "--queries", "queries.jsonl"),
    "explain": ("explain", "films.index", QUESTION, "--json"),
    "stats": ("stats", "films.index"),
    "models": ("models",),
    "models fetch": ("models", "fetch"),
    "demo": ("demo", "--index", "demo.index"),
    "formats": ("formats",),
    "ask": ("ask", "films.index", QUESTION),
    "export": ("export", "films.index", "--openie", "out.json", "--graphml", "out.graphml"),
    "eval": ("eval", "sample", "--preset", "bm25", "--embedder", "hashing", "--out", "results"),
    "data": ("data", "--help"),
    "data convert": ("data", "convert", "sample", "converted"),
    "data check": ("data", "check", "sample"),
    "help": ("--help",),
    "version": ("--version",),
}
NEEDS_A_MODEL = {"ask"}  # and there is none: its one line says so

CLOSED, FULL = ">&-", ">/dev/full"
SOME = ("index", "search --queries", "export", "help")  # of outputs that Python treats alike

MADE = {
    "index": "new.index/CURRENT",
    "index --json": "new.index/CURRENT",
    "demo": "demo.index/CURRENT",
    "backup": "films.tar",
    "restore": "restored.index/CURRENT",
    "export": "out.graphml",
    "eval": "results/report.html",
    "data convert": "converted/corpus.jsonl",
}
"""What a command leaves behind, whether or not what it prints can be written."""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    make_index(folder)
    run("backup", folder / "films.index", folder / "kept.tar")
    write_lines(folder / "more.jsonl", [{"id": "new", "text": "Aliens is a film."}])
    write_lines(folder / "queries.jsonl", [{"id": "q", "question": QUESTION}])
    return folder


@pytest.fixture
def folder(template, tmp_path):
    subprocess.run(["cp", "-r", f"{template}/.", tmp_path], check=True)
    (tmp_path / "sample").symlink_to(sample_folder())
    return tmp_path


def shell(folder, name, redirections):
    """Runs a command with its streams led elsewhere; what came out of those that are left."""
    words = command(*COMMANDS[name], *(["--json"] if name == "index --json" else []))
    script = f'exec "$@" {redirections}'
    environment = {k: v for k, v in os.environ.items() if k != "GRAPHMEM_MODEL"}
    return subprocess.run(
        ["bash", "-c", script, "bash", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_command_is_in_the_table():
    def paths(found, words=()):
        if not isinstance(found, click.Group):
            return {" ".join(words)}
        return set().union(*(paths(c, (*words, n)) for n, c in found.commands.items()))

    assert paths(main) <= set(COMMANDS)


@pytest.mark.parametrize(
    ("name", "redirections"), [*((n, FULL) for n in COMMANDS), *((n, CLOSED) for n in SOME)]
)
def test_standard_output_that_cannot_be_written(folder, name, redirections):
    reason = "Bad file descriptor" if redirections == CLOSED else "No space left on device"
    done = shell(folder, name, redirections)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    if name in NEEDS_A_MODEL:
        assert "this needs a chat model" in done.stderr
        assert done.returncode == 2
        return
    assert done.stderr == f"error: standard output: {reason}\n"
    assert done.returncode == 1
    if name in MADE:
        assert (folder / MADE[name]).exists()
    if name == "add":
        assert "new" in hits(folder / "films.index")


@pytest.mark.parametrize(
    ("name", "redirections"),
    [*((n, "2>&-") for n in COMMANDS), *((n, "2>/dev/full") for n in SOME)],
)
def test_standard_error_that_cannot_be_written_changes_nothing(folder, name, redirections):
    done = shell(folder, name, redirections)
    assert done.stderr == ""
    assert done.returncode == (2 if name in NEEDS_A_MODEL else 0), done.stdout
    assert bool(done.stdout) == (name not in NEEDS_A_MODEL)
    if name in MADE:
        assert (folder / MADE[name]).exists()


@pytest.mark.parametrize("name", ["index", "export", "help"])
def test_all_streams_closed(folder, name):
    done = shell(folder, name, "<&- >&- 2>&-")
    assert done.returncode == 1
    assert (done.stdout, done.stderr) == ("", "")
    if name in MADE:
        assert (folder / MADE[name]).exists()
        assert b"error" not in (folder / MADE[name]).read_bytes()


@pytest.mark.parametrize("name", SOME)
def test_standard_output_closed_early(folder, name):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        command(*COMMANDS[name]),
        cwd=folder,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
        check=False,
    )
    os.close(write)
    assert done.stderr == "error: standard output: Broken pipe\n"
    assert done.returncode == 1
    if name in MADE:
        assert (folder / MADE[name]).exists()


def test_head_gets_its_line(folder):
    write_lines(folder / "many.jsonl", [{"id": f"q{i}", "question": QUESTION} for i in range(300)])
    words = command("search", "films.index", "--queries", "many.jsonl", "--json")
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -1; echo "${PIPESTATUS[0]}"', "bash", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    first, code = done.stdout.splitlines()
    assert json.loads(first)["id"] == "q0"
    assert code == "1"
    assert done.stderr == "error: standard output: Broken pipe\n"


def test_usage_errors_where_nobody_reads_them(folder):
    for redirections in ("2>&-", "2>/dev/full", ">&- 2>&-"):
        words = command("search", "films.index")
        script = f'exec "$@" {redirections}'
        done = subprocess.run(["bash", "-c", script, "bash", *words], cwd=folder, check=False)
        assert done.returncode == 2


def test_standard_input_that_is_closed_is_no_empty_source(folder):
    words = command("add", "-", "--index", "films.index")
    done = subprocess.run(
        ["bash", "-c", 'exec "$@" <&-', "bash", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines() == ["error: -: cannot be read: Bad file descriptor"]
    assert done.returncode == 2
    assert len(hits(folder / "films.index")) == len(FILMS)
