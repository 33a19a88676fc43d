"""Reading markup: what is taken off, what stays, and where it stands."""

import random

import pytest

from graphmem.sources.markup import as_read, read
from graphmem.types import Passage


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("# Ada *Byron*\n\nShe **wrote** `notes`.", "Ada Byron\n\nShe wrote notes."),
        ("<details><summary>More</summary>King Olaf.</details>", "More\nKing Olaf."),
        ("<p>Ada</p>King <b>Bo</b><div>x</div><b>Olaf</b>", "Ada\nKing Bo\nx\nOlaf"),
        ("<div>Ada<br>Bo <img alt='Olaf'> came</div>", "Ada\nBo Olaf came"),
        ('![Ada](a.png) and [Bo](b.html "t")', "Ada and Bo"),
        ("- one\n- two", "one\ntwo"),
        ("> said Ada", "said Ada"),
        ("| a | b |\n|---|---|\n| [Ada](x) | 2 |", "a | b | \nAda | 2 |"),
        ("[Ada][1] met\n\n[1]: http://x.org", "Ada met"),
        ("---\ntitle: Ada\ndraft: true\n---\nBody", "Ada\n\nBody"),
        ('+++\ntitle = "Ada"\n+++\nBody', "Ada\n\nBody"),
        ("Ada <!-- no --> met", "Ada  met"),
        ("<p>Ada</p><script>x()</script><p>Bo&eacute;</p>", "Ada\n\nBoé"),
        ("'''Ada''' met [[Bo Lee|Bo]]<ref>x</ref> {{circa|1815}}", "Ada met Bo 1815"),
        ("See :ref:`Ada Byron <x>`.\n\n.. note:: hello", "See Ada Byron.\n\n\nhello"),
        ('\\section{Ada} G\\"odel~\\cite{doe99}', "Ada Gödel"),
        ("\x1b[31mAda\x1b[0m Byron", "Ada Byron"),
        ("<@U12|ada> to @Bo on <#C1|general>", "ada to Bo on general"),
        ("so\u00adft Raven-\nscroft Jean-\nPaul", "soft Ravenscroft Jean-Paul"),
    ],
)
def test_what_is_said(written, said):
    reading = read(written)
    assert reading.text == said
    assert len(reading.places) == len(said) + 1
    assert (reading.places[1:] >= reading.places[:-1]).all()
    assert reading.places.max() <= len(written)


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "call f(*args, **kwargs)",
        "quoted [sic] and [1] and a[i][j]",
        "[Ada]: hello",
        "std::vector<int> x; List<String> y",
        "R&D at AT&T; a=1&copy=2",
        "2*3*4 = 24, x_1 and snake_case_name",
        "1986. A great year.",
        "C:\\new\\dir and 50% of $5",
        "Mail ada@example.org <ada@example.org>",
        "if [ -f x ]; then echo $(ls); fi",
        "5 > 3\nthree",
    ],
)
def test_what_only_looks_like_markup_stays(text):
    assert read(text).text == text


def test_spans_lead_back_to_the_text_as_written():
    written = 'The [Ada Byron](p/ada.html) of <b>London</b> &amp; "Kent"'
    reading = read(written)
    for name in ("Ada Byron", "London", "Kent"):
        at = reading.text.index(name)
        assert written[slice(*reading.written(at, at + len(name)))] == name


def test_a_plain_passage_is_itself():
    passage = Passage("1", 'Ada met Bo (in London) at 5 o\'clock: "hello".', "Ada")
    assert as_read(passage) is passage


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000 + "a",
        "*a " * 5000,
        "<b>" * 5000 + "a",
        "> " * 3000 + "a",
        "[[" * 3000 + "a",
        "{{" * 3000 + "a|b",
        "`" * 5000,
        "\\emph{" * 2000 + "a",
        "&" * 5000 + "amp;",
        "---\na: &a [x]\ntitle: *a\n---\nb",
        "\u200b" * 5000,
    ],
)
def test_deep_and_broken_markup_is_read_without_an_error(text):
    reading = read(text)
    assert reading.text and len(reading.places) == len(reading.text) + 1


def test_any_text_can_be_read():
    draw = random.Random(5)
    signs = ["a", " ", "\n", "*", "_", "[", "]", "(", ")", "<", "b>", "&", "amp;", "`", "#", "|"]
    signs += ["{", "}", "\\emph", "'''", "==", "..", "::", "\u00ad", "-", "\x1b[", "@", "---\n"]
    for _ in range(300):
        text = "".join(draw.choices(signs, k=40))
        reading = read(text)
        assert len(reading.places) == len(reading.text) + 1
