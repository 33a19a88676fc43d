"""Names of persons as they are written, and which can be one person's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import regex
from bm25s.stopwords import STOPWORDS_EN_PLUS

from graphmem.base.text import normalise_phrase

TITLES: Final = frozenset(
    {
        "dr",
        "doctor",
        "mr",
        "mrs",
        "ms",
        "miss",
        "mx",
        "prof",
        "professor",
        "sir",
        "dame",
        "lady",
        "lord",
        "rev",
        "reverend",
        "fr",
        "father",
        "sister",
        "brother",
        "capt",
        "captain",
        "col",
        "colonel",
        "gen",
        "general",
        "lt",
        "lieutenant",
        "sgt",
        "sergeant",
        "major",
        "judge",
        "justice",
        "sen",
        "senator",
        "rep",
        "gov",
        "governor",
        "president",
        "minister",
        "ambassador",
        "inspector",
        "herr",
        "frau",
        "m",
        "mme",
        *("admiral", "archbishop", "chancellor", "chef", "coach", "commander", "constable"),
        *("congressman", "congresswoman", "corporal", "councillor", "detective", "engineer"),
        *("mayor", "nurse", "officer", "rabbi", "secretary", "sheriff", "skipper"),
    }
)
JUNIOR: Final = frozenset({"jr", "sr", "junior", "senior", "iii", "iv"})
AFTER_NAMES: Final = frozenset(
    {
        *(
            "phd",
            "dphil",
            "md",
            "dds",
            "jd",
            "llm",
            "mba",
            "msc",
            "bsc",
            "frs",
            "frcs",
            "rn",
            "cpa",
        ),
        *("obe", "mbe", "cbe", "kbe", "dbe", "qc", "kc", "mp", "mep", "esq", "esquire"),
    }
)
"""Degrees, orders and offices behind a name, which tell no person from another."""
PARTICLES: Final = (
    *("van", "von", "der", "den", "de", "da", "di", "du", "del", "la", "le", "ter", "zu"),
    *("bin", "ibn", "al"),
)
"""Words between the given names and the surname that belong to the surname."""
_PARTICLES = f"(?:{'|'.join(PARTICLES)})"
_MOST_WORDS = 5
_WORD = r"\p{Lu}[\p{L}\p{M}]*+(?:['’-]\p{L}[\p{L}\p{M}]*+){0,3}"
_CALLED = r"\p{Lu}\p{Ll}[\p{L}\p{M} -]{0,20}"
_NICK = rf"(?:\"{_CALLED}\"|[“„]{_CALLED}[”“]|\({_CALLED}\)|['‘]{_CALLED}['’])"
_NICKNAMED = regex.compile(
    rf"(?<![\p{{L}}\p{{M}}\p{{N}}])(?P<g>{_WORD}(?: (?:\p{{Lu}}\.|{_WORD})){{0,2}})"
    rf" (?P<n>{_NICK}) (?P<s>(?:{_PARTICLES} ){{0,2}}{_WORD})(?![\p{{L}}\p{{M}}])"
)
_INSIDE = regex.compile(rf" {_NICK} ")
_INITIAL = r"\p{Lu}\.(?:-\p{Lu}\.)?"
_PART = rf"(?:{_INITIAL}|{_WORD}|{_NICK}|{_PARTICLES}(?=[ ]))"
_RUN = regex.compile(
    rf"(?<![\p{{L}}\p{{M}}\p{{N}}@._-])"
    rf"(?:{_WORD}, (?:\p{{Lu}}\.[ ]?){{1,3}}(?![\p{{L}}\p{{M}}])"
    rf"|{_WORD}, {_WORD}(?: \p{{Lu}}\.)?(?![\p{{L}}\p{{M}}'’-]| (?:[Oo]f|[Aa]nd|&) )"
    rf"|(?:{_INITIAL}|{_WORD})(?:[ ]?(?<=[ .]){_PART}){{1,8}})"
    rf"|(?<![\w.+-])\p{{Ll}}+(?:[._-]\p{{Ll}}+){{1,3}}\d{{0,4}}@[\w.-]+\w"
)
_ANY_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+(?:['’.&-][\p{L}\p{M}\p{N}]+)*")
_HANDLE = regex.compile(r"<?@?(?P<words>\p{L}+(?:[._-]\p{L}+){1,3})\d{0,4}(?:@[\w.-]+)?>?")
_FIRST_LAST = regex.compile(rf"(?P<s>{_WORD}), (?P<g>\p{{Lu}}.*)")
_CAPITALS_FIRST = regex.compile(
    r"(?P<s>\p{Lu}[\p{Lu}\p{M}'’-]+(?: \p{Lu}[\p{Lu}\p{M}'’-]+){0,2})"
    r" (?P<g>\p{Lu}\p{Ll}[\p{L}\p{M}'’-]*(?: \p{Lu}\p{Ll}[\p{L}\p{M}'’-]*){0,2})"
)
_INITIAL_IN_LIST = regex.compile(r"(?:\p{Lu}\.)+,")
_OF_PLACES = frozenset({"in", "at", "from", "to", "of", "near", "for", "on", "into", "through"})
_HYPHEN = regex.compile(r"(?<=(?<!\w)\p{Lu}\.?)-(?=\p{Lu}(?!\w))")  # of "J.-L." and "J-L"
_PIECES = regex.compile(rf"{_WORD}\.?|{_PARTICLES}(?= )")


@dataclass(frozen=True, slots=True)
class PersonName:
    """A name as one of a person.

    Attributes:
        given: Given names and initials in order, normalised; none after a title alone.
        surname: Normalised.
        later: Jr., III and such, normalised, or "".
    """

    given: tuple[str, ...]
    surname: str
    later: str = ""

    def fits(self, other: PersonName) -> bool:
        """Whether both can be names of one person, where no other is known.

        An initial stands for a name, or a part of one; middle names may be left out, but not those
        between two that are there, nor such as only initials tell.

        >>> ada = person_name("Ada Byron")
        >>> [ada.fits(person_name(n)) for n in ("A. Byron", "Ada K. Byron", "A. K. Byron")]
        [True, True, False]
        >>> person_name("George W. Bush").fits(person_name("George H. W. Bush"))
        False
        """
        if self.surname != other.surname or (self.later and other.later not in ("", self.later)):
            return False
        both = [self.given, other.given]
        if any(all(len(word) == 1 for word in given) for given in both):
            both = [tuple(" ".join(given).split()) for given in both]
        short, long = sorted(both, key=len)
        if len(short) < len(long) and short and len(long[0]) < len(short[0]):
            return False
        return all(
            a == b or _is_initial(a, b) or _is_initial(b, a)
            for a, b in zip(short, long, strict=False)
        )


def _is_initial(letter: str, name: str) -> bool:
    return len(letter) == 1 and name.startswith(letter)


def person_name(written: str) -> PersonName | None:
    """What a name says as one of a person, None where it is none.

    >>> person_name("Dr Matilda J. van Doorn Jr.")
    PersonName(given=('matilda', 'j'), surname='van doorn', later='jr')
    >>> person_name('Byron, A.') == person_name("A.Byron") == person_name("a.byron@example.org")
    True
    >>> person_name("BYRON Ada") == person_name("Ada Byron")
    True
    >>> person_name('Ada "Addie" Byron') == person_name("Ada Byron"), person_name("the House")
    (True, None)
    >>> person_name("J.-L. Byron").fits(person_name("Jean-Luc Byron"))
    True
    """
    handle = _HANDLE.fullmatch(written)
    if handle and (written == written.lower() or "_" in written):
        *given, surname = map(normalise_phrase, regex.split("[._-]", handle["words"]))
        return PersonName(tuple(given), surname) if len(surname) > 1 else None
    written = _HYPHEN.sub(" ", _INSIDE.sub(" ", written))
    if swapped := _FIRST_LAST.fullmatch(written) or _CAPITALS_FIRST.fullmatch(written):
        written = f"{swapped['g']} {swapped['s']}"
    pieces = _PIECES.findall(written)
    if not pieces or "".join(pieces).rstrip(".") != regex.sub(r"\s", "", written).rstrip("."):
        return None
    words = [normalise_phrase(piece) for piece in pieces]
    titled = len(words) > 1 and words[0] in TITLES and len(words[0]) > 1
    words = words[titled:]
    while len(words) > 2 and words[-1] in AFTER_NAMES:
        words.pop()
    later = words.pop() if len(words) > 1 and words[-1] in JUNIOR else ""
    first = next((i for i, piece in enumerate(pieces[titled:]) if piece.islower()), len(words) - 1)
    first = min(first, len(words) - 1)
    if not (titled or first) or len(words) > _MOST_WORDS or len(words[-1]) < 2:
        return None
    return PersonName(tuple(words[:first]), " ".join(words[first:]), later)


def persons_named(question: str) -> Iterator[tuple[int, int, PersonName]]:
    """Where a question can name persons by two words or more: spans [start, end), and the names.

    >>> question = "Who saw Ada Byron, and did B. King's dog, or Karl, Prince of Leiningen?"
    >>> [question[start:end] for start, end, _ in persons_named(question)]
    ['Ada Byron', 'B. King']
    """
    for match in _RUN.finditer(question):
        if "," in match[0] and goes_on(question, match.start()):
            continue
        written = _without_opening(match[0].removesuffix("'s").removesuffix("’s"))
        person = person_name(written)
        if person:
            end = match.start() + match[0].index(written) + len(written)
            yield end - len(written), end, person


def around(question: str, start: int, end: int) -> Iterator[str]:
    """Longer pieces of a question with [start, end) inside, up to four words more on either side.

    >>> list(around("Who saw Ada Byron's dog?", 8, 11))[:3]
    ["Ada Byron's", 'Ada Byron', "Ada Byron's dog"]
    """
    words = [word.span() for word in _ANY_WORD.finditer(question)]
    begins = [first for first, _ in words if first < start][:-5:-1]
    ends = [last for _, last in words if last > end][:4]
    for first in (start, *begins):
        for last in (end, *ends) if first < start else ends:
            piece = question[first:last]
            yield piece
            if piece.endswith(("'s", "’s")):
                yield piece[:-2]


def goes_on(text: str, start: int) -> bool:
    """Whether what stands before "Byron, Ada" makes it part of a list, a longer name or a place.

    >>> [goes_on(text, text.index("Byron")) for text in ("in Byron, Ada", "Bo, Byron, Ada")]
    [True, True]
    """
    word = "".join(text[max(0, start - 32) : start].split()[-1:])
    named = word[:1].isupper() and word[-1].isalnum()
    listed = word.endswith(",") and not _INITIAL_IN_LIST.fullmatch(word)
    return named or listed or word.lower() in _OF_PLACES


def nicknamed(text: str) -> Iterator[tuple[str, str]]:
    """Names that a text gives with a nickname inside: the name without it, and with it alone.

    >>> list(nicknamed('He met William "Bill" Byron and Ada (Addie) King.'))
    [('William Byron', 'Bill Byron'), ('Ada King', 'Addie King')]
    >>> list(nicknamed('The "Addie" Bridge; when "Bill" Byron came; Rome (ROM) Airport'))
    []
    """
    for match in _NICKNAMED.finditer(text):
        given = _without_opening(match["g"])
        if given:
            yield f"{given} {match['s']}", f"{match['n'][1:-1]} {match['s']}"


def given_first(written: str) -> str:
    """The name as lists of results and members have it, with the given name first; else "".

    >>> given_first("VAN DER MEER Jan Willem"), given_first("Jan VAN DER MEER")
    ('Jan Willem VAN DER MEER', '')
    """
    match = _CAPITALS_FIRST.fullmatch(written)
    return f"{match['g']} {match['s']}" if match else ""


def _without_opening(name: str) -> str:
    """The name without words before it that only have a capital since a sentence begins.

    >>> [_without_opening(name) for name in ("Did Ada Byron", "A Ada Byron", "I R Byron")]
    ['Ada Byron', 'Ada Byron', 'I R Byron']
    """
    words = name.split(" ")
    while words and words[0].lower() in STOPWORDS_EN_PLUS:
        if list(map(len, words[:2])) == [1, 1]:
            break  # the first of two initials
        words = words[1:]
    return " ".join(words)
