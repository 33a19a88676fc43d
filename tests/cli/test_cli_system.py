"""The command line and the machine below it: terminals, Ctrl-C, full and read-only disks."""

import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing

import pytest
from cli_helpers import FILMS, QUESTION, command, hits, make_index, run, run_process, write_lines

from graphmem.memory import GraphMemory

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\r"
NAMES = ("Ada", "Boris", "Chloé", "Dmitri", "Eve", "Farah", "Goran", "Hana")


def notes(count):
    """Texts that differ, so that each is computed."""
    return [
        {
            "id": f"n{i}",
            "title": f"Note {i}",
            "text": f"On day {i} {NAMES[i % 8]} Number{i % 90} met {NAMES[i % 7]} Street of Town"
            f"{i % 50} by the river Flow{i % 30}. They spoke of {NAMES[i % 5]} until {1900 + i}.",
        }
        for i in range(count)
    ]


def run_in_terminal(*arguments):
    """Run a command whose stderr is a terminal: exit code, stdout, what the terminal got."""
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(screen, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(screen)
    out = process.communicate(timeout=60)[0]
    return process.returncode, out.decode(), shown.decode()


def test_progress_on_a_terminal_only(tmp_path):
    source = write_lines(tmp_path / "n.jsonl", notes(60))
    options = ("--embedder", "hashing", "--workers", 1)
    code, out, shown = run_in_terminal("index", source, "--index", tmp_path / "a", *options)
    assert code == 0
    for stage in ("reading", "extracting and embedding", "assembling the graph", "60/60", "/s"):
        assert stage in shown
    assert "\x1b" not in out
    result = run_process("index", source, "--index", tmp_path / "b", *options)
    assert result.stderr == ""
    assert result.stdout == out.replace(str(tmp_path / "a"), str(tmp_path / "b"))


@pytest.fixture
def evil_index(tmp_path):
    records = [
        {"id": f"id{EVIL}", "title": f"Alien{EVIL}", "text": f"Alien {EVIL} by Ridley Scott."},
        {"id": "f2", "title": "Ridley Scott", "text": "Ridley Scott made Alien.", EVIL: EVIL},
    ]
    return make_index(tmp_path, records)


def assert_harmless(text):
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text), ascii(text)


def test_escape_sequences_never_reach_the_terminal(evil_index, tmp_path):
    queries = write_lines(tmp_path / "q.jsonl", [{"id": f"q{EVIL}", "question": f"Alien{EVIL}?"}])
    for preset in ("default", "dense", "bm25"):
        for command_ in ("search", "explain"):
            for options in ([], ["--json"]):
                shown = run(command_, evil_index, f"Alien{EVIL}?", "--preset", preset, *options)
                assert "Ridley Scott" in shown.output
                assert_harmless(shown.output)
                if not options:
                    assert "\u202e" not in shown.output
    for options in ([], ["--json"]):
        assert_harmless(run("search", evil_index, "--queries", queries, *options).output)
    assert_harmless(run("stats", evil_index).output)


def test_json_still_holds_what_was_indexed(evil_index):
    found = json.loads(run("search", evil_index, "Alien", "--json").stdout)
    assert any(f"id{EVIL}" == hit["id"] for hit in found["hits"])


def test_escape_sequences_in_errors(evil_index, tmp_path):
    clash = write_lines(tmp_path / f"c{EVIL}.jsonl", [{"id": f"id{EVIL}", "text": EVIL}] * 2)
    assert_harmless(run("add", clash, "--index", evil_index, code=2).output)
    clash.write_text(f'{{"{EVIL}": "{EVIL}"}}\n')
    assert_harmless(run("add", clash, "--index", evil_index, code=2).output)
    assert_harmless(run("search", evil_index, "x", "--preset", EVIL, code=2).output)


def test_output_that_knows_no_unicode_is_no_crash(tmp_path):
    index = make_index(tmp_path)
    result = run_process(
        "explain", index, QUESTION, env=os.environ | {"PYTHONIOENCODING": "latin-1"}
    )
    assert result.returncode == 0
    assert "\\u2192" in result.stdout


def test_output_cut_off_by_its_reader_is_no_traceback(tmp_path):
    index = make_index(tmp_path, notes(400))
    process = subprocess.Popen(
        command("search", index, "Ada", "-k", 400, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.read(10)
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)


def committed(index):
    """How many texts are computed and committed."""
    try:
        with closing(sqlite3.connect(f"file:{index}/store.sqlite?mode=ro", uri=True)) as db:
            return db.execute("SELECT count(*) FROM vectors").fetchone()[0]
    except sqlite3.Error:
        return -1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("at_least", [0, 32])
def test_ctrl_c_keeps_what_is_committed_and_says_how_to_go_on(tmp_path, workers, at_least):
    source = write_lines(tmp_path / "n.jsonl", notes(1600))
    index = tmp_path / "i"
    arguments = ("index", source, "--index", index, "--embedder", "hashing", "--workers", workers)
    process = subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, which gets the signal as from a terminal
    )
    end = time.monotonic() + 60
    while committed(index) < at_least and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    assert process.poll() is None, "it ended before it could be interrupted"
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1, (out, err)
    assert out == ""
    assert err.splitlines() == [
        "interrupted: what was committed is kept; run the same command again to go on"
    ]
    kept = committed(index)
    assert at_least <= kept < 1600
    assert "run the same graphmem index command again" in run("search", index, "x", code=2).output
    report = json.loads(run(*arguments, "--json").stdout)
    assert report["passages"] == 1600
    assert report["computed"] == 1600 - kept
    assert len(hits(index, "Ada", k=2000)) == 1600


@pytest.fixture
def disk(tmp_path):
    """Mounts a small file system in memory: disk("300k") is its folder, disk("ro") changes it."""
    folder = tmp_path / "disk"
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a small file system to fill")
    folder.mkdir()
    mounted = []

    def mount(option):
        remount = ["remount"] if mounted else []
        setting = option if option in ("ro", "rw") else f"size={option}"
        options = ",".join([*remount, setting])
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"a file system cannot be mounted here: {done.stderr.decode().strip()}")
        mounted.append(option)
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("kilobytes", [300, 600])
def test_full_disk_keeps_the_old_state_and_the_same_command_goes_on(disk, tmp_path, kilobytes):
    folder = disk(f"{kilobytes}k")
    index = folder / "i"
    films = write_lines(tmp_path / "films.jsonl", FILMS)
    more = write_lines(tmp_path / "more.jsonl", notes(100))
    run("index", films, "--index", index, "--embedder", "hashing")
    before = hits(index)
    result = run_process("add", more, "--index", index)  # its own process: it may not be killed
    assert result.returncode == 1, result.stderr
    assert re.match(r"error: .*(full|space)", result.stderr)
    assert len(result.stderr.splitlines()) == 1
    assert hits(index) == before
    disk("100m")
    run("add", more, "--index", index)
    assert len(hits(index, k=1000)) == 104


def test_full_disk_while_the_snapshot_is_written(disk, tmp_path):
    """However much of it fits: an error, no signal from a file that is mapped into memory."""
    index = make_index(tmp_path, notes(100))
    size = sum(file.stat().st_size for file in index.rglob("snapshot-*/**/*") if file.is_file())
    shutil.rmtree(index / "snapshot-000001")
    (index / "CURRENT").unlink()
    folder = disk("1m")
    for share in (0.05, 0.2, 0.4, 0.6, 0.8, 0.95):
        shutil.copytree(index, folder / "i")
        disk("100m")
        used = shutil.disk_usage(folder).used
        disk(f"{int(used + share * size) // 1024 + 36}k")  # SQLite's shared memory takes 32 KB
        result = run_process("index", tmp_path / "films.jsonl", "--index", folder / "i")
        assert result.returncode == 1, (share, result.returncode, result.stderr)
        assert re.match(r"error: .*(full|space)", result.stderr), (share, result.stderr)
        assert len(result.stderr.splitlines()) == 1
        assert not list((folder / "i").glob("snapshot*"))
        disk("100m")
        run("index", tmp_path / "films.jsonl", "--index", folder / "i")
        assert len(hits(folder / "i", k=1000)) == 100
        shutil.rmtree(folder / "i")


def test_full_disk_for_a_run_file(disk, tmp_path):
    index = make_index(tmp_path)
    folder = disk("8k")
    queries = [{"id": f"q{i}", "question": "Alien"} for i in range(200)]
    source = write_lines(tmp_path / "q.jsonl", queries)
    result = run("search", index, "--queries", source, "--run", folder / "out", code=1)
    assert "out: cannot be written: No space left" in result.output
    assert list(folder.iterdir()) == []


def test_read_only_folder_can_be_searched_not_written(disk, tmp_path):
    folder = disk("10m")
    index = make_index(folder)
    source = write_lines(tmp_path / "n.jsonl", notes(3))
    queries = write_lines(tmp_path / "q.jsonl", [{"id": "q", "question": "Alien"}])
    before = hits(index)
    disk("ro")
    assert hits(index) == before
    run("explain", index, QUESTION)
    run("stats", index)
    out = tmp_path / "triples.json"
    assert "4 passages" in run("export", index, "--openie", out).output
    assert len(json.loads(out.read_text())["docs"]) == 4
    run("index", source, "--index", index, "--dry-run")
    assert GraphMemory.open(index).failures() == {}
    for target in (index, folder / "new"):
        result = run("index", source, "--index", target, "--embedder", "hashing", code=1)
        assert re.match(r"error: .*Read-only file system", result.output)
        assert len(result.output.splitlines()) == 1
    result = run("search", index, "--queries", queries, "--run", folder / "out", code=1)
    assert "out: cannot be written: Read-only file system" in result.output
