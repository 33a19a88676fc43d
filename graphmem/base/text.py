"""Text helpers that everything shares: tokens, names, sentences, content hashes. Any script."""

from __future__ import annotations

import hashlib
import unicodedata
from itertools import pairwise

import regex

# Scripts written without spaces give one token a character, so that names inside a run are found.
# Initials are one token: J. K. = J.K. = JK, U.S. = US; also right before a name: J.K.Rowling; and
# without stops between spaces, where a capitalised word follows: J K Rowling, but not "plan A B".
# Groups of three digits are one number: 1,070 = 1 070 = 1'070 = 1070, but 1, 2, 3 are three.
# No run is longer than `_MOST`, so that time stays linear.
_MOST = "{1,20}"
_TOKEN = regex.compile(
    r"(?<![\p{L}\p{M}\p{N}][.,'’]?)\d{1,3}"
    rf"(?:(?:,\d{{3}})+|(?:['’]\d{{3}})+|(?:[ \xa0\u2009\u202f]\d{{3}}){_MOST})"
    r"(?![\p{L}\p{M}\p{N}]|[,.'’ \xa0\u2009\u202f]\d)|"
    r"(?<![\p{L}\p{M}\p{N}])[\p{Lu}\p{Ll}]"
    rf"(?:\.(?:[ \xa0]?[\p{{Lu}}\p{{Ll}}]\.){_MOST}"
    r"(?:(?=\p{Lu}\p{Ll})|(?!\.?[\p{L}\p{M}\p{N}]))"
    rf"|(?:\.[\p{{Lu}}\p{{Ll}}]){_MOST}(?!\.?[\p{{L}}\p{{M}}\p{{N}}]))"
    rf"|(?<![\p{{L}}\p{{M}}\p{{N}}]['’]?)\p{{Lu}}(?:[ \xa0]\p{{Lu}}){_MOST}"
    r"(?=[ \xa0]\p{Lu}\p{Ll})"
    r"|[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"
    r"|(?:(?![\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
    r"[\p{L}\p{M}\p{N}]|(?<=\p{Cyrillic})['’‘`](?=\p{Cyrillic}))+"
)
_AFTER_INITIAL = (".", " ", "\xa0")
_BETWEEN_INITIALS = dict.fromkeys(map(ord, _AFTER_INITIAL))
# Marks that may be left out, in a decomposed text: all of Latin, Greek, Arabic and Hebrew letters,
# the stress and the dots of ё in Cyrillic (й and ї are other letters), the nukta of Devanagari,
# and the apostrophe inside Cyrillic words.
_OPTIONAL = regex.compile(
    r"(?<=[\p{Latin}\p{Greek}\p{Arabic}\p{Hebrew}])\p{Mn}+|(?<=\u0435)[\u0300\u0301\u0308]+"
    r"|(?<=[\u0430\u0438\u043e\u0443\u044b\u044d\u044e\u044f\u0454\u0456])[\u0300\u0301]+"
    r"|\u093c|(?<=\p{Cyrillic})['’‘`\u02bc](?=\p{Cyrillic})"
)
# Letters that are no other letter with a mark, but are written like one where they are missing;
# letters of Persian and of old spellings in place of the Arabic ones.
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"}
    | {"\u06cc": "\u064a", "\u0649": "\u064a", "\u06a9": "\u0643", "\u0671": "\u0627"}
)
# What does not show: format characters, fillers, private use, controls that are no white space;
# and the tatweel, which only makes an Arabic word longer.
_INVISIBLE = regex.compile(
    r"[[\p{Cf}\p{Default_Ignorable_Code_Point}\p{Co}\p{Cc}\u0640]--\p{White_Space}]+",
    regex.VERSION1,
)
# Letters that look like Latin ones. Small Greek ones but omicron do not: TNFα and μm are meant so.
_LATIN, _CYRILLIC = "ABESIJKMHOPCTYXaesijopcyx", "АВЕЅІЈКМНОРСТУХаеѕіјорсух"
_LATIN_TOO, _GREEK = "ABEZHIKMNOPTYXo", "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧο"
_TO_LATIN = dict(zip(_CYRILLIC + _GREEK, _LATIN + _LATIN_TOO, strict=True))
_TO_OTHER = {
    True: dict(zip(_LATIN, _CYRILLIC, strict=True)),
    False: dict(zip(_LATIN_TOO, _GREEK, strict=True)),
}
_IS_CYRILLIC = regex.compile(r"\p{Cyrillic}")
_OTHER_SCRIPT = regex.compile(r"[\p{Cyrillic}\p{Greek}]")
_MIXED = regex.compile(
    r"(?<![\p{L}\p{M}])(?:\p{Latin}++[\p{Cyrillic}\p{Greek}]"
    r"|[\p{Cyrillic}\p{Greek}]++\p{Latin})[\p{L}\p{M}]*+"
)
_CONTROLS = regex.compile(r"[\x00-\x08\x0e-\x1f\x7f]+")
# A word that goes on in the next line: with a small letter it is one word, else both parts are.
_DIVIDED = regex.compile(
    r"(?<=[\p{L}\p{M}])[-\u2010\u00ad][ \t]*\r?\n[ \t]*(?:(?=\p{Ll})|(?=\p{L})())"
)
_POSSESSIVE = regex.compile(r"['’ʼ＇]s?$", regex.IGNORECASE)
_ARTICLES = frozenset({"a", "an", "the"})
# A sentence ends at . ! ? … (with closing quotes and brackets) before white space and something
# that can begin a sentence, at the full stops of other scripts, and at a blank line.
# Runs are taken whole and from their start only (possessive, look-behind): time stays linear.
_SENTENCE_END = regex.compile(
    r"(?<![.!?…])[.!?…]++[\"'”’»)\]]*+(?=\s++[\"'“‘«(\[「『（]*+[\p{Lu}\p{Lt}\p{Lo}\p{N}])\s++"
    r"|[。！？｡]++[」』”’）]*+\s*+|(?<![।॥۔؟])[।॥۔؟]++\s++|(?<!\s)\s*\n\s*\n\s*"
)
_ABBREVIATION = regex.compile(
    r"(?:^|[\s(\[\"'“‘])(?:\p{Lu}|\p{Lu}(?:\.\p{Lu})+|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|Lt|Col|Gen|Capt|Sgt|Rev"
    r"|Hon|Gov|Sen|Rep|vs|No|Vol|pp|ca|c|b|d|e\.g|i\.e|Inc|Ltd|Co|Corp|Mt|Ft|Bros)\.$"
)


def tokens(text: str) -> list[str]:
    """Split into normalised tokens: NFKC, punctuation dropped, each as `normalise_token` has it.

    >>> tokens("The Čapek brothers' play, 1921, in the U. S.")
    ['the', 'capek', 'brothers', 'play', '1921', 'in', 'the', 'us']
    >>> tokens("1,070 or 1 070 or 1, 2, 3")
    ['1070', 'or', '1070', 'or', '1', '2', '3']
    >>> tokens("東京タワー")
    ['東', '京', 'タ', 'ワ', 'ー']
    """
    return [
        token.casefold() if token.isascii() and token.isalnum() else normalise_token(token)
        for token in _TOKEN.findall(compatible(text))
    ]


def normalise_token(token: str) -> str:
    """Case folded, initials without stops and spaces, without the marks that may be left out.

    Marks that make another letter stay, and so do vowel signs of Indic scripts.

    >>> [normalise_token(token) for token in ("Beyoncé", "Łódź", "Straße", "J. K.", "दिल्ली", "が")]
    ['beyonce', 'lodz', 'strasse', 'jk', 'दिल्ली', 'が']
    >>> [normalise_token(token) for token in ("Алёна", "Йод", "П’ять", "Καρύδης", "مُحَمَّد")]
    ['алена', 'йод', 'пять', 'καρυδησ', 'محمد']
    """
    folded = token.casefold()
    if token[0].isdigit() and not token.isalnum():
        folded = "".join(filter(str.isalnum, folded))
    elif token[1:2] in _AFTER_INITIAL:
        folded = folded.translate(_BETWEEN_INITIALS)
    if folded.isascii():
        return folded
    bare = _OPTIONAL.sub("", unicodedata.normalize("NFD", folded))
    return unicodedata.normalize("NFC", bare).translate(_PLAIN)


def compatible(text: str) -> str:
    r"""One form for what is written in several ways: NFKC, `visible`; most texts are in it already.

    >>> compatible("ﬁlm ｶﾞ so\xadft")
    'film ガ soft'
    """
    return unicodedata.normalize("NFKC", visible(text))


def visible(text: str) -> str:
    r"""The text without characters that do not show, with words that line ends divide joined.

    Letters of another script that only look like those of their word are what they look like.

    >>> visible("Raven\u200bscroft, Raven-\nscroft, Jean-\nPaul")
    'Ravenscroft, Ravenscroft, Jean-Paul'
    >>> visible("R\u0430vencroft") == "Ravencroft", visible("TNF\u03b1") == "TNF\u03b1"
    (True, True)
    """
    parts: list[str] = []
    done = 0
    for start, end, instead in invisible_spans(text):
        parts += (text[done:start], instead)
        done = end
    return "".join([*parts, text[done:]]) if parts else text


def invisible_spans(text: str) -> list[tuple[int, int, str]]:
    r"""What `visible` leaves out: spans [start, end) and what takes their place, in order.

    >>> invisible_spans("Jean-\nPaul\u2060")
    [(4, 6, '-'), (10, 11, '')]
    """
    plain = text.isascii()
    if plain and text.isprintable():
        return []
    found = [
        (*match.span(), "" if match[1] is None else match[0][0])
        for match in (_DIVIDED.finditer(text) if "\n" in text else ())
    ]
    taken = {start for start, _, _ in found}
    hidden = (_CONTROLS if plain else _INVISIBLE).finditer(text)
    found += [(*match.span(), "") for match in hidden if match.start() not in taken]
    if not plain and _OTHER_SCRIPT.search(text):
        found += _disguised(text)
    return sorted(found)


def _disguised(text: str) -> list[tuple[int, int, str]]:
    """Letters that look like those of the script of their word and are of another, and these."""
    found = []
    for word in _MIXED.finditer(text):
        others = _OTHER_SCRIPT.findall(word[0])
        known = set(others)
        latin = [letter for letter in word[0] if letter.isalpha() and letter not in known]
        back = _TO_OTHER[bool(_IS_CYRILLIC.match(others[0]))]
        table = _TO_LATIN if all(letter in _TO_LATIN for letter in others) else {}
        if len(others) > max(2, len(latin)) and all(letter in back for letter in latin):
            table = back
        found += [
            (place, place + 1, table[letter])
            for place, letter in enumerate(word[0], word.start())
            if letter in table
        ]
    return found


def token_spans(text: str) -> list[tuple[int, int]]:
    """Character spans [start, end) of the tokens of `text`, which is `compatible`.

    >>> token_spans("Ada's 2 cats")
    [(0, 3), (4, 5), (6, 7), (8, 12)]
    """
    return [match.span() for match in _TOKEN.finditer(text)]


def normalise_phrase(phrase: str) -> str:
    """Bring a name to the form in which equal names are equal.

    Its tokens with spaces between, without leading articles and a final 's.

    >>> normalise_phrase("The  Beatles’")
    'beatles'
    >>> normalise_phrase("Lloyd's of London")
    'lloyd s of london'
    >>> normalise_phrase("Anna's"), normalise_phrase("The The"), normalise_phrase("!?")
    ('anna', 'the', '')
    """
    words = tokens(_POSSESSIVE.sub("", phrase.strip()))
    first = 0
    while first < len(words) - 1 and words[first] in _ARTICLES:
        first += 1
    return " ".join(words[first:])


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Character spans [start, end) of the sentences, trimmed, in order, none empty.

    >>> text = "Dr. Ada Byron wrote it. It was read!  Ja? 「はい。」そう。"
    >>> [text[start:end] for start, end in sentence_spans(text)]
    ['Dr. Ada Byron wrote it.', 'It was read!', 'Ja?', '「はい。」', 'そう。']
    """
    cuts = [0]
    for match in _SENTENCE_END.finditer(text):
        head = text[max(0, match.start() - 12) : match.start() + 1]
        if text[match.start()] == "." and _ABBREVIATION.search(head):
            continue
        cuts.append(match.end())
    cuts.append(len(text))
    spans = []
    for start, end in pairwise(cuts):
        sentence = text[start:end]
        stripped = sentence.strip()
        if stripped:
            offset = start + len(sentence) - len(sentence.lstrip())
            spans.append((offset, offset + len(stripped)))
    return spans


def content_hash(*parts: str) -> str:
    """128-bit hexadecimal digest of the parts; their borders count.

    >>> content_hash("ab", "c") == content_hash("a", "bc")
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()
