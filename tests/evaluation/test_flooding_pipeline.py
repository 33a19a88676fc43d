"""Floods are the same in every run and what they say they are; figures are counted by hand."""

from pathlib import Path

import pytest

from graphmem import Passage

PIPELINES = Path(__file__).resolve().parents[2] / "pipelines"
NAMES = ("Alien", "Ridley Scott", "South Shields")
PASSAGES = [
    Passage("1", "Alien was made by Ridley Scott.", "Alien"),
    Passage("2", "Ridley Scott is of South Shields.", "Ridley Scott"),
    Passage("3", "South Shields is a town; Ridley Scott left it.", "South Shields"),
]
QUESTION = "Where is Ridley Scott, the maker of Alien, from?"


@pytest.fixture
def flooding(monkeypatch):
    monkeypatch.syspath_prepend(str(PIPELINES))
    import flooding

    return flooding


@pytest.fixture
def memory(make, tmp_path):
    found = make(tmp_path / "flood.index", NAMES)
    found.add(PASSAGES)
    return found


def test_a_flood_knows_the_names_of_questions_and_index(flooding, memory):
    target = flooding.aim(memory, [QUESTION, "Who bakes?"])
    assert target.named == [["Alien", "Ridley Scott"], []]
    assert target.main == ["Alien"]
    assert target.frequent[:2] == ["Ridley Scott", "South Shields"]


def test_floods_are_as_large_as_they_say_and_always_the_same(flooding):
    names = [[f"Name {i}", "Ridley Scott"] for i in range(70)]
    target = flooding.Target(
        [f"Who is {n[0]}?" for n in names], names, [f"N{i}" for i in range(300)]
    )
    made = {name: list(flooding.as_passages(f(target))) for name, f in flooding.FLOODS.items()}
    sizes = {name: len(passages) for name, passages in made.items()}
    assert sizes == {
        "frequent_names": 1,
        "names_of_questions": 1,
        "names_in_sentences": 1,
        "names_of_all": 1,
        "main_names": 200,
        "main_names_untitled": 200,
        "main_names_fluent": 200,
        "copies": 70,
        "questions_and_more": 70,
        "one_name": 1000,
    }
    for name, make in flooding.FLOODS.items():
        assert list(flooding.as_passages(make(target))) == made[name]
        assert len({p.text for p in made[name]}) == len(made[name])  # else one would be a copy
        assert {p.metadata["source"] for p in made[name]} == {"flood"}
    assert made["frequent_names"][0].text.count(",") == 199
    assert made["main_names"][71].title == "Name 1" and made["main_names_untitled"][0].title == ""
    assert all("Ridley Scott" in p.text for p in made["one_name"])


def test_recall_and_poisoned_questions_are_counted_in_percent(flooding, memory):
    memory.add(flooding.as_passages([QUESTION]))
    asked = {QUESTION: {"1", "missing"}, "Who is of South Shields?": {"2"}}
    found = flooding.ask(memory, asked, flooding.DEFENCES)
    assert set(found) == {"none", "size 10", "filter"}
    assert found["none"]["dense"] == [75.0, 100.0]  # all four passages are among the first five
    assert found["filter"]["dense"] == [75.0, 0.0]
