"""The pages of docs/ keep their word: commands and examples run, what they name is there."""

import ast
import re

import pytest
from chat_helpers import KEY, running_chat_server, say
from docs_helpers import ROOT, blocks, run

DESIGN = (ROOT / "docs" / "design.md").read_text("utf-8")
PROMISES = (ROOT / "docs" / "promises.md").read_text("utf-8")
GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))
# Three columns of a table: what, the file, and what is defined in it.
ROW = re.compile(r"^\| (.+?) \| `(.+?)` \| `(.+?)` \|$", re.MULTILINE)
ROWS = ROW.findall(DESIGN)


def test_the_map_answers_the_five_questions_of_a_stranger():
    assert [what for what, _, _ in ROWS][:5] == [
        "A damaged snapshot is noticed",
        "A question's names are linked",
        "BM25 is weighed into the seeds",
        "An HTML report is drawn",
        "A new embedder would be added",
    ]


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for _, file, name in [*ROWS, *ROW.findall(PROMISES)]]
)
def test_what_a_table_names_is_defined_in_that_file(file, name):
    body = ast.parse((ROOT / file).read_text("utf-8")).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    assert name in {node.name for node in body if isinstance(node, kinds)}


def test_every_promise_has_a_test():
    promises = PROMISES.split("|---|---|---|\n")[1].split("\n\n")[0].splitlines()
    assert len(promises) >= 20
    assert all(ROW.match(promise)[2].startswith("tests/") for promise in promises)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.name)
def test_files_and_folders_that_a_page_names_exist(page):
    text = page.read_text("utf-8")
    named = re.findall(r"`((?:graphmem|tests|pipelines|docs|examples|data)/[^`*\s]+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", GUIDE, ids=lambda path: path.stem)
def test_commands_and_examples_of_a_page_run_in_order(page, tmp_path):
    text = page.read_text("utf-8")
    commands = "".join(blocks("bash", text))
    if not commands:
        assert page.stem == "language-models"  # nothing there runs without a model
        return
    done = run(["bash", "-euo", "pipefail", "-c", commands], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Usage" not in done.stdout + done.stderr
    for shown in blocks("text", text):
        for line in shown.splitlines():
            assert line in done.stdout, line
    for example in blocks("python", text):
        done = run(["python", "-c", example], tmp_path)
        assert done.returncode == 0, done.stderr


def test_commands_that_need_a_model_have_options_that_exist():
    """They are not run; the command line must know every word of them."""
    from click.testing import CliRunner

    from graphmem.cli import main

    (listed,) = blocks("text", (ROOT / "docs/guide/language-models.md").read_text("utf-8"))
    for line in listed.splitlines():
        _, command, *rest = line.split()
        help_text = CliRunner().invoke(main, [command, "--help"]).output
        options = [word for word in rest if word.startswith("--")]
        assert [option for option in options if option not in help_text] == [], line


def test_the_experiments_that_a_file_describes(tmp_path):
    """One compares two indexes; of the other a model leads a variant."""
    page = (ROOT / "docs/guide/experiments.md").read_text("utf-8")
    words, experiment = blocks("toml", page)
    (tmp_path / "words.toml").write_text(words)
    done = run(["graphmem", "eval", "words.toml"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| learned words |" in done.stdout
    (tmp_path / "led.toml").write_text(experiment)
    assert "`graphmem eval led.toml`" in page and "`graphmem eval words.toml`" in page
    with running_chat_server(say('{"question": "Where is Zürich?"}')) as server:
        keys = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY, "GRAPHMEM_MODEL": "m"}
        done = run(["graphmem", "eval", "led.toml"], tmp_path, **keys)
        assert done.returncode == 0, done.stderr
        assert len(server.calls) > 48
    assert "| default + residual |" in done.stdout and "48 calls, cost" in done.stdout
    assert (tmp_path / "led.results" / "answers.sqlite").exists()
