"""Tokens, names, sentences and hashes, in any script."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphmem.base.text import (
    compatible,
    content_hash,
    normalise_phrase,
    normalise_token,
    sentence_spans,
    token_spans,
    tokens,
    visible,
)


def sentences(text):
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada's engine, 1843!", ["ada", "s", "engine", "1843"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("São Tomé", ["sao", "tome"]),  # precomposed or not
        ("東京 is big", ["東", "京", "is", "big"]),
        ("東京2020", ["東", "京", "2020"]),
        ("नई दिल्ली", ["नई", "दिल्ली"]),  # vowel signs belong to their word
        ("القاهرة، مصر", ["القاهرة", "مصر"]),
        ("ｶﾞﾗｽ ＡＢＣ", ["ガ", "ラ", "ス", "abc"]),
        ("แม่น้ำ", ["แ", "ม่", "น้ํ", "า"]),  # SARA AM is two characters in NFKC
        ("ﬁlm ①", ["film", "1"]),
        ("😀 \0 —", []),
        ("", []),
    ],
)
def test_tokens(text, expected):
    assert tokens(text) == [compatible(word) for word in expected]


@given(st.text())
def test_tokens_do_not_depend_on_the_way_letters_are_encoded(text):
    assert tokens(unicodedata.normalize("NFD", text)) == tokens(text)


@given(st.text())
def test_spans_and_tokens_are_of_the_same_words(text):
    read = compatible(text)
    spans = token_spans(read)
    assert [normalise_token(read[start:end]) for start, end in spans] == tokens(text)
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("The Beatles", "beatles"),
        ("An A The", "the"),
        ("the", "the"),
        ("Anna’s", "anna"),
        ("ANNA'S", "anna"),
        ("Lloyd's of London", "lloyd s of london"),
        ("James'", "james"),
        ("U.S.A.", "usa"),
        ("U. S.", "us"),
        ("US", "us"),
        ("J. R. R. Tolkien", "jrr tolkien"),
        ("J.R.R Tolkien's", "jrr tolkien"),
        ("JRR Tolkien", "jrr tolkien"),
        ("George W. Bush", "george w bush"),  # one initial is a word
        ("P.T. Barnum. A life", "pt barnum a life"),
        ("x.b.cd", "x b cd"),
        ("Beyoncé", "beyonce"),
        ("Bjørn Ælfgar", "bjorn aelfgar"),
        ("İzmir", "izmir"),
        ("Ёлка", "елка"),
        ("Йод", "йод"),  # another letter
        ("Їжак", "їжак"),
        ("П'ять", "пять"),
        ("П’ЯТЬ", "пять"),
        ("Пʼять", "пять"),
        ("Αθήνα", "αθηνα"),
        ("ΚΑΡΥΔΗΣ", "καρυδησ"),
        ("Καρύδης", "καρυδησ"),
        ("مُحَمَّد", "محمد"),
        ("محـــمد", "محمد"),
        ("أحمد", "احمد"),
        ("علی", "علي"),  # with the Persian ye
        ("کتاب", "كتاب"),
        ("שָׁלוֹם", "שלום"),
        ("फ़िल्म", "फिल्म"),
        ("দিল্লি", "দিল্লি"),  # vowel signs stay
        ("が", "が"),
        ("Nguyễn Đình", "nguyen dinh"),
        ("Rav\u00aden\u200bscroft", "ravenscroft"),
        ("Raven-\nscroft", "ravenscroft"),
        ("Jean-\nPaul", "jean paul"),
        ("o\ufb03ce \ue000x\u2060y", "office xy"),
        ("  Tyne\n and\tWear ", "tyne and wear"),
        ("A" * 3, "aaa"),
        ("!?", ""),
        ("'s", ""),
    ],
)
def test_names(phrase, expected):
    assert normalise_phrase(phrase) == expected


@given(st.text())
def test_names_are_tokens_with_single_spaces(phrase):
    name = normalise_phrase(phrase)
    assert name == " ".join(name.split(" "))
    assert "" not in name.split(" ") or name == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("It cost 3.5 million. Yes.", ["It cost 3.5 million.", "Yes."]),
        ("Dr. No met J. R. Ewing of the U.S. Navy.", ["Dr. No met J. R. Ewing of the U.S. Navy."]),
        ("He said “Go.” She went.", ["He said “Go.”", "She went."]),
        ("e.g. this. that", ["e.g. this. that"]),  # small letters begin no sentence
        ("a\n\nb", ["a", "b"]),
        ("東京です。大きい！", ["東京です。", "大きい！"]),
        ("यह दिल्ली है। वह आगरा है।", ["यह दिल्ली है।", "वह आगरा है।"]),
        ("هل هذا؟ نعم.", ["هل هذا؟", "نعم."]),
        (" \n ", []),
        ("", []),
    ],
)
def test_sentences(text, expected):
    assert sentences(text) == expected


@given(st.text(alphabet=st.sampled_from(list("aB .!?\n。।\"')1")), max_size=60))
def test_sentences_cover_everything_but_blanks(text):
    spans = sentence_spans(text)
    inside = set()
    for start, end in spans:
        assert text[start:end] == text[start:end].strip() != ""
        assert not inside & set(range(start, end))
        inside |= set(range(start, end))
    assert all(text[i].isspace() for i in set(range(len(text))) - inside)
    assert spans == sorted(spans)


@pytest.mark.parametrize("piece", ["A.", ".", "\n", " ", "a\n \n", '."', "the ", "s'", "。"])
def test_a_megabyte_of_anything_is_read(piece):
    """Quadratic time would not end here."""
    text = piece * (1_000_000 // len(piece))
    assert all(start < end for start, end in sentence_spans(text))
    assert len(normalise_phrase(text)) <= len(text)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_content_hash_tells_all_lists_of_parts_apart(left, right):
    assert (content_hash(*left) == content_hash(*right)) == (left == right)


def test_content_hash_is_stored_on_disk_and_may_never_change():
    assert content_hash("title", "text") == "de2f323ef7872eef7aa93397fbe6be10"


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("M\u0430tild\u0430", "Matilda"),  # Cyrillic letters in a Latin word
        ("\u041c\u0430tilda", "Matilda"),
        ("М\u006fсква", "Москва"),  # a Latin letter in a Cyrillic word
        ("\u004bαρύδης", "Καρύδης"),
        ("TNFα", "TNFα"),
        ("Hα", "Hα"),
        ("μm", "μm"),
        ("Москва, сор", "Москва, сор"),
        ("iPhone-ом", "iPhone-ом"),
        ("محـــسن", "محسن"),
    ],
)
def test_letters_that_only_look_like_others(written, seen):
    assert visible(written) == seen
