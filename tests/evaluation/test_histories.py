"""The script that plays random histories; here it plays a few, and is shown a difference."""

import sys
from pathlib import Path
from random import Random

import pytest

from graphmem import Passage

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"


@pytest.fixture
def histories(monkeypatch):
    monkeypatch.syspath_prepend(str(PIPELINES))
    import histories

    yield histories
    for name in ("histories", "hard_setting"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("number", [1, 2, 3, 100])
def test_histories_end_as_a_fresh_build(histories, number):
    played, steps, fault = histories.play(number, seed=1, large=100)
    assert (played, fault) == (number, "") and 1 <= steps <= 8


def test_what_differs_is_told(histories, tmp_path):
    memory, there = histories.opened(tmp_path / "index"), {}
    steps = (4, list("abcdef"), histories.small_text)
    assert list(histories.changed(memory, there, Random(1), *steps)) == []
    more = there | {"z": Passage("z", "Ada there.")}
    assert "records_data.npy" in histories.as_fresh(memory, more, Random(2), real=False)
    (first, *_) = histories.changed(memory, more, Random(3), 1, ["a"], histories.small_text)
    assert first == "a reader sees something else than was told"
