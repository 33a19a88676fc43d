"""The mixed folder: chosen in turns, nothing lost without a word, and a loss is seen."""

import doctest
from pathlib import Path
from random import Random

import pytest

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
UNFIT = {"truncated.pdf", "random.bin", "random.txt", "archive.docx", "truncated.docx"}


@pytest.fixture
def mixed(monkeypatch):
    monkeypatch.syspath_prepend(str(PIPELINES))
    import mixed_folder

    return mixed_folder


def test_its_examples_hold(mixed):
    found = doctest.testmod(mixed)
    assert found.attempted >= 3 and not found.failed


def test_every_file_is_indexed_or_named_and_lines_are_found(mixed, tmp_path, monkeypatch):
    folder = tmp_path / "documents"
    mixed.make_unfit(folder / "unfit")
    (folder / "a.md").write_text("# Bridges\n\nThe Larkmoor Bridge was designed by Ravenscroft.\n")
    result = mixed.measured(folder, tmp_path / "index", "hashing")
    assert result["exit_code"] == 3 and not result["lost"] and not result["lines_lost"]
    assert (result["indexed"], result["files"], result["lines_found"]) == (2, 10, 1)
    assert {f"unfit/{name}" for name in UNFIT} <= set(result["left_out"])
    assert result["left_out"]["unfit/empty.txt"] == "no text in it"
    monkeypatch.setattr(mixed, "left_out", lambda *_: {})
    monkeypatch.setattr(mixed, "lines_of", lambda _: ["Zanzibar is not told here"])
    result = mixed.measured(folder, tmp_path / "other", "hashing")
    assert "unfit/empty.txt" in result["lost"] and len(result["lines_lost"]) == 2


def test_of_unfit_files_nothing_is_lost_without_a_word(mixed, tmp_path, monkeypatch):
    import unfit_folder

    folder = tmp_path / "files"
    unfit_folder.make(folder, 60, Random(1), large=False)
    result = unfit_folder.measured(folder, tmp_path / "index")
    assert (result["files"], result["faults"]) == (61, [])
    assert result["named"] > 30 and result["read"] > 3
    monkeypatch.setattr(unfit_folder, "left_out", lambda *_: {})
    (folder / "good.txt").write_text("A ladder.")
    faults = unfit_folder.measured(folder, tmp_path / "other")["faults"]
    assert sum(fault.startswith("lost: ") for fault in faults) > 20
    assert "the good note is not the first hit" in faults


def test_packages_of_other_licences_are_left_out(mixed):
    class Package:
        def __init__(self, **fields):
            self.fields = fields
            self.metadata = self

        def get_all(self, name):
            return self.fields.get(name.replace("-", "_"))

    python = ["Programming Language :: Python :: Implementation :: CPython"]
    assert mixed.is_permissive(Package(License=["MIT"], Classifier=python))
    assert mixed.is_permissive(Package(License_Expression=["Apache-2.0 OR BSD-3-Clause"]))
    assert not mixed.is_permissive(Package(License=["MPL-2.0 AND MIT"]))
    assert not mixed.is_permissive(Package(License=["LGPL with exceptions"]))
    assert not mixed.is_permissive(Package(Classifier=python))
