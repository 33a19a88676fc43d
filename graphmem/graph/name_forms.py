"""Which names of a corpus are forms of one name: of a person, a company, a number, an acronym.

What one name alone can mean is one entity. Where two fit, none is taken for sure: the passage is
joined to both, and they stay two.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

import regex

from graphmem.base.text import normalise_phrase
from graphmem.graph.person_names import (
    AFTER_NAMES,
    JUNIOR,
    PARTICLES,
    TITLES,
    PersonName,
    given_first,
    goes_on,
    nicknamed,
    person_name,
)
from graphmem.types import Passage

_LEGAL = {
    "ltd": "ltd",
    "limited": "ltd",
    "inc": "inc",
    "incorporated": "inc",
    "corp": "corp",
    "corporation": "corp",
    "company": "co",
    **{word: word for word in ("gmbh", "llc", "plc", "co", "ag", "kg", "bv", "nv", "llp", "lp")},
    **{word: word for word in ("srl", "sarl", "pty", "oyj", "kgaa", "ohg", "sas", "pvt")},
    **{word: word for word in ("sa", "spa", "ab", "kk", "oy", "asa", "aps")},
}
_IN_CAPITALS = frozenset({"sa", "spa", "ab"})  # "Halcyon S.p.A.", but not "Bath Spa"
_LATER = JUNIOR | AFTER_NAMES
_TELLS_NONE = TITLES | AFTER_NAMES
_WORDS = {"st": "saint", "ste": "sainte", "mt": "mount", "ft": "fort"}
_WORDS |= {"1st": "first", "2nd": "second", "3rd": "third", "4th": "fourth", "5th": "fifth"}
_WORDS |= {"ave": "avenue", "rd": "road", "blvd": "boulevard", "hwy": "highway", "sq": "square"}
_WORDS |= {"univ": "university", "inst": "institute", "dept": "department", "assn": "association"}
_WORDS |= {"natl": "national", "intl": "international", "bros": "brothers", "govt": "government"}
_WORDS |= {"art": "article", "sec": "section"}
_WORDS |= {"nr": "no", "number": "no", "vs": "v", "versus": "v"}
_WORDS |= {"6th": "sixth", "7th": "seventh", "8th": "eighth", "9th": "ninth", "10th": "tenth"}
_ISSUE = regex.compile(r"gh (\d{3,12})")
_HASH = regex.compile(r"(?=\d*[a-f])(?=[a-f]*\d)[0-9a-f]{7,64}")
_WHOLE_HASHES = (40, 64)  # hexadecimal digits
_OF_ADDRESSES = frozenset({"http", "https", "www"})
_VERSION = regex.compile(r"v(\d+)")
_ROMAN = regex.compile(r"(?=[ivx]{2})(x{0,3})(ix|iv|v?i{0,3})")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "Ä": "Ae"})
_UMLAUTS |= str.maketrans({"Ö": "Oe", "Ü": "Ue", "Ø": "Oe", "Å": "Aa"})
_MARKED = regex.compile(r"[äöüøåÄÖÜØÅ]")
_INITIALS = regex.compile(
    r"(\p{Lu}(?:-\p{Lu})?|(?:\p{Lu}\.[ -]?)+) ?(?<=[ .])"
    rf"(?:(?:{'|'.join(PARTICLES)}) )*+\p{{Lu}}.*"
)
_SHORTEST_KEY = 6  # letters; shorter words come together by chance
_LONG_NUMBER = 8  # digits; a day has so many
_MOST_BEARERS = 32  # names with one surname
_WELL_KNOWN = 8  # passages; an acronym of more takes two documents to be told what it means
_LONG_SURNAME, _LONG_FIRST = 6, 9  # letters; one may be missing in a word that is not shorter
_OTHER_LETTERS = 4  # that the other words of such a name have at least
_MOST = 3  # candidates; a form that fits more says nothing

_ACRONYM = r"(?P<a>\p{Lu}[\p{L}\p{N}&.-]{1,9})"
_IN_BRACKETS = regex.compile(r"\(([^()]{2,120})\)")
_SHORT_FOR = regex.compile(
    rf"{_ACRONYM},?[ ](?:which[ ])?(?:is[ ])?(?:short|stands|standing)[ ]for[ ](?:the[ ])?"
    r"(?P<after>[^.;:()\n]{4,120})"
)
_KNOWN_AS = regex.compile(
    r",?[ ](?:(?:(?:also|otherwise|commonly)[ ])?(?:known|abbreviated|shortened|called)"
    r"(?:[ ](?:simply|as|to))*|or(?:[ ]simply)?|hereafter|in[ ]short)"
    rf"[ ](?:the[ ])?[\"“']?{_ACRONYM}(?![\p{{L}}\p{{N}}])"
)
_BORDER = regex.compile(r".*[.;:()\n]", regex.DOTALL)
_REACH = 160  # characters before an acronym in which its long form stands
_MAY_DECLARE = regex.compile(
    r"\(|(?:short|stands|standing) for |known|abbrev|shortened|called|hereafter|in short|, or "
)
_SURNAME_FIRST = regex.compile(
    r"(?<!\S)[\"'“(\[]?(?P<s>\p{Lu}[\p{L}'’-]+), "
    r"(?:(?P<i>\p{Lu}\.(?:[ ]?\p{Lu}\.){0,2})|(?P<g>\p{Lu}[\p{L}'’-]+(?: \p{Lu}\.?)?)"
    r"(?![\p{L}'’-]| \p{Lu}\p{L}| (?:of|and|&) ))"
)
_OPENING = "\"'“(["


@dataclass(slots=True)
class NameForms:
    """What the names of a corpus are forms of.

    Attributes:
        merged: Name -> the name that it is a form of, which is a form of no other.
        edges: Passage row, and a name that it names by a form that fits others too.
        added: Passage row, name and spelling that the passage declares and no extractor found.
    """

    merged: dict[str, str] = field(default_factory=dict)
    edges: list[tuple[int, str]] = field(default_factory=list)
    added: list[tuple[int, str, str]] = field(default_factory=list)


def name_forms(passages: Sequence[Passage], spelled: Sequence[Mapping[str, str]]) -> NameForms:
    """Find the forms of one name among the names of a corpus.

    Args:
        passages: P passages as they are read.
        spelled: Normalised names of each, with their spelling.

    >>> passages = [Passage("1", "H. Quennell"), Passage("2", "Humphrey Quennell")]
    >>> spelled = [{"h quennell": "H. Quennell"}, {"humphrey quennell": "Humphrey Quennell"}]
    >>> name_forms(passages, spelled).merged
    {'h quennell': 'humphrey quennell'}
    """
    forms = _Forms(passages, spelled)
    forms.alike()
    forms.issues()
    forms.hashes()
    forms.companies()
    forms.capitals_first()
    forms.later_parts()
    forms.missing_letters()
    forms.persons()
    forms.surnames()
    forms.surnames_first()
    forms.nicknames()
    forms.addresses()
    forms.middle_names()
    forms.acronyms()
    return NameForms(
        {name: forms.whole(name) for name in sorted(forms.of) if forms.whole(name) != name},
        sorted({(row, forms.whole(name)) for row, name in forms.edges}),
        forms.added,
    )


class _Forms:
    def __init__(self, passages: Sequence[Passage], spelled: Sequence[Mapping[str, str]]) -> None:
        self.passages = passages
        self.spelling: dict[str, str] = {}
        self.plain: set[str] = set()  # one word, written in small letters too
        self.rows: dict[str, list[int]] = defaultdict(list)
        for row, known in enumerate(spelled):
            for name, written in known.items():
                self.spelling.setdefault(name, written)
                if " " not in name and not _is_acronym(written):
                    self.plain.add(name)
                self.rows[name].append(row)
        self.words = {name: name.split(" ") for name in self.spelling}
        self.by_last: dict[str, list[str]] = defaultdict(list)
        for name, words in self.words.items():
            if 2 <= len(words) <= 4:
                self.by_last[words[-1]].append(name)
        self.of: dict[str, str] = {}
        self.edges: list[tuple[int, str]] = []
        self.added: list[tuple[int, str, str]] = []

    def whole(self, name: str) -> str:
        """The name that this one is a form of, in the end."""
        while name in self.of:
            name = self.of[name]
        return name

    def join(self, name: str, other: str) -> None:
        """Say that `name` is a form of `other`."""
        name, other = self.whole(name), self.whole(other)
        if name != other:
            self.of[name] = other

    def alike(self) -> None:
        """Names that differ by blanks, by the form of a number or of Saint, by ü and ue."""
        groups: dict[str, set[str]] = defaultdict(set)
        for name, words in self.words.items():
            key = _key(words)
            if len(key) >= _SHORTEST_KEY or any(map(str.isdigit, key)):
                groups[key].add(name)
            if _MARKED.search(self.spelling[name]):
                other = normalise_phrase(self.spelling[name].translate(_UMLAUTS))
                groups[f"{key} ü"] |= {name, other} if other in self.spelling else set()
        for digits, keys in _in_groups(groups).items():
            if len(keys) == 1 and digits in groups:
                groups[keys[0]] |= groups.pop(digits)
        for group in groups.values():
            if len(group) > 1:
                best = max(group, key=lambda n: (len(self.rows[n]), n.count(" "), n))
                for name in sorted(group - {best}):
                    self.join(name, best)

    def issues(self) -> None:
        """GH-4403, where a text has #4403: two ways to name an issue."""
        for match in filter(None, map(_ISSUE.fullmatch, list(self.words))):
            number = regex.compile(rf"#{match[1]}(?!\d)")
            passages = [self.passages[row] for row in self.rows.get(match[1], ())]
            if any(number.search(text) for p in passages for text in (p.title, p.text)):
                self.join(match[0], match[1])

    def hashes(self) -> None:
        """The beginning of a hash, where one alone begins so."""
        known = sorted(name for name in self.words if _HASH.fullmatch(name))
        wholes = [name for name in known if len(name) in _WHOLE_HASHES]
        for name in known if wholes else ():
            at = bisect_right(wholes, name)
            begin_so = [whole for whole in wholes[at : at + 2] if whole.startswith(name)]
            if len(begin_so) == 1:
                self.join(name, begin_so[0])

    def companies(self) -> None:
        """A company with its legal form, and without, where it has one such form only.

        "Halcyon Co." and "Halcyon Co., Ltd." are one form, "Halcyon Ltd." and "Halcyon Inc." two.
        """
        bases: dict[str, dict[str, frozenset[str]]] = defaultdict(dict)
        for name, words in self.words.items():
            bare = words
            last = self.spelling[name].split()[-1].replace(".", "")
            if words[-1] in _IN_CAPITALS and not _is_acronym(last):
                continue
            while len(bare) > 1 and bare[-1] in _LEGAL:
                bare = bare[:-1]
            if len(bare) < len(words) and (len(bare) > 1 or words[-1] != "company"):
                kinds = frozenset(_LEGAL[word] for word in words[len(bare) :])
                bases[" ".join(bare)][name] = kinds
        for base, names in bases.items():
            if base in self.words and max(names.values(), key=len) == frozenset().union(
                *names.values()
            ):
                for name in names:
                    self.join(name, base)

    def capitals_first(self) -> None:
        """BYRON Ada, as lists of results have it, where a text knows Ada Byron."""
        for name in self.words:
            other = normalise_phrase(given_first(self.spelling[name]))
            if other in self.words:
                self.join(name, other)

    def later_parts(self) -> None:
        """Jr. and III, OBE, a middle initial, a title before a whole name."""
        longer: dict[str, set[str]] = defaultdict(set)
        for name, words in self.words.items():
            if len(words) < 3:
                continue
            bare = words
            while len(bare) > 2 and bare[-1] in _LATER:
                bare = bare[:-1]
            if len(bare) < len(words):
                longer[" ".join(bare)].add(name)
            elif words[0] in TITLES and words[0] != "m" and words[1] not in ("of", "for", "the"):
                longer[" ".join(words[1:])].add(name)
            elif len(words) == 3 and len(words[1]) == 1 and len(words[0]) > 1:
                longer[f"{words[0]} {words[2]}"].add(name)
        for base, names in longer.items():
            ends = {tuple(w for w in self.words[n] if w not in _TELLS_NONE) for n in names}
            ends.discard(tuple(base.split(" ")))
            if base in self.words and len(ends) <= 1:
                for name in sorted(names):
                    self.join(name, base)

    def missing_letters(self) -> None:
        """A long word of this name alone, with a letter missing or two changed places."""
        used = Counter(w for words in self.words.values() if len(words) > 1 for w in words)
        rare = {
            name: place
            for name, words in self.words.items()
            if len(self.rows[name]) == 1 and len(words) > 1 and name not in self.of
            for place, word in enumerate(words)
            if used[word] == 1
            and len(name) - len(word) > _OTHER_LETTERS
            and len(word) >= _least(place) - 1
            and word.isalpha()
        }
        if not rare:
            return
        wanted: dict[tuple[str, ...], list[str]] = defaultdict(list)
        heads = {self._without(name, place) for name, place in rare.items()}
        for name, words in self.words.items():
            for place, word in enumerate(words if len(words) > 1 else ()):
                head = self._without(name, place)
                if used[word] == 1 and len(word) >= _least(place) and head in heads:
                    for damaged in _damaged(word):
                        wanted[(*head, damaged)].append(name)
        for name, place in rare.items():
            fits = set(wanted[(*self._without(name, place), self.words[name][place])]) - {name}
            if len(fits) == 1:
                self.join(name, fits.pop())

    def _without(self, name: str, place: int) -> tuple[str, ...]:
        words = self.words[name]
        return (str(place), *words[:place], "", *words[place + 1 :])

    def persons(self) -> None:
        """Initials, or a title, and a surname: who has this surname, and a given name that fits."""
        for name, words in list(self.words.items()):
            first = max(1, sum(1 for _ in takewhile(_is_letter, words)))
            given, surname = "".join(words[:first]), words[first:]
            if name in self.of or not surname or not set(surname[:-1]) <= set(PARTICLES):
                continue
            if given in TITLES:
                fits = {n for n in self._named(surname) if self.words[n][0] not in TITLES}
                self._lead(name, {self.whole(n) for n in fits} - {name}, sure=False)
                continue
            if len(given) <= 3 and _INITIALS.fullmatch(self.spelling[name]):
                held = self._named(surname)
                fits = {n for n in held if self._has_initials(n, given, len(surname))}
                self._lead(name, {self.whole(n) for n in fits} - {name}, sure=True)

    def surnames(self) -> None:
        """A surname alone, also of several, in a document that gives the whole name."""
        documents: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        single = {n for n, words in self.words.items() if len(words) == 1 and len(n) > 2}
        wanted = {n for n in single if n in self.by_last}
        plural = {n for n in single - wanted if n[-1] == "s" and n[:-1] in self.by_last}
        for surname in {*wanted, *(n[:-1] for n in plural)}:
            for name in self._bearers(surname):
                if self.words[name][0] not in TITLES:
                    for row in self.rows[name]:
                        documents[surname][self.passages[row].document].add(self.whole(name))
        for name in sorted(wanted | plural):
            most = _MOST if name in plural else 1
            held = documents[name if name in wanted else name[:-1]]
            for row in self.rows[name] if self.spelling[name][:1].isupper() else ():
                document = self.passages[row].document
                fits = held.get(document, set()) if document else set()
                if len(fits) <= most:
                    self.edges += ((row, whole) for whole in sorted(fits))

    def _bearers(self, surname: str) -> list[str]:
        """Names of persons, as far as one can see, with this surname."""
        names = (n for n in self.by_last[surname] if len(self.words[n][0]) > 1)
        return [n for n in names if self.spelling[n][:1].isupper()]

    def _named(self, surname: list[str]) -> list[str]:
        """The same with a surname of several words."""
        names = self._bearers(surname[-1])
        return [n for n in names if self.words[n][-len(surname) :] == surname]

    def _has_initials(self, name: str, initials: str, surname: int) -> bool:
        given = [word[0] for word in self.words[name][:-surname]]
        short = len(self.words[name][0]) <= 3 and self.spelling[name][:2][1:] in (".", " ")
        return not short and "".join(given).startswith(initials)

    def _lead(self, name: str, fits: set[str], *, sure: bool) -> None:
        """A form of the one name that fits, or edges to the one in its document, or to all."""
        fits = {n for n in fits if " " in n}
        if len(fits) == 1 and sure:
            self.join(name, fits.pop())
            return
        for row in self.rows[name] if fits else ():
            document = self.passages[row].document
            near = {n for n in fits if any(self._near(row, r, document) for r in self.rows[n])}
            chosen = near if len(near) == 1 else fits
            if len(chosen) <= (_MOST if sure else 1):
                self.edges += ((row, n) for n in chosen)

    def _near(self, row: int, other: int, document: str) -> bool:
        return row == other or bool(document and self.passages[other].document == document)

    def surnames_first(self) -> None:
        """“Byron, Ada” and “Byron, A.” where a text knows Ada Byron; not “in London, Jack”."""
        for row, passage in enumerate(self.passages):
            for text in (passage.title, passage.text):
                for match in _SURNAME_FIRST.finditer(text) if ", " in text else ():
                    if goes_on(text, match.start()):
                        continue
                    if match["i"]:
                        self._mention(row, person_name(match[0].strip(_OPENING)))
                        continue
                    name = normalise_phrase(f"{match['g']} {match['s']}")
                    if " " in name and name in self.words:
                        self.edges.append((row, name))

    def nicknames(self) -> None:
        """William “Bill” Byron is William Byron, and Bill Byron where no other is called so."""
        called: dict[str, set[str]] = defaultdict(set)
        for row, passage in enumerate(self.passages):
            for whole, short in nicknamed(passage.text):
                name = normalise_phrase(whole)
                called[normalise_phrase(short)].add(name)
                if name not in self.words:
                    self.added.append((row, name, whole))
                both = (name, normalise_phrase(short))
                self.edges += ((row, other) for other in both if other in self.words)
        for short, wholes in called.items():
            if len(wholes) == 1 and short not in self.words:
                self.join(short, *wholes)

    def addresses(self) -> None:
        """The one person whose name a mail address says: ada.byron@, a.byron@ and abyron@."""
        written = {name: self.spelling[name] for name in self.words if "@" in self.spelling[name]}
        if not written:
            return
        glued: dict[str, set[str]] = defaultdict(set)
        for names in self.by_last.values():
            for name in names if any("@" not in self.spelling[n] for n in names) else ():
                given, surname = self.words[name][0], self.words[name][-1]
                for key in {given + surname, given[0] + surname}:
                    glued[key].add(self.whole(name))
        for name, address in written.items():
            said = person_name(address)
            found = glued.get(self.words[name][0], set()) if said is None else set()
            for row in self.rows[name]:
                self._mention(row, said)
                self.edges += ((row, whole) for whole in found if len(found) == 1)

    def middle_names(self) -> None:
        """Ada Maria Byron and Ada Byron: linked, where no other has the surname.

        They stay two names: Ada Byron can be another. One of the two stands in one passage only,
        else each has a life of its own.
        """
        for name, words in self.words.items():
            said = person_name(self.spelling[name]) if 3 <= len(words) <= 4 else None
            if said is None or len(said.given) < 2 or min(map(len, said.given)) < 2:
                continue
            short = f"{said.given[0]} {said.surname}"
            both = {self.whole(short), self.whole(name)}
            if short not in self.words or len(both) == 1:
                continue
            others = {
                self.whole(n)
                for n in self._bearers(words[-1])
                if self.words[n][0] not in TITLES and self.words[n] != words[-len(self.words[n]) :]
            }
            if others <= both and 1 in (len(self.rows[name]), len(self.rows[short])):
                self.edges += ((row, short) for row in self.rows[name])

    def _mention(self, row: int, said: PersonName | None) -> None:
        """An edge to the one name that this can be."""
        if said is None:
            return
        whole = " ".join([*said.given, said.surname])
        if whole in self.words:
            self.edges.append((row, whole))
            return
        bearers = self._bearers(said.surname.rpartition(" ")[2])
        if len(bearers) > _MOST_BEARERS:
            return  # a surname of many tells nobody, and they are looked through at every mention
        known = ((n, person_name(self.spelling[n])) for n in bearers)
        found = {self.whole(n) for n, p in known if p and p.fits(said)}
        if len(found) == 1:
            self.edges += ((row, name) for name in found)

    def acronyms(self) -> None:
        """What a text declares as the short and the long form of one name."""
        declared: dict[str, dict[str, list[tuple[int, str]]]] = defaultdict(dict)
        for row, passage in enumerate(self.passages):
            for short, long in declared_acronyms(passage.text):
                name = normalise_phrase(long)
                longs = declared[normalise_phrase(short)]
                longs.setdefault(self.whole(name), []).append((row, long))
        for short, longs in declared.items():
            for name, places in longs.items():
                if name not in self.words:
                    self.added += ((row, name, long) for row, long in places)
            documents = {self.passages[r].document or r for p in longs.values() for r, _ in p}
            known = len(documents) > 1 or len(self.rows.get(short, ())) <= _WELL_KNOWN
            if len(longs) == 1 and short not in {*longs, *self.plain} and known:
                self.join(short, next(iter(longs)))
            else:
                self.edges += ((row, n) for n, places in longs.items() for row, _ in places)


def _in_groups(keys: Iterable[str]) -> dict[str, list[str]]:
    """Keys of long numbers in groups of digits (books, telephones, days), by all the digits."""
    found: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        digits = key.replace(".", "")
        if digits != key and len(digits) >= _LONG_NUMBER and digits.isdigit():
            found[digits].append(key)
    return found


def _key(words: Sequence[str]) -> str:
    """What stays the same in all ways to write a name that are told by their words alone.

    >>> _key(["warner", "bros"]), _key(["hot", "rod", "2"]), _key(["hotrod", "ii"])
    ('warnerbrothers', 'hotrod2', 'hotrod2')
    >>> _key(["1", "12", "3"]), _key(["11", "2", "3"])
    ('1.12.3', '11.2.3')
    >>> _key(["quartz", "v2", "1"]), _key(["quartz", "version", "2", "1"])
    ('quartz2.1', 'quartz2.1')
    """
    said = ""
    while len(words) > 2 and words[0] in _OF_ADDRESSES:
        words = words[1:]
    for place, word in enumerate(words):
        version = _VERSION.fullmatch(word) if len(words) > 1 else None
        roman = _ROMAN.fullmatch(word) if place else None
        if roman:
            part = str(10 * len(roman[1]) + _UNITS.index(roman[2]))
        elif word == "and" and place not in (0, len(words) - 1):
            continue
        elif version:
            part = version[1]
        elif word == "version" and words[place + 1 : place + 2] and words[place + 1][0].isdigit():
            continue
        else:
            part = _WORDS.get(word, word) if len(words) > 1 else word
        # Numbers side by side stay two: 1.12.3 is not 11.2.3.
        said += f".{part}" if said[-1:].isdigit() and part[0].isdigit() else part
    return said


_UNITS = ["", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"]


def _is_letter(word: str) -> bool:
    return len(word) == 1


def _least(place: int) -> int:
    """How many letters a word of a name has at least in which one may be missing."""
    return _LONG_SURNAME if place else _LONG_FIRST


def _damaged(word: str) -> Iterator[str]:
    """The word without one inner letter, and with two inner neighbours changed."""
    for i in range(1, len(word) - 1):
        yield word[:i] + word[i + 1 :]
        if i + 2 < len(word) and word[i] != word[i + 1]:
            yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]


def declared_acronyms(text: str) -> list[tuple[str, str]]:
    """Short and long forms that a text declares to be one name.

    >>> declared_acronyms("The Ashgrove Research Institute (ARI), WHO (World Health Organization)")
    [('ARI', 'Ashgrove Research Institute'), ('WHO', 'World Health Organization')]
    >>> declared_acronyms("NATO, short for North Atlantic Treaty Organization, met.")
    [('NATO', 'North Atlantic Treaty Organization')]
    >>> declared_acronyms("Ada Byron (UK)")
    []
    """
    if not _MAY_DECLARE.search(text):
        return []
    found = []
    for match in _IN_BRACKETS.finditer(text):
        inside = match[1].strip(" \"'“”")
        before = text[max(0, match.start() - _REACH) : match.start()].rstrip()
        before = before.rpartition("(")[2]
        if _is_acronym(inside):
            found.append((inside, _long_before(before, inside)))
        else:
            word = before.rpartition(" ")[2].strip(',"“')
            if _is_acronym(word):
                found.append((word, _long_before(inside, word, whole=True)))
    for match in _SHORT_FOR.finditer(text):
        if _is_acronym(match["a"]):
            found.append((match["a"], _long_after(match["after"], match["a"])))
    for match in _KNOWN_AS.finditer(text):
        if _is_acronym(match["a"]):
            before = _BORDER.sub("", text[max(0, match.start() - _REACH) : match.start()])
            found.append((match["a"], _long_before(before, match["a"])))
    return [(short, long) for short, long in found if long]


def _is_acronym(word: str) -> bool:
    capitals = sum(map(str.isupper, word))
    return 2 <= len(word) <= 10 and " " not in word and capitals >= 2 and 2 * capitals >= len(word)


def _letters(acronym: str) -> str:
    return "".join(filter(str.isalpha, acronym.removesuffix("s"))).lower()


def _long_before(text: str, acronym: str, *, whole: bool = False) -> str:
    """The shortest end of a text whose words begin with the letters of an acronym, in order."""
    words, letters = text.split()[-14:], _letters(acronym)
    for start in range(len(words) - 1, -1, -1):
        first = words[start].lstrip("\"'“(")
        if first[:1].lower() == letters[:1] and not (whole and start):
            long = " ".join(words[start:]).strip(" ,\"'“”(")
            if (" " in long or "-" in long) and _fits(long, letters):
                return long
    return ""


def _long_after(text: str, acronym: str) -> str:
    """The shortest beginning of a text that an acronym is short for."""
    words, letters = text.split()[:14], _letters(acronym)
    for end in range(2, len(words) + 1):
        long = " ".join(words[:end]).strip(" ,\"'“”")
        if long[:1].isupper() and _fits(long, letters):
            return long
    return ""


def _fits(long: str, letters: str) -> bool:
    """Whether letters are the beginnings of the words, in order, with all capitals among them."""
    words = [word for word in regex.split(r"[\s\-/]+", long) if word[:1].isalnum()]
    reached = {0}  # how many letters the words so far can stand for
    for word in words:
        low, least = word.lower(), 1 if word[0].isupper() or word[0].isdigit() else 0
        reached = {
            at + taken
            for at in reached
            for taken in range(least, 4)
            if low[:taken] == letters[at : at + taken] and at + taken <= len(letters)
        }
    return len(letters) in reached
