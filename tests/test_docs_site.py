"""The site of docs/: it builds without a warning, is complete, and loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

import graphmem
from graphmem.cli import main

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "-f",
        ".mkdocs.yml",
    ]  # -q hides what it counts
    done = subprocess.run(
        [*command, "-d", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def commands(command, path="graphmem"):
    yield path
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from commands(inner, f"{path} {name}")


def test_every_command_has_its_help_in_the_reference(site):
    page = (site / "reference" / "commands" / "index.html").read_text("utf-8")
    headings = re.findall(r"<h2[^>]*>(.*?)<a", page)
    assert headings == sorted(commands(main))
    assert "--spacy-model TEXT" in page


def test_every_public_name_is_in_the_reference(site):
    page = (site / "reference" / "python" / "index.html").read_text("utf-8")
    documented = {name.rsplit(".", 1)[-1] for name in re.findall(r'id="(graphmem\.[\w.]+)"', page)}
    assert set(graphmem.__all__) - documented == set()


def test_nothing_is_loaded_from_other_hosts(site):
    loaded = r'<(?:script|link|img|iframe|source)[^>]*?(?:src|href)="?((?:https?:)?//[^" >]+)'
    pages = list(site.rglob("*.html"))
    assert len(pages) > 3
    found = [name for page in pages for name in re.findall(loaded, page.read_text("utf-8"))]
    styles = [file.read_text("utf-8") for file in site.rglob("*.css")]
    found += [name for text in styles for name in re.findall(r"(?:url\(|@import)\W*https?:", text)]
    assert found == []
    # The theme fetches this library from elsewhere where a page has a diagram of its kind.
    assert not any('class="mermaid"' in page.read_text("utf-8") for page in pages)


def test_the_hook_is_no_page_of_the_site(site):
    assert not list(site.rglob("hooks*"))
