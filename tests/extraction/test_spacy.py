"""The spaCy extractor: what counts as a name, and text of every kind."""

import importlib.util
import pickle
import random
from pathlib import Path

import pytest

from graphmem.base.text import normalise_phrase
from graphmem.errors import ModelError
from graphmem.extraction import spacy as spacy_adapter
from graphmem.extraction.spacy import SpacyExtractor, _parts
from graphmem.types import Passage


@pytest.fixture(scope="module")
def extractor():
    return SpacyExtractor()


def names(extractor, text, title=""):
    return extractor.extract([Passage("1", text, title)])[0].entities


def test_names_as_written_each_once(extractor):
    text = "Ada Lovelace met Charles Babbage in London. Later Ada Lovelace left London."
    assert names(extractor, text) == ("Ada Lovelace", "Charles Babbage", "London")


@pytest.mark.parametrize("between", [";", "|", "•", " · ", "·", "->", "(", "&", ", "])
def test_names_without_blanks_between_them_are_two(extractor, between):
    text = f"The book was edited by Percival Drummond{between}Octavia Mowbray. It sold well."
    found = {*map(normalise_phrase, names(extractor, text))}
    assert {"percival drummond", "octavia mowbray"} <= found


@pytest.mark.parametrize("initials", ["I R", "A J", "P L", "J A M"])
def test_initials_without_stops_belong_to_the_name(extractor, initials):
    found = names(extractor, f"The book was edited by {initials} Drummond in Rome.")
    assert normalise_phrase(f"{initials} Drummond") in {*map(normalise_phrase, found)}


@pytest.mark.parametrize("initials", ["I.-R.", "J.-P.", "J-P"])
def test_initials_with_a_hyphen_belong_to_the_name(extractor, initials):
    found = names(extractor, f"The bridge was designed by {initials} Drummond in Rome.")
    assert f"{initials} Drummond" in found


def test_of_the_date_of_a_mail_the_day_alone_is_a_name(extractor):
    head = "From: Percival Drummond\nDate: Mon, 03 May 2021 10:00:00 +0200"
    found = names(extractor, f"{head}\n\nThe Harrow Bridge was built.")
    assert {"Percival Drummond", "2021-05-03"} <= set(found)
    assert not {"Date", "Mon", "May", "2021"} & set(found)


def test_title_and_text_do_not_run_into_each_other(extractor):
    found = names(extractor, "Paris is the capital of France.", "Charles")
    assert found == ("Charles", "Paris", "France")


def test_numbers_and_dates_without_a_year_are_left_out(extractor):
    text = (
        "Yesterday Marie Curie paid $5 million and 20% of it for three houses, "
        "ten miles apart, at five o'clock, on the first try, and again in 1911."
    )
    assert names(extractor, text) == ("Marie Curie", "1911")


def test_runs_of_proper_nouns_are_joined(extractor):
    assert "Duke of the Abruzzi" in names(extractor, "He met the Duke of the Abruzzi there.")
    found = names(extractor, "She painted Girl with a Pearl Earring for Johannes van der Meer.")
    assert any("van der Meer" in name for name in found)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("How Low is a song of 2009.", "How Low"),
        ("The Girl and Her Fault was a film.", "Girl and Her Fault"),
        ("Brother (2003) is their first album.", "Brother"),
        ("“Decade” is a record by Neil Young.", "Decade"),
        ("Direct Action, a magazine, was sold.", "Direct Action"),
    ],
)
def test_a_text_begins_with_what_it_is_about(extractor, text, name):
    assert name in names(extractor, text)


@pytest.mark.parametrize(
    "text",
    [
        "He was young.",
        "In 2016, it rained.",
        "There (as they say) it rained.",
        "Caroline: Hey! Good to see you.",
        "After the war, it rained.",
    ],
)
def test_first_words_that_are_no_subject_are_no_name(extractor, text):
    assert set(names(extractor, text)) <= {"2016", "Caroline"}


def test_line_breaks_inside_a_name_are_blanks(extractor):
    assert "New York" in names(extractor, "He lived in New\n York for years.")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ".",
        "a",
        "\0",
        "\0" * 100_000,
        "😀",
        "😀" * 100_000,
        "-" * 100_000,
        "\n" * 999,
    ],
)
def test_text_without_names(extractor, text):
    assert names(extractor, text) == ()


def test_a_megabyte_is_read_to_its_end(extractor):
    """In memory that does not grow with it, and past spaCy's own limit of a million characters."""
    filler = "it went on and on. " * 20 + "=" * 100_000
    text = filler * 10 + " At last Grace Hopper spoke."
    assert len(text) > 1_000_000
    assert names(extractor, text) == ("Grace Hopper",)


@pytest.mark.parametrize("word", ["x", "😀a", "東", "A.", "Ada "])
def test_parts_of_long_texts(word):
    text = word * (30_000 // len(word))
    parts = _parts(text)
    assert len(parts) > 10 and max(map(len, parts)) <= 2000
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_short_texts_stay_as_they_are():
    text = "One.  Two\nthree — " * 50
    assert _parts(text) == [text]


def test_results_do_not_depend_on_the_batch(extractor):
    people = ["Ada Lovelace", "Alan Turing", "Grace Hopper", "Kurt Gödel", "Emmy Noether"]
    places = ["London", "Princeton", "Göttingen", "New York", "Vienna"]
    passages = [
        Passage(f"{i}", f"{p} worked in {q} from {1900 + i}. " * (i + 1), q if i % 2 else "")
        for i, (p, q) in enumerate((p, q) for p in people for q in places)
    ]
    alone = [extractor.extract([passage])[0] for passage in passages]
    assert extractor.extract(passages) == alone
    order = random.Random(1).sample(range(25), 25)
    assert extractor.extract([passages[i] for i in order]) == [alone[i] for i in order]
    assert all(found.entities for found in alone)
    assert extractor.extract([]) == []


def test_the_fingerprint_is_known_without_loading_the_model():
    fresh = SpacyExtractor()
    assert fresh.fingerprint.startswith("spacy:en_core_web_sm-3.8.0:")
    assert "_pipeline" not in vars(fresh)


@pytest.mark.parametrize("name", ["en_core_web_md", "carries_it", "carries-it"])
def test_a_pipeline_that_another_package_carries(tmp_path, monkeypatch, name):
    """The folder is found by either name; the package's own code is not run."""
    monkeypatch.setattr(spacy_adapter, "CARRIED", {"en_core_web_md": ("carries_it", "_model")})
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "en_core_web_md" else real(name)
    )
    with pytest.raises(ModelError, match=r"pip install 'graphmem\[spacy-md\]'"):
        SpacyExtractor(name).extract([Passage("1", "x")])
    package = tmp_path / "carries_it"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError")
    small = Path(real(SpacyExtractor()._name).origin).parent
    (config,) = small.glob("*/config.cfg")
    (package / "_model").symlink_to(config.parent, target_is_directory=True)
    monkeypatch.syspath_prepend(tmp_path)
    found = SpacyExtractor(name)
    assert found.fingerprint == SpacyExtractor().fingerprint
    passages = [Passage("1", "Ada Lovelace lived in London.")]
    assert found.extract(passages) == SpacyExtractor().extract(passages)


def test_workers_get_the_name_alone(extractor):
    copy = pickle.loads(pickle.dumps(extractor))
    assert copy == extractor and "_pipeline" not in vars(copy)
    assert copy.fingerprint == extractor.fingerprint


def test_a_model_that_is_missing_or_no_use(tmp_path):
    with pytest.raises(ModelError, match="no_such_model.*name an installed pipeline"):
        SpacyExtractor("no_such_model").extract([Passage("1", "x")])
    import spacy

    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ModelError, match="neither named entities nor"):
        SpacyExtractor(str(tmp_path / "blank")).extract([Passage("1", "x")])
