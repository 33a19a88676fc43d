"""docs/design.md keeps its word: what it names is where it says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DESIGN = (ROOT / "docs" / "design.md").read_text("utf-8")
ROWS = re.findall(r"^\| (.+?) \| `(.+?)` \| `(.+?)` \|$", DESIGN, re.MULTILINE)


def test_the_map_answers_the_five_questions_of_a_stranger():
    assert [what for what, _, _ in ROWS][:5] == [
        "A damaged snapshot is noticed",
        "A question's names are linked",
        "BM25 is weighed into the seeds",
        "An HTML report is drawn",
        "A new embedder would be added",
    ]


@pytest.mark.parametrize(("file", "name"), [(file, name) for _, file, name in ROWS])
def test_what_the_map_names_is_defined_in_that_file(file, name):
    body = ast.parse((ROOT / file).read_text("utf-8")).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    assert name in {node.name for node in body if isinstance(node, kinds)}


def test_other_files_and_folders_that_the_page_names_exist():
    named = re.findall(r"`((?:graphmem|tests)/[^`]+)`", DESIGN)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []
