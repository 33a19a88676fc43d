"""README.md keeps its word: its commands and its example run, in the order in which they stand."""

import re
import sys

import pytest
from docs_helpers import ROOT, blocks, run

README = (ROOT / "README.md").read_text("utf-8")


def section(title):
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_opens_with_two_commands_that_install_and_run():
    """Their words; .ci/run runs them."""
    first, second = blocks("bash", README)[:2]
    assert first == (
        "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/graphmem demo\n"
    )
    assert second == ".venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest -n 2\n"
    assert README.index(first) < README.index("\n## ")
    assert "skipped" in README.split("\n## ")[0]


def test_python_example(tmp_path):
    (example,) = blocks("python", README)
    assert len(example.splitlines()) == 15
    done = run([sys.executable, "-c", example], tmp_path)
    assert done.returncode == 0, done.stderr
    hits = [line for line in done.stdout.splitlines() if line[0].isdigit()]
    assert [line.split(" ", 1)[1].rsplit(" ", 1)[0] for line in hits] == [
        "Alien",
        "Ridley Scott",
        "South Shields",
    ]
    assert "->" in done.stdout


def test_commands_in_order(tmp_path):
    commands = blocks("bash", section("On the command line"))
    assert len(commands) >= 4
    done = run(["bash", "-euo", "pipefail", "-c", "".join(commands)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sample.trec").stat().st_size > 0
    assert "Usage" not in done.stdout + done.stderr
    # What the README shows is what is printed.
    for shown in blocks("text", section("On the command line")):
        for line in shown.splitlines():
            assert line in done.stdout, line


def test_every_command_is_shown():
    commands = "".join(blocks("bash", README))
    for name in ("index", "add", "delete", "search", "explain", "stats", "models", "demo"):
        assert re.search(rf"graphmem {name}\b", commands), name


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_to_files(target):
    assert (ROOT / target).exists()
