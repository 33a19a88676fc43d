"""Text helpers that everything shares: tokens, names, sentences, content hashes. Any script."""

from __future__ import annotations

import hashlib
import unicodedata
from itertools import pairwise

import regex

# Scripts written without spaces give one token a character, so that names inside a run are found.
# Initials are one token: J. K. = J.K. = JK, U.S. = US; also right before a name: J.K.Rowling; and
# without stops between spaces, where a capitalised word follows: J K Rowling, but not "plan A B".
_TOKEN = regex.compile(
    r"(?<![\p{L}\p{M}\p{N}])[\p{Lu}\p{Ll}]"
    r"(?:\.(?:[ \xa0]?[\p{Lu}\p{Ll}]\.)+(?:(?=\p{Lu}\p{Ll})|(?!\.?[\p{L}\p{M}\p{N}]))"
    r"|(?:\.[\p{Lu}\p{Ll}])+(?!\.?[\p{L}\p{M}\p{N}]))"
    r"|(?<![\p{L}\p{M}\p{N}]['’]?)\p{Lu}(?:[ \xa0]\p{Lu})+(?=[ \xa0]\p{Lu}\p{Ll})"
    r"|[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"
    r"|(?:(?![\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}])"
    r"[\p{L}\p{M}\p{N}])+"
)
_AFTER_INITIAL = (".", " ", "\xa0")
_BETWEEN_INITIALS = dict.fromkeys(map(ord, _AFTER_INITIAL))
_MARKED_LATIN = regex.compile(r"(?<=\p{Latin})\p{Mn}+")
# Letters that are no other letter with a mark, but are written like one where they are missing.
_PLAIN = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"}
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
    >>> tokens("東京タワー")
    ['東', '京', 'タ', 'ワ', 'ー']
    """
    return [
        token.casefold()
        if token.isascii() and token[1:2] not in _AFTER_INITIAL
        else normalise_token(token)
        for token in _TOKEN.findall(compatible(text))
    ]


def normalise_token(token: str) -> str:
    """Case folded, initials without stops and spaces, Latin letters without their marks.

    In other scripts marks are vowels and more, and stay.

    >>> [normalise_token(token) for token in ("Beyoncé", "Łódź", "Straße", "J. K.", "दिल्ली", "が")]
    ['beyonce', 'lodz', 'strasse', 'jk', 'दिल्ली', 'が']
    """
    folded = token.casefold()
    if token[1:2] in _AFTER_INITIAL:
        folded = folded.translate(_BETWEEN_INITIALS)
    if folded.isascii():
        return folded
    bare = _MARKED_LATIN.sub("", unicodedata.normalize("NFD", folded))
    return unicodedata.normalize("NFC", bare).translate(_PLAIN)


def compatible(text: str) -> str:
    """NFKC: one form for letters that are written in several ways; most texts are in it already.

    >>> compatible("ﬁlm ｶﾞ")
    'film ガ'
    """
    return unicodedata.normalize("NFKC", text)


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
